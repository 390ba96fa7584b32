"""Calls the firmware in a metered program by the names that it bears in the image, where the build shortens them."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Mapping
from pathlib import PurePosixPath

from host_tools.bench.meter import MeterError
from host_tools.build.shorten import ROM_NAMES, ROM_WORDS

# What the metered runtime itself, and the stand-ins' file, are called: no name of the firmware's.
_NOT_OURS = frozenset({"host", "call", "standins"})


def shortened(long: Mapping[str, bytes], short: Mapping[str, bytes]) -> dict[str, str]:
    """Long name -> name in the image, read off the sources before and after (path -> source); lines correspond.

    "" for a name that several modules keep to themselves, each with a name of its own: "clock._uptime_ms" is that of clock.py.
    """
    found: dict[str, str] = {}
    for path, source in short.items():
        before, after = _by_row(long[path].decode()), _by_row(source.decode())
        module = PurePosixPath(path).stem
        for row, names in after.items():
            if len(names) == len(before.get(row, ())):
                for was, now in zip(before[row], names, strict=True):
                    found[f"{module}.{was.string}"] = now.string
                    found[was.string] = now.string if found.get(was.string, now.string) == now.string else ""
    return {name: now for name, now in found.items() if name.rpartition(".")[2] != now}


def rename(text: str, names: Mapping[str, str]) -> str:
    """A program with the firmware's names as the image has them; MeterError where that would hit one of its own.

    What several modules keep to themselves is that of the module which is called like the object: clock._uptime_ms.
    """
    lines = text.splitlines(keepends=True)
    taken = set(names.values()).difference(ROM_NAMES, ROM_WORDS)  # these mean here what they mean anywhere
    for row, tokens in _by_row(text).items():
        for before, token in reversed(list(zip([None, *tokens], tokens, strict=False))):
            if token.string in taken:
                raise MeterError(f"'{token.string}' means something else in the image")
            if token.string not in names or token.string in _NOT_OURS:
                continue
            start, end = token.start[1], token.end[1]
            now = names[token.string]
            if not now:
                if before is None or lines[row - 1][before.end[1] : start] != ".":
                    continue  # a variable of the program's own
                now = names.get(f"{before.string}.{token.string}", "")
                if not now:
                    raise MeterError(f"'{before.string}.{token.string}' is several names in the image")
            lines[row - 1] = lines[row - 1][:start] + now + lines[row - 1][end:]
    return "".join(lines)


def _by_row(text: str) -> dict[int, list[tokenize.TokenInfo]]:
    rows: dict[int, list[tokenize.TokenInfo]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            rows.setdefault(token.start[0], []).append(token)
    return rows
