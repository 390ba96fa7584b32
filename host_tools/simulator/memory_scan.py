"""Looks for secrets in the memory of a stopped board process, as somebody with a probe on a board's RAM would."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def available() -> bool:
    """Whether this system lets a process look into its children's memory."""
    return Path("/proc/self/mem").exists()


def count_secrets(process_id: int, secrets: Sequence[bytes]) -> list[int]:
    """How often each secret stands in the writable memory of a process. OSError where the system does not allow it."""
    counts = [0] * len(secrets)
    overlap = max(map(len, secrets), default=1) - 1
    with open(f"/proc/{process_id}/maps", encoding="ascii") as maps:
        regions = [line.split(maxsplit=5) for line in maps]
    memory = os.open(f"/proc/{process_id}/mem", os.O_RDONLY)
    try:
        for fields in regions:
            if not fields[1].startswith("rw"):
                continue
            start, end = (int(part, 16) for part in fields[0].split("-"))
            _count_region(memory, start, end, secrets, overlap, counts)
    finally:
        os.close(memory)
    return counts


def _count_region(memory: int, start: int, end: int, secrets: Sequence[bytes], overlap: int, counts: list[int]) -> None:
    tail = b""
    for at in range(start, end, _CHUNK_BYTES):
        try:
            part = os.pread(memory, min(_CHUNK_BYTES, end - at), at)
        except OSError:
            return  # some regions (vvar) exist but cannot be read
        data = tail + part
        for index, secret in enumerate(secrets):
            # What lies wholly in the tail was counted with the chunk before.
            counts[index] += data.count(secret) - tail.count(secret)
        tail = data[-overlap:] if overlap else b""
