"""TOML tables into dataclasses: every member checked against its type, a mistake is one line that names the place."""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from host_tools.errors import UserError
from host_tools.text import say

# What a scenario calls one of them, and the member that holds them all.
TABLES = {"board": "boards", "show": "shows", "crowd": "crowds", "passage": "passages", "fault": "faults"}


def wrong(where: str, what: str) -> UserError:
    hint = say("xem scenarios/demo.toml", "scenarios/demo.toml shows how it is written")
    return UserError(f"{where}: {what}", hint=hint)


def make(cls: type, raw: Any, where: str) -> Any:
    """An instance of a dataclass from a TOML table, every member checked against its type."""
    if not isinstance(raw, dict):
        raise wrong(where, say("phải là một bảng", "must be a table"))
    hints = get_type_hints(cls)
    members = {item.name: item for item in dataclasses.fields(cls)}
    for key in raw:
        if key not in members:
            raise wrong(where, say(f"không có mục '{key}'", f"there is no '{key}'"))
    values = {key: _value(hints[key], value, f"{where}: {_name(key)}") for key, value in raw.items()}
    for name, item in members.items():
        needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise wrong(where, say(f"thiếu '{_name(name)}'", f"'{_name(name)}' is missing"))
    return cls(**values)


def _name(member: str) -> str:
    """A member as the file calls it."""
    return next((table for table, plural in TABLES.items() if plural == member), member)


# Of numbers that may be negative, how their names end.
_SIGNED = ("_dbm", "_ppm", "ahead_ms", "_quarters")


def _value(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) is list:
        if not isinstance(value, list):
            raise wrong(where, say("phải là một danh sách", "must be a list"))
        return [_value(get_args(kind)[0], item, f"{where} {index}") for index, item in enumerate(value, 1)]
    if get_origin(kind) is dict:
        key_kind = get_args(kind)[0]
        if not isinstance(value, dict):
            raise wrong(where, say("phải là một bảng", "must be a table"))
        if key_kind is int:
            try:
                return {int(key, 16): _value(int, item, where) for key, item in value.items()}
            except ValueError:
                raise wrong(where, say("tên thanh ghi phải là hex", "a register is named in hex")) from None
        return value
    allowed = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    table = next((item for item in allowed if dataclasses.is_dataclass(item) and isinstance(item, type)), None)
    if table is not None:
        return make(table, value, where)
    if float in allowed and type(value) is int:
        return float(value)
    if type(value) not in allowed:
        names = " / ".join(item.__name__ for item in allowed if item is not type(None))
        raise wrong(where, say(f"phải là {names}", f"must be {names}"))
    if type(value) is int and value < 0 and not where.endswith(_SIGNED):
        raise wrong(where, say("không được âm", "must not be negative"))
    return value
