"""Picks the Vietnamese or the English wording of a text for a person, by the LANG of the environment."""

from __future__ import annotations

import os


def vietnamese() -> bool:
    """True when the user's locale is Vietnamese (LC_ALL, LC_MESSAGES, LANG: the first one set decides)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return value.lower().startswith("vi")
    return False


def say(vi: str, en: str) -> str:
    """The wording in the user's language."""
    return vi if vietnamese() else en
