"""Runs what tests/cards/mutants.py has for the inside of the real MicroPython, with the firmware's own parsers."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

from tests.device.conftest import ROOT, TIMEOUT_S, micropython

HERE = Path(__file__).parent
FIRMWARE = Path(os.environ.get("CHOT_FIRMWARE", ROOT / "firmware"))
_HEAP = "1M"


def schemes(firmware: Path = FIRMWARE) -> tuple[str, ...]:
    """Every parser that config knows, in the order in which a board tries them by default."""
    for node in ast.walk(ast.parse((firmware / "config.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_SCHEMA":
            return tuple(ast.literal_eval(node.value)["cards"][0])
    raise AssertionError("config.py has no _SCHEMA")


def call(statement: str, lines: str = "", firmware: Path = FIRMWARE) -> list[str]:
    """What a statement about `mutants` prints, line by line."""
    code = f"import sys\nsys.path[:] = [{str(firmware)!r}, {str(HERE)!r}, '.frozen']\nimport mutants\n{statement}"
    done = subprocess.run(
        [*micropython(), "-X", f"heapsize={_HEAP}", "-c", code],
        input=lines,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()


def identify(payloads: list[bytes]) -> list[tuple[int, bytes]]:
    """(scheme, packed id) of each payload by the firmware's parsers."""
    printed = call(f"mutants.serve({schemes()!r})", "".join(payload.hex() + "\n" for payload in payloads))
    found = [re.fullmatch(r"(\d+) ([0-9a-f]+)", line) for line in printed]
    return [(int(match[1]), bytes.fromhex(match[2])) for match in found if match]
