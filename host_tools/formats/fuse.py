"""The binary fuse filter of an allow list (Graf and Lemire 2022): each card has three places, of one byte each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MIN_SHIFT = 8
MAX_SHIFT = 13  # three bits of each 16-bit word remain: the check byte is made of them
MIN_SEGMENTS = 3
SEEDS = 256


class FuseError(Exception):
    """No seed gave a filter: what was given are no fingerprints."""


@dataclass(frozen=True)
class Filter:
    """A filter: its bytes, the length of a segment as a power of two (`shift`), and the seed that came out even."""

    cells: bytes
    shift: int
    seed: int

    def holds(self, fingerprint: int) -> bool:
        """Whether it says that it holds this one: never False for one that it was built from."""
        first, second, third = places(fingerprint, self.shift, len(self.cells) >> self.shift, self.seed)
        return self.cells[first] ^ self.cells[second] ^ self.cells[third] == check_byte(fingerprint)


def check_byte(fingerprint: int) -> int:
    """What the three bytes must give when they are XORed: the upper three, three and two bits of the last three words."""
    return fingerprint >> 40 & 0xE0 | fingerprint >> 27 & 0x1C | fingerprint >> 14 & 0x03


def places(fingerprint: int, shift: int, segments: int, seed: int) -> tuple[int, int, int]:
    """The three places of a fingerprint (8 bytes as a big-endian integer): one in each of three segments on end.

    The first of its four 16-bit words chooses the segments, the lower bits of the others the place in each; the seed
    moves all three. The board computes the same with integers below 2**30.
    """
    mask = (1 << shift) - 1
    word = fingerprint >> 48
    start = (word * (segments - 2) >> 16) << shift
    moved = (word + check_byte(fingerprint)) * seed
    return (
        start + ((fingerprint >> 32) + moved & mask),
        start + (1 << shift) + ((fingerprint >> 16) + moved & mask),
        start + (2 << shift) + (fingerprint + moved & mask),
    )


def _peel(values: Sequence[int], shift: int, segments: int, seed: int) -> list[tuple[int, int]] | None:
    """(place, number of the value) in an order in which each has a place of its own; None where there is none."""
    size = segments << shift
    users = [0] * size
    mixed = [0] * size  # numbers of a place's users, XORed: where there is one user, its number
    for number, value in enumerate(values):
        for place in places(value, shift, segments, seed):
            users[place] += 1
            mixed[place] ^= number
    order: list[tuple[int, int]] = []
    alone = [place for place in range(size) if users[place] == 1]
    while alone:
        own = alone.pop()
        if users[own] != 1:
            continue
        number = mixed[own]
        order.append((own, number))
        for place in places(values[number], shift, segments, seed):
            users[place] -= 1
            mixed[place] ^= number
            if users[place] == 1:
                alone.append(place)
    return order if len(order) == len(values) else None


def build(fingerprints: Iterable[int]) -> Filter:
    """The filter of these fingerprints; the same ones give the same filter. Raises FuseError."""
    distinct = set(fingerprints)
    count = max(2, len(distinct))
    # The paper's choice for three places: length of a segment, and how much larger than the set the filter is.
    shift = min(MAX_SHIFT, max(MIN_SHIFT, int(math.log(count) / math.log(3.33) + 2.25)))
    factor = max(1.125, 0.875 + 0.25 * math.log(1_000_000) / math.log(count))
    segments = max(MIN_SEGMENTS, math.ceil(count * factor / (1 << shift)))
    # Two that differ only in bits that are not used are one to the filter. In ascending order, neighbours share segments.
    mask = (1 << shift) - 1
    used = 0xFFFF << 48 | (0xE000 | mask) << 32 | (0xE000 | mask) << 16 | 0xC000 | mask
    values = sorted({value & used for value in distinct})
    for seed in range(SEEDS):
        order = _peel(values, shift, segments, seed)
        if order is not None:
            break
    else:
        raise FuseError("these are no fingerprints")
    cells = bytearray(segments << shift)
    for own, number in reversed(order):
        first, second, third = places(values[number], shift, segments, seed)
        # Its own byte is still 0, so it may be XORed along.
        cells[own] = check_byte(values[number]) ^ cells[first] ^ cells[second] ^ cells[third]
    return Filter(bytes(cells), shift, seed)
