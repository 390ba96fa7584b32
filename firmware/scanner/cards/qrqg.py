"""National personal QR (Decision 1405/QĐ-BTTTT; the Huế card): `paper|NAME|yyyy-mm-dd|0 or 1|QID|ext`; the QID is the id."""

import records
from micropython import const

_SCHEME = const(1)
_FIELDS = const(6)
# Digits of a QID: 18 in every published sample.
_FEWEST = const(8)
_MOST = const(24)


def parse(_, fields):
    """The paper's number, the birth date and the telephone may be masked with `*`; none of them is kept."""
    if len(fields) != _FIELDS:
        return None
    date, qid = fields[2], fields[4]
    if len(date) != 10 or date[4] != 45 or date[7] != 45 or fields[3] not in (b"0", b"1"):
        return None
    if qid.isdigit() and _FEWEST <= len(qid) <= _MOST:
        return _SCHEME, records.id_digits(qid)
    return None
