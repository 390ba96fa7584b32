"""What docs/time.md promises of a record's bounds, worked out with fractions and apart from the code that places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

PPM_50 = Fraction(50, 1_000_000)
# Uptime, UTC in ms, error ± ms of a CLOCK record.
Clock = tuple[int, int, int]


def documented(clocks: Sequence[Clock], uptime_ms: int) -> tuple[Fraction, Fraction]:
    """Time and error ± of an uptime of a boot whose CLOCKs, in order of uptime, do not contradict each other."""
    before = [clock for clock in clocks if clock[0] <= uptime_ms]
    after = [clock for clock in clocks if clock[0] > uptime_ms]
    if not before or not after:
        at, unix_ms, error_ms = before[-1] if before else after[0]
        return Fraction(unix_ms + uptime_ms - at), error_ms + math.ceil(abs(uptime_ms - at) * PPM_50) + Fraction(0)
    (low, low_ms, low_error), (high, high_ms, high_error) = before[-1], after[0]
    share = Fraction(uptime_ms - low, high - low)
    nearer_error = low_error if uptime_ms - low <= high - uptime_ms else high_error
    of_line = math.ceil(low_error * (1 - share) + high_error * share)
    distance = min(uptime_ms - low, high - uptime_ms)
    return low_ms + (high_ms - low_ms) * share, max(nearer_error, of_line) + math.ceil(distance * PPM_50) + Fraction(0)


def as_promised(clocks: Sequence[Clock], uptime_ms: int, earliest_ms: int, latest_ms: int) -> bool:
    """True if bounds are those of the page, cut to whole ms outwards."""
    at, error = documented(clocks, uptime_ms)
    return (earliest_ms, latest_ms) == (math.floor(at) - error, math.ceil(at) + error)
