"""Checks the firmware as an ESP32 would take it: types against the ESP32's published stubs, and the compiler."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from host_tools.build.bundle import compile_bundle
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_OK, EXIT_PROMISE_BROKEN, UserError

_STUBS = ("micropython-esp32-stubs", "micropython-stdlib-stubs")
# Parts are handed in after construction, so "may be None" is no news; and one variable may hold two shapes of signal.
_DISABLED = ("union-attr", "var-annotated", "assignment", "misc", "operator", "str-format")
_BOARD = "esp32-devkitc"


def typings(directory: Path) -> Path:
    """Lay the stubs out as mypy wants a standard library: `directory` then holds them all."""
    shutil.rmtree(directory, ignore_errors=True)
    for distribution in _STUBS:
        files = importlib.metadata.files(distribution)
        if not files:
            raise UserError(f"{distribution} is not installed", hint="run 'make lint'", exit_code=EXIT_ENVIRONMENT)
        for file in files:
            if str(file).endswith(".pyi") or file.name == "VERSIONS":
                target = directory / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    return directory


def check(firmware: Path, work: Path = Path("build")) -> list[str]:
    """Every complaint about the firmware, a line each; UserError when it does not compile."""
    stubs = typings((work / "typings").resolve())
    command = [
        *(sys.executable, "-m", "mypy", "--config-file=", "--no-site-packages", "--check-untyped-defs"),
        *("--explicit-package-bases", "--hide-error-context", "--no-error-summary", "--no-color-output"),
        *("--custom-typeshed-dir", str(stubs), "--cache-dir", str((work / "mypy-firmware").resolve())),
        *(argument for code in _DISABLED for argument in ("--disable-error-code", code)),
        ".",
    ]
    done = subprocess.run(
        command, cwd=firmware, env={"MYPYPATH": str(stubs)}, capture_output=True, text=True, check=False
    )
    if done.returncode > 1 or done.stderr:
        return [line for line in (done.stderr + done.stdout).splitlines() if line][:5]
    compile_bundle(firmware, _BOARD)
    return [f"{firmware}/{line}" for line in done.stdout.splitlines() if "error:" in line and not line.startswith("/")]


def main() -> int:
    """Print the complaints about the firmware directory named on the command line; 1 if there is one."""
    try:
        complaints = check(Path(sys.argv[1]))
    except UserError as error:
        print(f"{error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    print("\n".join(complaints) if complaints else "firmware: the ESP32's stubs and mpy-cross take it")
    return EXIT_PROMISE_BROKEN if complaints else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
