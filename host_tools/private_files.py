"""Writes files that hold a key, or say who was where: readable to their owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from host_tools.errors import UserError
from host_tools.text import say


def write_private(path: Path, text: str, option: str) -> None:
    """Write `text` with mode 0600, also where the file exists; UserError names the command's `option` to change."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as error:
        raise UserError(
            say(f"không ghi được {path}: {error.strerror}", f"cannot write {path}: {error.strerror}"),
            hint=say(f"chọn chỗ khác cho {option}", f"choose another place for {option}"),
        ) from error
