"""What a disk or a database refused, in one line for a person and with what to do about it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.text import say


def reason(error: OSError) -> str:
    """Why the system refused, without its number and without the path, which the message has already."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)


def refused_database(path: Path, error: sqlite3.Error) -> UserError:
    """The error for a person: damaged pages and a full or locked disk want different things done."""
    if isinstance(error, sqlite3.OperationalError):
        return UserError(
            say(f"cơ sở dữ liệu {path}: {error}", f"the database {path}: {error}"),
            hint=say(
                "xem quyền đọc ghi và chỗ trống trên đĩa, rồi chạy lại",
                "check that it may be read and written and that the disk has room, then run it again",
            ),
            exit_code=EXIT_ENVIRONMENT,
        )
    return UserError(
        say(f"cơ sở dữ liệu {path} đã hỏng: {error}", f"the database {path} is damaged: {error}"),
        hint=say(
            "lấy lại bản sao lưu của nó, rồi 'chot rescue' cứu vào đó những gì các bo mạch còn giữ",
            "put its backup in its place, then 'chot rescue' brings in what the boards still hold",
        ),
        exit_code=EXIT_ENVIRONMENT,
    )


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Within it, what the database refuses is a UserError."""
    try:
        yield
    except sqlite3.Error as error:
        raise refused_database(path, error) from error
