"""Citizen identity cards of 2021 and 2024: `number|old number|Name|ddmmyyyy|sex|address…`; the number is the id."""

import records
from micropython import const

_SCHEME = const(2)
_MIN_FIELDS = const(6)
_DIGITS = const(12)


def parse(_, fields):
    """Cards of six fields lack the date of issue, or the old number; those beyond the seventh vary between issues."""
    if len(fields) < _MIN_FIELDS or len(fields[0]) != _DIGITS or not fields[0].isdigit():
        return None
    for birth in fields[2:4]:
        # Where day, or day and month, of a birth are not known, the card has mmyyyy or yyyy.
        if birth.isdigit() and len(birth) in (4, 6, 8):
            return _SCHEME, records.id_digits(fields[0])
    return None
