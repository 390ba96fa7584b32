"""The CSV of checkpoints that goes from the centre to the technician: a row a board, its token in it, so it is private."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from host_tools.errors import UserError
from host_tools.private_files import write_private
from host_tools.text import say

COLUMNS = ("checkpoint", "ssid", "password", "config", "mac", "token")
_MAX_ROWS = 1000


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows, each with its columns as text; UserError names line and column of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "UTF-8"
        raise UserError(
            say(f"không đọc được {path}: {why}", f"cannot read {path}: {why}"),
            hint=say("cần một tệp CSV, UTF-8", "it takes a CSV file in UTF-8"),
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise _bad(path, reader.line_num, f"không phải CSV: {error}", f"not CSV: {error}") from None
    for column in reader.fieldnames or []:
        if column not in COLUMNS:
            raise _bad(path, 1, f"không biết cột '{column}'", f"unknown column '{column}'")
    if "checkpoint" not in (reader.fieldnames or []):
        raise _bad(path, 1, "thiếu cột 'checkpoint'", "the column 'checkpoint' is missing")
    if not 0 < len(rows) <= _MAX_ROWS:
        raise _bad(path, 1, f"cần 1 đến {_MAX_ROWS} hàng", f"it takes 1 to {_MAX_ROWS} rows")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise _bad(path, number, "thừa hoặc thiếu cột", "a column too many or too few")
        if not row["checkpoint"].strip():
            raise _bad(path, number, "tên chốt trống", "the checkpoint's name is blank")
    return [{name: value.strip() for name, value in row.items()} for row in rows]


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the rows, readable to their owner alone: whoever has a token may enrol a board."""
    names = [column for column in COLUMNS if column in rows[0]]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_private(path, out.getvalue(), "--csv")


def _bad(path: Path, line: int, vi: str, en: str) -> UserError:
    return UserError(
        say(f"{path}, dòng {line}: {vi}", f"{path}, line {line}: {en}"),
        hint=say("các cột: ", "the columns are: ") + ", ".join(COLUMNS),
    )
