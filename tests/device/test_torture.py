"""The torture seen from outside: hypothesis draws its workloads, and mutants of recovery, append and uplink fail it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.device.__main__ import command, firmware
from tests.device.conftest import ROOT, TIMEOUT_S

SEED = int(os.environ.get("CHOT_SEED", "1"))
EXAMPLES = int(os.environ.get("CHOT_EXAMPLES", "100"))

OPERATION = st.one_of(
    st.sampled_from(["s", "s", "s", "i", "c", "b", "k", "p", "l", "r", "f", "e"]),
    st.integers(1, 227).map("n{}".format),
    st.integers(0, 5).map("u{}".format),
    st.integers(256, 3000).map("h{}".format),
    st.integers(0, 16 * 5 - 1).map("x{}".format),  # power lost inside one of the next operations
    st.integers(0, 120).map("y{}".format),  # … inside recovery
    st.integers(1, 5).map("z{}".format),  # … in the erase at boot, again and again
    st.integers(1, 3).map("w{}".format),  # programs that fail and say nothing
    st.integers(0, 19).map("v{}".format),  # a sector that fails for good
)

# name: (policy that shows it, file, what stands there, what the mutant has instead).
RING, SHIPPER = "journal/ring.py", "uplink/shipper.py"
MUTANTS = {
    "append goes on behind a torn frame": ("refuse", RING, "and self._blank(index, self.offset)", "and True"),
    "records of a new epoch without its frame": (
        "refuse",
        RING,
        "            if self.key != epoch.public:",
        "            if False and self.key != epoch.public:",
    ),
    "the oldest sector taken for the head": (
        "refuse",
        RING,
        "best = max(best, sequence)",
        "best = min(best or sequence, sequence)",
    ),
    "a burnt place used again": ("refuse", RING, "self.offset = SECTOR_BYTES  # burnt", "pass  # burnt"),
    "erased though nobody has it": (
        "refuse",
        RING,
        "(self._unsent(index) and not self._overwrite)",
        "False",
    ),
    "no read-back": ("refuse", RING, "        return back == data", "        return True"),
    "a dropped sector is not counted": ("overwrite", RING, "self.lost += 1", "self.lost += 0"),
    "a torn erase costs the next sector too": ("overwrite", RING, "(state == DAMAGED and self._overwrite)", "False"),
    "sent on while it is overwritten": (
        "overwrite",
        SHIPPER,
        "if self._lost != self._ring.lost or (sequence and not self._ring.holds(index, sequence)):",
        "if False:",
    ),
    "released before all of it is stored": ("refuse", SHIPPER, "for piece in pieces[:stored]:", "for piece in pieces:"),
}


@pytest.fixture(scope="module")
def board() -> Iterator[subprocess.Popen[str]]:
    """One MicroPython that runs a list of operations for each line it is given."""
    with subprocess.Popen(
        command(firmware(), "serve()"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@hypothesis.seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(
    policy=st.sampled_from(["refuse", "overwrite"]),
    seed=st.integers(0, 2**20),
    ops=st.lists(OPERATION, min_size=40, max_size=200),
)
def test_any_operations(board: subprocess.Popen[str], policy: str, seed: int, ops: list[str]) -> None:
    line = f"{policy} {seed} {' '.join(ops)}"
    board.stdin.write(line + "\n")
    board.stdin.flush()
    verdict = board.stdout.readline()
    assert verdict == "ok\n", f"{verdict}CHOT_SEED={SEED} finds it; again: python -m tests.device {line}"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, tmp_path: Path) -> None:
    policy, file, before, after = MUTANTS[name]
    tree = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", tree)
    source = (tree / file).read_text(encoding="utf-8")
    assert source.count(before) == 1, f"the mutant '{name}' no longer fits"
    (tree / file).write_text(source.replace(before, after), encoding="utf-8")
    env = {**os.environ, "CHOT_SEED": "2", "CHOT_TORTURE": "thin", "CHOT_POLICY": policy}
    call = command(tree, "torture()")
    done = subprocess.run(call, capture_output=True, text=True, timeout=TIMEOUT_S, env=env, check=False)
    assert done.returncode, f"a journal with '{name}' passes: {done.stdout}"
    assert "Lost: " in done.stderr + done.stdout or "BrokenRule: " in done.stderr + done.stdout, done.stderr
