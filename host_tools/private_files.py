"""Writes files that hold a key, or say who was where: readable to their owner alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from host_tools.errors import UserError
from host_tools.text import say


def write_private(path: Path, text: str, option: str) -> None:
    """`write_private_bytes` of a text in UTF-8."""
    write_private_bytes(path, text.encode(), option)


def write_private_bytes(path: Path, content: bytes, option: str) -> None:
    """Write `content` with mode 0600, also where the file exists; UserError names the command's `option` to change."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
    except OSError as error:
        raise UserError(
            say(f"không ghi được {path}: {error.strerror}", f"cannot write {path}: {error.strerror}"),
            hint=say(f"chọn chỗ khác cho {option}", f"choose another place for {option}"),
        ) from error


def replace_private(path: Path, content: bytes) -> None:
    """Write aside with mode 0600, then move into place: never half a file, never readable by others.

    Only a regular file is replaced: a serial port or a link given by mistake stays what it is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(
            say(f"{path}: không phải tệp thường", f"{path}: not a regular file"),
            hint=say("--output là một tệp, không phải cổng", "--output is a file, not a port"),
        )
    aside = ""
    try:
        handle, aside = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # mkstemp creates 0600
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(aside, path)
    except OSError as error:
        if aside:
            Path(aside).unlink(missing_ok=True)
        raise UserError(
            say(f"không ghi được {path}: {error.strerror}", f"cannot write {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn của --output", "check the path given to --output"),
        ) from None
