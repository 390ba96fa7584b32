"""Which lines of the firmware's parsers a number of mutants reach: run by CPython, which can tell, in a process of its own.

`python -m tests.cards.lines FIRMWARE CORPUS SEED COUNT NAME…` prints JSON: file -> [reached, all, the lines not reached].
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from tests.cards import mutants


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _lines(path: Path) -> set[int]:
    """The lines of a file that do something."""
    whole = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    return {line for code in _codes(whole) for _, _, line in code.co_lines() if line}


def main(firmware: Path, corpus: str, seed: int, count: int, names: list[str]) -> dict[str, Any]:
    """The lines reached by `count` mutants, and those that are there."""
    firmware = firmware.resolve()
    folder = firmware / "scanner" / "cards"
    reached: dict[str, set[int]] = {str(path): set() for path in folder.glob("*.py")}
    runtime = ModuleType("micropython")
    runtime.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = runtime
    sys.path.insert(0, str(firmware))

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        hit = reached.get(frame.f_code.co_filename)
        if hit is None:
            return None
        hit.add(frame.f_lineno)
        return watch

    sys.settrace(watch)
    from scanner.cards import Cards  # type: ignore[import-not-found]

    for _ in mutants.outcomes(Cards(names).identify, mutants.load(corpus), seed, count):
        pass
    sys.settrace(None)
    report = {}
    for file, hit in reached.items():
        all_lines = _lines(Path(file))
        report[Path(file).name] = [len(all_lines & hit), len(all_lines), sorted(all_lines - hit)]
    return report


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])))
