"""National personal QR (Decision 1405/QĐ-BTTTT; the Huế card): `paper|NAME|yyyy-mm-dd|0 or 1|QID|ext`; the QID is the id."""

import records
from micropython import const

SCHEME = const(1)

_FIELDS = const(6)
_QID_DIGITS = (8, 24)  # 18 in every published sample


def parse(payload):
    """The packed QID, or None. The paper's number and the birth date may be masked with `*` and are not kept."""
    fields = payload.split(b"|")
    if len(fields) != _FIELDS:
        return None
    date = fields[2]
    if len(date) != 10 or date[4] != 45 or date[7] != 45 or fields[3] not in (b"0", b"1"):
        return None
    qid = fields[4]
    if not qid.isdigit() or not _QID_DIGITS[0] <= len(qid) <= _QID_DIGITS[1]:
        return None
    return records.id_digits(qid)
