"""Health-insurance cards (BHYT): `code|hex name|dd/mm/yyyy|1 or 2|…|$`; the code (10 or 15 characters) is the id."""

import records
from micropython import const

SCHEME = const(3)

_MIN_FIELDS = const(10)


def parse(payload):
    """The packed code, or None. A NUL or a line end may trail the closing `$`."""
    fields = payload.rstrip(b"\0\r\n ").split(b"|")
    if len(fields) < _MIN_FIELDS or fields[-1] != b"$" or fields[3] not in (b"1", b"2"):
        return None
    birth = fields[2]
    if len(birth) != 10 or birth[2] != 47 or birth[5] != 47:
        return None
    code = fields[0]
    if len(code) == 10 and code.isdigit():
        return records.id_digits(code)
    if len(code) == 15 and code[:2].isalpha() and code[2:].isdigit():
        return records.id_text(code.upper())
    return None
