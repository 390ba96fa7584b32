"""Reads a QR picture as a scan module does: the raw bytes of the symbol, or nothing."""

from __future__ import annotations

import os

import zxingcpp
from PIL import Image, UnidentifiedImageError

from host_tools.errors import UserError
from host_tools.text import say

_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


def read(picture: Image.Image | str | os.PathLike[str]) -> bytes | None:
    """The payload of the QR code in a picture (a PIL image, or the path of a file), None when none can be read.

    The bytes are those of the symbol's segments one after the other: no charset is guessed, nothing is added for an
    ECI. UserError when the file is missing or not a picture.
    """
    image = picture if isinstance(picture, Image.Image) else _open(picture)
    found = zxingcpp.read_barcodes(image.convert("L"), formats=_QR)
    return bytes(found[0].bytes) if found else None


def _open(path: str | os.PathLike[str]) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or say("không phải ảnh", "not a picture")
        raise UserError(
            say(f"không đọc được ảnh {path}: {reason}", f"cannot read the picture {path}: {reason}"),
            hint=say("cần một tệp PNG hoặc JPEG", "it takes a PNG or JPEG file"),
        ) from None
