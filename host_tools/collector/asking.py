"""Asks for the passphrase of a recovery copy: from a file, or from the person at the terminal."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from host_tools.collector.trouble import reason
from host_tools.errors import UserError
from host_tools.text import say


def passphrase(file: Path | None, *, twice: bool = False) -> str:
    """The first line of `file`, or what the person types (`twice`: again, to catch a slip). Raises UserError, also
    where there is no terminal to ask at: what is typed elsewhere would be shown."""
    if file is not None:
        return _from_file(file)
    if sys.stdin is None or not sys.stdin.isatty():
        raise _nobody_to_ask()
    try:
        first = getpass.getpass(say("Cụm mật khẩu: ", "Passphrase: "))
        if twice and getpass.getpass(say("Nhập lại: ", "Again: ")) != first:
            raise UserError(
                say("hai lần không giống nhau", "the two are not the same"),
                hint=say("chưa có gì được ghi; chạy lại", "nothing was written; run it again"),
            )
    except EOFError:
        raise _nobody_to_ask() from None
    return first


def _from_file(file: Path) -> str:
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(
            say(f"{file}: không phải UTF-8", f"{file}: not UTF-8"),
            hint=say("dòng đầu của tệp là cụm mật khẩu", "the file's first line is the passphrase"),
        ) from None
    except OSError as error:
        raise UserError(
            say(f"không đọc được {file}: {reason(error)}", f"cannot read {file}: {reason(error)}"),
            hint=say("xem lại --passphrase-file", "check --passphrase-file"),
        ) from None
    return lines[0] if lines else ""


def _nobody_to_ask() -> UserError:
    return UserError(
        say("không hỏi được cụm mật khẩu: không có terminal", "cannot ask for the passphrase: there is no terminal"),
        hint=say("dùng --passphrase-file FILE", "use --passphrase-file FILE"),
    )
