"""Runs the torture whole: of the journal, with two seeds, then of the lists; `python -m tests.device LIST`: one list again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.device.conftest import HEAP, HERE, ROOT, micropython

SEEDS = ("1", "2")
EXAMPLES = "3000"


def command(firmware: Path, call: str) -> list[str]:
    """MicroPython with one function of torment.py."""
    code = f"import sys\nsys.path[:] = [{str(firmware)!r}, {str(HERE)!r}, '.frozen']\nimport torment\ntorment.{call}"
    return [*micropython(), "-X", f"heapsize={HEAP}", "-c", code]


def firmware() -> Path:
    return Path(os.environ.get("CHOT_FIRMWARE", ROOT / "firmware"))


def main() -> int:
    if sys.argv[1:]:
        return subprocess.run(command(firmware(), f"again({' '.join(sys.argv[1:])!r})"), check=False).returncode
    seeds = [os.environ["CHOT_SEED"]] if "CHOT_SEED" in os.environ else SEEDS
    for seed in seeds:
        began = time.monotonic()
        env = {**os.environ, "CHOT_TORTURE": "full", "CHOT_SEED": seed}
        if subprocess.run(command(firmware(), "torture()"), env=env, check=False).returncode:
            return 1
        print(f"seed {seed}: every promise held; {time.monotonic() - began:.0f} s\n", flush=True)
    if "CHOT_CUT" in os.environ:
        return 0
    files = [str(HERE / "test_torture.py"), str(HERE / "device_lists.py")]
    rest = [sys.executable, "-m", "pytest", *files, "-k", "any_operations or every_operation"]
    env = {"CHOT_EXAMPLES": EXAMPLES, **os.environ, "CHOT_TORTURE": "full"}
    return subprocess.run(rest, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
