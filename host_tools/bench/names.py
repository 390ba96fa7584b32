"""Calls the firmware in a metered program by the names that it bears in the image, where the build shortens them."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping

from host_tools.bench.meter import MeterError

# What the metered runtime itself, and the stand-ins' file, are called: no name of the firmware's.
_NOT_OURS = frozenset({"host", "call", "standins"})


def shortened(long: Mapping[str, bytes], short: Mapping[str, bytes]) -> dict[str, str]:
    """Long name -> name in the image, read off the sources before and after (path -> source); lines correspond."""
    found: dict[str, str] = {}
    for path, source in short.items():
        before, after = _by_row(long[path].decode()), _by_row(source.decode())
        for row, names in after.items():
            if len(names) == len(before.get(row, ())):
                found.update((was.string, now.string) for was, now in zip(before[row], names, strict=True))
    return {name: now for name, now in found.items() if name != now}


def rename(text: str, names: Mapping[str, str]) -> str:
    """A program with the firmware's names as the image has them; MeterError where that would hit one of its own."""
    lines = text.splitlines(keepends=True)
    taken = set(names.values())
    for row, tokens in _by_row(text).items():
        for token in reversed(tokens):
            if token.string in taken:
                raise MeterError(f"'{token.string}' means something else in the image")
            if token.string in names and token.string not in _NOT_OURS:
                start, end = token.start[1], token.end[1]
                lines[row - 1] = lines[row - 1][:start] + names[token.string] + lines[row - 1][end:]
    return "".join(lines)


def _by_row(text: str) -> dict[int, list[tokenize.TokenInfo]]:
    rows: dict[int, list[tokenize.TokenInfo]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            rows.setdefault(token.start[0], []).append(token)
    return rows
