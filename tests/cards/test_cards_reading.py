"""What is drawn is read back byte for byte, whatever the bytes; what is torn or no picture is not."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from host_tools.cards.people import KINDS, cccd, payload, person
from host_tools.cards.pictures import draw, symbol_version
from host_tools.cards.reading import read
from host_tools.errors import UserError


def _bare(data: bytes) -> Image.Image:
    """The symbol alone, no scene: fast, for many payloads."""
    buffer = io.BytesIO()
    segno.make_qr(data, error="m", mode="byte", eci=False, boost_error=False).save(buffer, kind="png", scale=3)
    return Image.open(buffer)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_card_is_read_byte_for_byte(kind: str) -> None:
    data = payload(kind, person(21))
    assert read(draw(data, "paper", seed=3)) == data


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"\0",
        b"a\0b\0",
        b"scan\r\n",
        b"\x93\xfa\x96\x7b",  # Shift-JIS
        "Nguyễn Thị Ánh Tuyết|Nữ".encode(),
        "HUỲNH HIẾU THUẬN".encode(),
        b"\xff\xfe\xfd",
        b"\xef\xbb\xbfBOM",
        b"\x02\x00\x00\x01\x00\x33\x31",  # what a module says to a command
        b"1234567890",
        b"HC1:6BF",
    ],
)
def test_bytes_that_decoders_like_to_translate(data: bytes) -> None:
    assert read(draw(data, "phone", seed=1)) == data


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert read(_bare(data)) == data


@pytest.mark.parametrize("size", [1091, 1658, 2331, 2900, 2953])
def test_the_longest_payloads(size: int) -> None:
    """2953 bytes fit only into a symbol of one byte segment without ECI, as real cards have it."""
    data = (b"0123456789abcdef" * 200)[:size]
    picture = draw(data, "paper", seed=2)
    assert symbol_version(data) >= 22
    assert read(picture) == data


def test_one_byte_more_than_a_symbol_holds_is_refused() -> None:
    with pytest.raises(ValueError):
        draw(b"x" * 2954, "paper")


def test_another_picture_gives_another_payload() -> None:
    first, second = cccd(person(1)), cccd(person(2))
    assert read(draw(first, "plastic")) == first != second == read(draw(second, "plastic"))


def test_segments_are_joined_whatever_their_modes() -> None:
    buffer = io.BytesIO()
    code = segno.make_qr([("12345", segno.consts.MODE_NUMERIC), "|ABC"], error="m")  # type: ignore[list-item]
    code.save(buffer, kind="png", scale=4)
    assert read(Image.open(buffer)) == b"12345|ABC"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_any_kind_of_image(mode: str) -> None:
    assert read(_bare(b"mode").convert(mode)) == b"mode"


def test_files_and_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "card.png"
    _bare(b"file").save(path)
    assert read(path) == read(str(path)) == b"file"
    assert read(Image.new("L", (640, 480), 200)) is None
    broken = path.read_bytes()[:100]
    for content in (b"", b"text", broken):
        path.write_bytes(content)
        with pytest.raises(UserError) as raised:
            read(path)
        assert "\n" not in raised.value.message and raised.value.hint
    with pytest.raises(UserError):
        read(tmp_path / "missing.png")


def test_numpy_is_never_needed() -> None:
    """zxing-cpp takes PIL images; a dependency on numpy would creep in unseen on a machine that has it."""
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "from host_tools.cards.pictures import draw\n"
        "from host_tools.cards.reading import read\n"
        "assert read(draw(b'no numpy', 'paper')) == b'no numpy'"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
