"""Opening hours: when the door takes cards, by local time; while the time is not known it is always open."""

from micropython import const

_MINUTE_MS = const(60000)
_DAY = const(1440)  # minutes
_WEEK = const(10080)
_UNKNOWN_MS = const(3600000)  # a time that may be an hour wrong closes no door
_THURSDAY = const(3)  # 1970-01-01, Monday being 0


def _minute(text):
    """Minute of the day of "hh:mm", up to 24:00; ValueError."""
    hour, minute = text.split(":")
    if len(text) != 5 or not (hour + minute).isdigit() or int(minute) > 59 or int(hour) * 60 + int(minute) > _DAY:
        raise ValueError
    return int(hour) * 60 + int(minute)


def parse(text):
    """(first day, last day, minute it opens, minutes it stays open) of "1-5 07:30-17:00" or "07:30-17:00"; ValueError.

    Days are 1, Monday, to 7. Hours that end before they begin end on the next day.
    """
    days, _, hours = text.rpartition(" ")
    first, last = 1, 7
    if days:
        if len(days) not in (1, 3) or days[1:2] not in ("", "-"):
            raise ValueError
        first, last = int(days[0]), int(days[-1])
        if not 1 <= first <= last <= 7:
            raise ValueError
    opens, closes = hours.split("-")
    opens, closes = _minute(opens), _minute(closes)
    return first - 1, last - 1, opens, (closes - opens) % _DAY or _DAY


class Hours:
    """`texts` as parse() takes them; `clock` tells UTC and its error; `offset_min`: minutes that local time is ahead."""

    def __init__(self, texts, clock, offset_min):
        self._spans = [parse(text) for text in texts]
        self._clock = clock
        self._offset_ms = offset_min * _MINUTE_MS

    def _within(self, unix_ms):
        minute = ((unix_ms + self._offset_ms) // _MINUTE_MS + _THURSDAY * _DAY) % _WEEK
        for first, last, opens, length in self._spans:
            for day in range(first, last + 1):
                if (minute - day * _DAY - opens) % _WEEK < length:
                    return True
        return False

    def open(self):
        """True unless it is closed for certain: at the earliest and at the latest that it can be now."""
        if not self._clock.known():
            return True
        now, error = self._clock.now()
        return error > _UNKNOWN_MS or self._within(now - error) or self._within(now + error)
