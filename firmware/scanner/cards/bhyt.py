"""Health-insurance cards (BHYT): `code|hex name|dd/mm/yyyy|1 or 2|…|$`; the code (10 or 15 characters) is the id."""

import records
from micropython import const

_SCHEME = const(3)
_MIN_FIELDS = const(10)


def parse(_, fields):
    """Old cards have 10 fields, new ones 17; a NUL or a line end may trail, and of a birth only the year may be known."""
    if len(fields) < _MIN_FIELDS or fields[-1].rstrip(b"\0\r\n ") != b"$" or fields[3] not in (b"1", b"2"):
        return None
    code = fields[0]
    if not fields[2].replace(b"/", b"").isdigit():
        return None
    if len(code) == 10 and code.isdigit():
        return _SCHEME, records.id_digits(code)
    if len(code) == 15 and code[:2].isalpha() and code[2:].isdigit():
        return _SCHEME, records.id_text(code.upper())
    return None
