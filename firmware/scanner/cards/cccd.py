"""Citizen identity cards of 2021 and 2024: `number|old number|Name|ddmmyyyy|sex|address…`; the number is the id."""

import records
from micropython import const

SCHEME = const(2)

_MIN_FIELDS = const(6)
_DIGITS = const(12)


def parse(payload):
    """The packed number, or None. Fields beyond the sixth vary between issues and are ignored."""
    fields = payload.split(b"|")
    if len(fields) < _MIN_FIELDS:
        return None
    number, birth = fields[0], fields[3]
    if len(number) != _DIGITS or not number.isdigit() or len(birth) != 8 or not birth.isdigit():
        return None
    return records.id_digits(number)
