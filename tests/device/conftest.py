"""Runs the tests of this folder inside the real MicroPython: one pytest item a test function, one process an item."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import worked_examples

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HEAP = "8M"  # the tests keep a whole flash in RAM; that the firmware fits 110 KB is proved by the scenarios
TIMEOUT_S = 240

RUNNER = """
import sys
sys.path[:] = [{firmware!r}, {here!r}, ".frozen"]
import {module} as tests
tests.{function}()
print("device test passed")
"""


def micropython() -> list[str]:
    """The MicroPython to run: $MICROPYTHON, else the one installed beside this interpreter."""
    if "MICROPYTHON" in os.environ:
        return [os.environ["MICROPYTHON"]]
    return [sys.executable, "-c", "import sys; from micropython_unix import main; sys.exit(main())"]


class DeviceItem(pytest.Item):
    """One test function, run by MicroPython; it fails when the process does."""

    def __init__(self, *, module: str, line: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.line = line

    def runtest(self) -> None:
        firmware = os.environ.get("CHOT_FIRMWARE", str(ROOT / "firmware"))
        code = RUNNER.format(firmware=firmware, here=str(HERE), module=self.module, function=self.name)
        env = {**os.environ, "CHOT_VECTORS": str(worked_examples.path())}
        command = [*micropython(), "-X", f"heapsize={HEAP}", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=env, check=False)
        if done.returncode or "device test passed" not in done.stdout:
            raise DeviceFailure(done.stdout[-6000:] + done.stderr[-6000:])

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, DeviceFailure):
            return f"inside MicroPython:\n{excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, self.line, f"{self.module}.{self.name} (MicroPython)"


class DeviceFailure(Exception):
    """What the MicroPython process printed before it failed."""


class DeviceFile(pytest.File):
    """A test file that only MicroPython imports; its functions are found by reading it."""

    def collect(self):
        for node in ast.parse(self.path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield DeviceItem.from_parent(self, name=node.name, module=self.path.stem, line=node.lineno)


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.name.startswith("device_"):
        return DeviceFile.from_parent(parent, path=module_path)
    return None
