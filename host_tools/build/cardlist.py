"""Reads lists of cards from text files: one card a line, `scheme,id`, as spreadsheets and people write them."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import UserError
from host_tools.formats.records import DIGEST, MAX_TEXT_BYTES, pack_digest, pack_id
from host_tools.text import say

HEADING = ("scheme", "id")
_COMMENT = "#"

# Name of a scheme -> its number, what its ids look like, and that in words (Vietnamese, English).
_DIGEST_WORDS = ("32 chữ số hex, như 'chot trace' in ra", "32 hex digits, as 'chot trace' prints them")
_SCHEMES: dict[str, tuple[int, str, tuple[str, str]]] = {
    "text": (0, r".+", ("một đoạn chữ", "a text")),
    "qrqg": (1, r"[0-9]{8,24}", ("8 đến 24 chữ số", "8 to 24 digits")),
    "cccd": (2, r"[0-9]{12}", ("12 chữ số, kể cả số 0 ở đầu", "12 digits, leading zeros included")),
    "bhyt": (
        3,
        r"[0-9]{10}|[A-Za-z]{2}[0-9]{13}",
        ("10 chữ số, hoặc 2 chữ cái và 13 chữ số", "10 digits, or 2 letters and 13 digits"),
    ),
    "dcc": (4, r"[0-9a-fA-F]{32}", _DIGEST_WORDS),
    "smart": (5, r"[0-9a-fA-F]{32}", _DIGEST_WORDS),
    "nz": (6, r"[0-9a-fA-F]{32}", _DIGEST_WORDS),
    "vds-nc": (7, r"[0-9a-fA-F]{32}", _DIGEST_WORDS),
    "divoc": (8, r"[0-9a-fA-F]{32}", _DIGEST_WORDS),
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, (_, pattern, _) in _SCHEMES.items()}
_NAMES = {**{name: name for name in _SCHEMES}, **{str(rule[0]): name for name, rule in _SCHEMES.items()}}


@dataclass(frozen=True)
class CardList:
    """What a file holds: distinct cards as (scheme, packed id), and how many lines repeat one of them."""

    cards: frozenset[tuple[int, bytes]]
    duplicates: int


def read_cards(path: Path) -> CardList:
    """The cards of a file; UserError names the first line that is wrong, and what a right one looks like."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn", "check the path"),
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            say(f"{path}: byte {error.start} không phải UTF-8", f"{path}: byte {error.start} is not UTF-8"),
            hint=say("lưu lại dưới dạng CSV UTF-8", "save it as CSV UTF-8"),
        ) from None
    cards: set[tuple[int, bytes]] = set()
    count = 0
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith(_COMMENT):
            continue
        try:
            fields = _fields(line)
            if count == 0 and tuple(field.lower() for field in fields) == HEADING:
                continue
            cards.add(_card(fields))
        except ValueError as error:
            raise UserError(
                say(f"{path}, dòng {number}: {error}", f"{path}, line {number}: {error}"),
                hint=say("một thẻ một dòng, ví dụ: ", "one card a line, for example: ") + "cccd,046099012345",
            ) from None
        count += 1
    return CardList(frozenset(cards), count - len(cards))


def parse_card(line: str) -> tuple[int, bytes]:
    """(scheme, packed id) of one line; ValueError says in the user's language what is wrong with it, but not the id."""
    return _card(_fields(line))


def _fields(line: str) -> list[str]:
    if '"' not in line:
        return [field.strip() for field in line.split(",")]
    try:
        name, *rest = next(csv.reader([line], skipinitialspace=True, strict=True))
        return [name.strip(), *rest]  # what stands in quotation marks is as it is, its outer spaces too
    except csv.Error:
        raise ValueError(say("ngoặc kép không khép", "a quotation mark that is not closed")) from None


def _card(fields: list[str]) -> tuple[int, bytes]:
    if len(fields) != 2:
        wanted = say("cần 'loại,mã' (chữ có dấu phẩy: trong ngoặc kép)", "not 'scheme,id' (quote a text with a comma)")
        raise ValueError(wanted)
    name = _NAMES.get(fields[0].lower())
    if name is None:
        raise ValueError(say("không biết loại thẻ ấy; có: ", "no such scheme; there is: ") + ", ".join(_SCHEMES))
    scheme, _, words = _SCHEMES[name]
    card_id = fields[1]
    if not _PATTERNS[name].fullmatch(card_id):
        raise ValueError(say(f"mã {name} gồm {words[0]}", f"an id of {name} is {words[1]}"))
    return scheme, _packed(scheme, card_id)


def _packed(scheme: int, card_id: str) -> bytes:
    """As the firmware packs it: of scheme 0 a text stays a text, even if it is a number."""
    if scheme == 0:
        data = card_id.encode()
        return b"\0" + data if len(data) <= MAX_TEXT_BYTES else pack_digest(data)
    if scheme >= 4:
        return bytes((DIGEST,)) + bytes.fromhex(card_id)
    return pack_id(card_id.upper())
