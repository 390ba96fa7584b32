"""The torture seen from outside: hypothesis draws its workloads, and five mutants of recovery and append fail it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.device.conftest import HEAP, HERE, ROOT, TIMEOUT_S, micropython

OPERATION = st.one_of(
    st.sampled_from(["s", "s", "s", "i", "c", "b", "k", "p", "l", "r", "f"]),
    st.integers(1, 227).map("n{}".format),
    st.integers(0, 4).map("u{}".format),
    st.integers(256, 3000).map("h{}".format),
    st.integers(0, 40).map("x{}".format),
)

# name: (what stands in journal/ring.py, what the mutant has instead).
MUTANTS = {
    "append goes on behind a torn frame": (
        "opened and unmarked and self._blank(index, self.offset)",
        "opened and unmarked",
    ),
    "records of a new epoch without its frame": (
        "            if self.key != epoch.public:",
        "            if False and self.key != epoch.public:",
    ),
    "the oldest sector taken for the head": ("max(best, sequence)", "min(best or sequence, sequence)"),
    "a walk that forgets the epoch frame's length": ("            offset += length\n", "            offset += length + 1\n"),
    "erased though nobody has it": ("return sequence != 0 and (self._overwrite or", "return sequence != 0 and (True or"),
}


def command(firmware: Path, call: str) -> list[str]:
    code = f"import sys\nsys.path[:] = [{str(firmware)!r}, {str(HERE)!r}, '.frozen']\nimport torment\ntorment.{call}()"
    return [*micropython(), "-X", f"heapsize={HEAP}", "-c", code]


@pytest.fixture(scope="module")
def board() -> Iterator[subprocess.Popen[str]]:
    """One MicroPython that runs a list of operations for each line it is given."""
    call = command(Path(os.environ.get("CHOT_FIRMWARE", ROOT / "firmware")), "serve")
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
@given(
    policy=st.sampled_from(["refuse", "overwrite"]),
    seed=st.integers(0, 2**20),
    ops=st.lists(OPERATION, min_size=40, max_size=200),
)
def test_any_operations(board: subprocess.Popen[str], policy: str, seed: int, ops: list[str]) -> None:
    board.stdin.write(f"{policy} {seed} {' '.join(ops)}\n")
    board.stdin.flush()
    assert board.stdout.readline() == "ok\n"


def torture(firmware: Path, cuts: int) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CHOT_CUTS": str(cuts), "CHOT_SEED": "1"}
    call = command(firmware, "torture")
    return subprocess.run(call, capture_output=True, text=True, timeout=TIMEOUT_S, env=env, check=False)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, tmp_path: Path) -> None:
    before, after = MUTANTS[name]
    tree = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", tree)
    source = (tree / "journal" / "ring.py").read_text(encoding="utf-8")
    assert source.count(before) == 1, f"the mutant '{name}' no longer fits"
    (tree / "journal" / "ring.py").write_text(source.replace(before, after), encoding="utf-8")
    done = torture(tree, 200)
    assert done.returncode, f"a journal with '{name}' passes: {done.stdout}"
    assert "never filled" not in done.stderr, done.stderr
    assert "Lost" in done.stderr + done.stdout or "BrokenRule" in done.stderr + done.stdout, done.stderr
