"""`python -m host_tools.bench`: prints every figure beside its bar and writes build/bench.json."""

from __future__ import annotations

import sys
from collections.abc import Callable

from host_tools.bench import busy, figures, journal, lists, runs, storage, uplink
from host_tools.bench.figures import ROOT, Figure, Firmware, as_json
from host_tools.bench.table import table
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_OK
from host_tools.text import say

REPORT = ROOT / "build" / "bench.json"


def measure() -> tuple[list[Figure], list[str]]:
    """Every figure that could be measured, and one line for each measurement that failed."""
    firmware = Firmware()
    found: dict[str, Figure] = {}
    failures: list[str] = []
    parts: list[tuple[str, Callable[[], list[Figure]]]] = [
        ("scan", lambda: figures.scan(firmware)),
        ("x25519", lambda: figures.x25519(firmware)),
        ("sizes", lambda: figures.sizes(firmware)),
        ("heap", lambda: figures.heap(firmware)),
        ("recovery", lambda: figures.recovery(firmware)),
        ("full journal", lambda: journal.full(firmware)),
        ("append", lambda: journal.append(firmware)),
        ("lists", lambda: lists.lookups(firmware)),
        ("path with lists", lambda: lists.with_lists(found)),
        ("demo", lambda: runs.demo(found)),
        ("busy", lambda: busy.busy(found)),
        ("wear", runs.wear),
        ("storage", storage.storage),
        ("uplink", uplink.uplink),
    ]
    for name, part in parts:
        try:
            found.update((figure.key, figure) for figure in part())
        except Exception as error:  # whatever it is, the other figures are shown, and the bench fails
            failures.append(f"{name}: {type(error).__name__}: {error}")
    return list(found.values()), failures


def main() -> int:
    """Exit status: 0 also when a bar is missed (the table says so), not 0 when something could not be measured."""
    found, failures = measure()
    print(table(found))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(as_json(found), encoding="utf-8")
    for line in failures:
        print(say(f"không đo được {line}", f"could not measure {line}"), file=sys.stderr)
    return EXIT_ENVIRONMENT if failures else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
