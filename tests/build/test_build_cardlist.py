"""Text files of cards become the ids that the firmware packs; a wrong line is named, and what a right one looks like."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from host_tools.build.cardlist import read_cards
from host_tools.cards import people
from host_tools.errors import UserError
from tests.cards.in_micropython import identify

DIGEST = "00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")


def cards_of(tmp_path: Path, content: str | bytes) -> tuple[set[tuple[int, bytes]], int]:
    path = tmp_path / "cards.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_cards(path)
    return set(found.cards), found.duplicates


def test_each_scheme_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    text = (
        "\ufeffScheme,ID\r\n"
        "# lost in November\r\n"
        "\r\n"
        "qrqg,162979388586171100\r\n"
        "CCCD , 046099012345\r\n"
        "2,046099012345\r\n"
        "bhyt,0123456789\r\n"
        "bhyt,gd4012345678901\r\n"
        f"dcc,{DIGEST}\r\nsmart,{DIGEST.upper()}\r\nnz,{DIGEST}\r\nvds-nc,{DIGEST}\r\n8,{DIGEST}\r\n"
        "text,12345\r\n"
        'text,"thẻ khách, số 7"\r\n'
        f"text,{'x' * 65}\r\n"
    )
    digest = b"\x40" + bytes.fromhex(DIGEST)
    assert cards_of(tmp_path, text) == (
        {
            (1, b"\x12" + (162979388586171100).to_bytes(8, "big")),
            (2, b"\x0c" + (46099012345).to_bytes(5, "big")),
            (3, b"\x0a" + (123456789).to_bytes(5, "big")),
            (3, b"\0GD4012345678901"),
            *((scheme, digest) for scheme in range(4, 9)),
            (0, b"\x0012345"),
            (0, b"\0" + "thẻ khách, số 7".encode()),
            (0, b"\x40" + hashlib.sha256(b"x" * 65).digest()[:16]),
        },
        1,
    )


def test_no_card_at_all(tmp_path: Path) -> None:
    assert cards_of(tmp_path, "") == cards_of(tmp_path, "scheme,id\n") == (set(), 0)


def test_what_a_person_writes_is_what_the_board_finds(tmp_path: Path) -> None:
    """The same card by both ways: its line in a file, and its code through the firmware's own parsers."""
    payloads: list[bytes] = []
    lines: list[str] = []
    for seed in range(20):
        who = people.person(seed)
        for name, payload in (("qrqg", people.qrqg(who)), ("cccd", people.cccd(who)), ("bhyt", people.bhyt(who))):
            fields = payload.split(b"|")
            payloads.append(payload)
            lines.append(f"{name},{fields[4 if name == 'qrqg' else 0].decode()}")
    for text in ("12345", "khách 7", "a" * 64, "b" * 65, "é" * 33):
        payloads.append(text.encode())
        lines.append(f"text,{text}")
    found = [(scheme, packed) for scheme, packed in identify(payloads)]
    assert len(set(found)) >= 60
    for line, card in zip(lines, found, strict=True):
        assert cards_of(tmp_path, line) == ({card}, 0), line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("046099012345", "not 'scheme,id'"),
        ("cccd,046099012345,x", "not 'scheme,id'"),
        ("cccd", "not 'scheme,id'"),
        ("cccd,", "an id of cccd is 12 digits"),
        ("cccd,46099012345", "12 digits, leading zeros included"),
        ("cccd,0460990123456", "12 digits"),
        ("cccd,04609901234x", "12 digits"),
        ("cccd,٠٤٦٠٩٩٠١٢٣٤٥", "12 digits"),
        ("cccd,4.6099E+10", "12 digits"),
        ("qrqg,1234567", "8 to 24 digits"),
        ("bhyt,123", "10 digits, or 2 letters and 13 digits"),
        ("bhyt,éà4012345678901", "10 digits, or 2 letters"),
        ("dcc,xyz", "32 hex digits"),
        ("text,", "an id of text is a text"),
        ("passport,B1234567", "no such scheme; there is: text, qrqg"),
        ("9,046099012345", "no such scheme"),
        ('text,"abc', "a quotation mark that is not closed"),
        ('text,"abc"d', "a quotation mark that is not closed"),
        ("scheme,id", "no such scheme"),
    ],
)
def test_a_bad_line_is_named_without_its_id(line: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        cards_of(tmp_path, f"cccd,046099000001\n\n# note\n{line}\ncccd,046099000002\n")
    assert ", line 4: " in raised.value.message and says in raised.value.message, raised.value.message
    assert "46099" not in raised.value.message and "\n" not in raised.value.message
    assert "cccd,046099012345" in raised.value.hint


@pytest.mark.parametrize(
    ("content", "says"), [(b"cccd,0460990\xff12345\n", "is not UTF-8"), ("cccd,1".encode("utf-16"), "is not UTF-8")]
)
def test_a_file_in_another_code(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as raised:
        cards_of(tmp_path, content)
    assert "CSV UTF-8" in raised.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UserError, match="cannot read"):
            read_cards(path)
