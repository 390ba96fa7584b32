"""Draws QR codes as the camera of a scan module meets them: on paper, on a plastic card, on a phone.

A picture is drawn flat around the code's centre, then seen by a camera (turned, tilted, out of focus, in poor light,
with sensor noise). The same arguments give the same picture. Only segno and Pillow are used.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from typing import Any

import segno
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

MEDIA = ("paper", "plastic", "phone")

_FRAME_PX = (640, 480)
_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"  # ISO/IEC 18004: the signs of that mode
_QUIET_MODULES = 4  # ISO/IEC 18004: the light margin around a symbol
_CODE_PX = 320  # width that a symbol with its margin aims at
_MIN_MODULE_PX = 4
_SHEET_PER_CODE = 2.9  # side of the flat scene; the camera sees less of it
_NOISE_LEVELS = 14

_INK = (28, 27, 30)
_PAPER = (243, 239, 226)
_PLASTIC = (236, 240, 241)
_TEAL = (20, 120, 128)
_GLASS = (12, 12, 15)
_SCREEN = (244, 247, 255)
_TABLE = (92, 84, 76)

_Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


def draw(
    payload: bytes,
    medium: str,
    *,
    rotate_deg: float = 0,
    dim: float = 1.0,
    blur_px: float = 0.0,
    torn: bool = False,
    perspective: float = 0.0,
    glare: float = 0.0,
    seed: int = 0,
) -> Image.Image:
    """An RGB picture (640 x 480, larger only for very dense symbols) of `payload` as a QR code on `medium`.

    `rotate_deg` turns the code counter-clockwise; `dim` is the light, 1.0 full and 0.0 none; `blur_px` is the radius
    of the blur; `torn` takes a corner away, finder pattern included, so that nothing can read the code; `perspective`
    (0 to 0.5) tilts the code away from the camera; `glare` (0 to 0.6) is the width of a lamp's reflection somewhere on
    the code, as a share of the code's, and may hide what no decoder can do without. ValueError for an unknown medium,
    a payload that fits no symbol, or a number out of range.
    """
    if medium not in _SCENES:
        raise ValueError(f"unknown medium {medium!r}")
    if not 0 <= dim <= 1 or blur_px < 0 or not 0 <= perspective <= 0.5:
        raise ValueError("dim must be 0 to 1, blur_px 0 or more, perspective 0 to 0.5")
    if not 0 <= glare <= 0.6:
        raise ValueError("glare must be 0 to 0.6")
    rng = random.Random(f"chot picture {medium} {seed}")
    light, dark = (_SCREEN, (6, 8, 16)) if medium == "phone" else (_PLASTIC if medium == "plastic" else _PAPER, _INK)
    symbol = _symbol(payload, light, dark)
    side = symbol.width
    sheet = Image.new("RGBA", (int(side * _SHEET_PER_CODE),) * 2, (0, 0, 0, 0))
    _SCENES[medium](sheet, symbol, rng)
    if glare:
        _shine(sheet, side, glare, random.Random(f"chot glare {medium} {seed}"))
    if torn:
        _tear(sheet, side, rng, broken_glass=medium == "phone")

    scale = max(1.0, side / _CODE_PX)  # so that however it is turned, the whole code is in the picture
    frame = _table((int(_FRAME_PX[0] * scale), int(_FRAME_PX[1] * scale)), rng)
    drift = tuple(rng.uniform(-0.03, 0.03) * frame.height for _ in range(2))
    seen = sheet.transform(
        frame.size,
        Image.Transform.PERSPECTIVE,
        _camera(sheet.size, frame.size, drift, rotate_deg, perspective),
        Image.Resampling.BICUBIC,
    )
    shadow = seen.getchannel("A").filter(ImageFilter.GaussianBlur(9)).point(lambda level: level * 2 // 5)
    frame.paste((0, 0, 0), (5, 8), shadow)
    frame.paste(seen, (0, 0), seen)
    if blur_px:
        frame = frame.filter(ImageFilter.GaussianBlur(blur_px))
    return _noise(ImageEnhance.Brightness(frame).enhance(dim), rng)


def symbol_version(payload: bytes) -> int:
    """The version (1-40) of the symbol that `draw` makes of a payload."""
    return int(_qr(payload).version)


def _qr(payload: bytes) -> segno.QRCode:
    """The symbol: byte mode, no ECI, level M, as cards are printed; bytes go in as they are, UTF-8 too.

    Passes from abroad have the modes that their specifications ask for; what is too long for level M gets level L.
    """
    content: Any = payload
    mode: str | None = "byte"
    if payload.startswith((b"HC1:", b"NZCP:/1/")) and not payload.strip(_ALPHANUMERIC):
        content, mode = payload.decode("ascii"), "alphanumeric"
    elif payload.startswith(b"shc:/") and payload[5:].isdigit():
        digits = payload[5:].decode("ascii")
        content, mode = [("shc:/", segno.consts.MODE_BYTE), (digits, segno.consts.MODE_NUMERIC)], None
    try:
        return segno.make_qr(content, error="m", mode=mode, eci=False, boost_error=False)
    except segno.DataOverflowError:
        return segno.make_qr(content, error="l", mode=mode, eci=False, boost_error=False)


def _symbol(payload: bytes, light: tuple[int, int, int], dark: tuple[int, int, int]) -> Image.Image:
    """The symbol with its margin, whole pixels a module."""
    code = _qr(payload)
    modules = code.symbol_size(scale=1, border=_QUIET_MODULES)[0]
    buffer = io.BytesIO()
    module_px = max(_MIN_MODULE_PX, _CODE_PX // modules)
    code.save(buffer, kind="png", scale=module_px, border=_QUIET_MODULES, light=light, dark=dark)
    return Image.open(buffer).convert("RGBA")


# The three media. Each draws around the middle of `sheet`, which is where the code goes.


def _paper(sheet: Image.Image, symbol: Image.Image, rng: random.Random) -> None:
    """A sheet from a printer, folded once or twice: off-white, uneven, the toner lighter along the folds."""
    side, (middle, _) = symbol.width, (sheet.width // 2, sheet.height // 2)
    left, top = middle - int(side * 0.72), middle - int(side * 0.95)
    right, bottom = middle + int(side * 0.72), middle + int(side * 0.78)
    draw_on = ImageDraw.Draw(sheet)
    draw_on.rectangle((left, top, right, bottom), fill=_PAPER)
    _centre(sheet, symbol)
    _write(draw_on, (middle, top + side * 0.14), "THE KIEM SOAT DICH BENH", side * 0.085, _INK)
    _write(draw_on, (middle, top + side * 0.26), "TP HUE  -  MAU THU NGHIEM", side * 0.055, (90, 88, 84))
    _write(draw_on, (middle, bottom - side * 0.12), "Giu the nay khi ra vao cho, benh vien", side * 0.055, _INK)
    fibres = _grain(sheet.size, rng, coarse=3).point(lambda level: 238 + level // 15)
    uneven = ImageChops.multiply(sheet.convert("RGB"), Image.merge("RGB", (fibres,) * 3))
    sheet.paste(uneven, (0, 0), sheet.getchannel("A"))
    folds: list[tuple[float, ...]] = []
    for _ in range(rng.choice((1, 2))):
        # Between the finder patterns: along two of them, one picture in four hundred could not be read.
        across = middle + rng.uniform(-0.15, 0.15) * side
        slant = rng.uniform(-0.06, 0.06) * side
        flat, upright = (left, across - slant, right, across + slant), (across - slant, top, across + slant, bottom)
        folds.append(upright if rng.random() < 0.5 else flat)
    shadow = Image.new("L", sheet.size, 0)
    for fold in folds:
        ImageDraw.Draw(shadow).line([place + 2 for place in fold], fill=120, width=max(3, side // 60))
    marks = Image.new("RGBA", sheet.size, (60, 54, 40, 0))
    marks.putalpha(shadow.filter(ImageFilter.GaussianBlur(2)))
    for fold in folds:
        ImageDraw.Draw(marks).line(fold, fill=(255, 253, 244, 130), width=max(1, side // 200))
    _overlay(sheet, marks)


def _plastic(sheet: Image.Image, symbol: Image.Image, rng: random.Random) -> None:
    """A card with round corners, a coloured head and text; a lamp shines off it beside the code's centre."""
    side, middle = symbol.width, sheet.width // 2
    left, right = middle - int(side * 1.3), middle + int(side * 0.62)
    top, bottom = middle - int(side * 0.72), middle + int(side * 0.6)
    draw_on = ImageDraw.Draw(sheet)
    draw_on.rounded_rectangle((left, top, right, bottom), radius=side // 10, fill=_PLASTIC)
    draw_on.rounded_rectangle(
        (left, top, right, top + side // 5), radius=side // 10, fill=_TEAL, corners=(True, True, False, False)
    )
    _centre(sheet, symbol)
    _write(draw_on, ((left + right) / 2, top + side * 0.1), "THE KIEM SOAT DICH BENH", side * 0.1, (255, 255, 255))
    for row, words in enumerate(("HO TEN", "NGAY SINH", "NOI CAP: HUE", "MAU THU")):
        y = middle - side * 0.3 + row * side * 0.2
        _write(draw_on, (left + side * 0.4, y), words, side * 0.07, _TEAL)
        start, width = left + side * 0.15, rng.uniform(0.3, 0.55) * side
        draw_on.line((start, y + side * 0.09, start + width, y + side * 0.09), fill=(70, 74, 80), width=3)
    # The lamp washes out the middle of an edge or the corner without a finder pattern. It never hides a finder: what
    # it takes, the code's error correction gives back, so the card stays readable and a test can insist on that.
    edge_x, edge_y, lean_deg = rng.choice(((0.5, 0, 90), (-0.5, 0, 90), (0, 0.5, 0), (0, -0.5, 0), (0.46, 0.46, 45)))
    x, y = (middle + side * (edge + rng.uniform(-0.02, 0.02)) for edge in (edge_x, edge_y))
    glare = Image.new("L", sheet.size, 0)
    long, short = side * rng.uniform(0.13, 0.18), side * rng.uniform(0.06, 0.09)
    ImageDraw.Draw(glare).ellipse((x - long, y - short, x + long, y + short), fill=245)
    glare = glare.rotate(lean_deg + rng.uniform(-15, 15), center=(x, y)).filter(ImageFilter.GaussianBlur(side / 24))
    white = Image.new("RGBA", sheet.size, (255, 255, 250, 255))
    white.putalpha(ImageChops.multiply(glare, sheet.getchannel("A")))
    _overlay(sheet, white)


def _phone(sheet: Image.Image, symbol: Image.Image, rng: random.Random) -> None:
    """A phone held up: black frame, bright bluish screen, and the faint stripes that screen and sensor make."""
    side, middle = symbol.width, sheet.width // 2
    half, edge = int(side * 0.62), int(side * 0.07)
    top, bottom = middle - int(side * 1.1), middle + int(side * 1.2)
    draw_on = ImageDraw.Draw(sheet)
    draw_on.rounded_rectangle(
        (middle - half - edge, top - edge * 2, middle + half + edge, bottom + edge * 2), radius=side // 7, fill=_GLASS
    )
    draw_on.rounded_rectangle((middle - half, top, middle + half, bottom), radius=side // 12, fill=_SCREEN)
    draw_on.rectangle((middle - half, top + side * 0.2, middle + half, top + side * 0.5), fill=(26, 86, 190))
    _write(draw_on, (middle, top + side * 0.35), "Ma QR ca nhan", side * 0.1, (255, 255, 255))
    _centre(sheet, symbol)
    _write(draw_on, (middle, middle + side * 0.6), "Dua ma nay cho may quet", side * 0.06, (60, 66, 84))
    draw_on.rounded_rectangle(
        (middle - side * 0.4, middle + side * 0.75, middle + side * 0.4, middle + side * 0.92),
        radius=side // 14,
        fill=(26, 86, 190),
    )
    tint = ImageChops.multiply(sheet.convert("RGB"), Image.new("RGB", sheet.size, (226, 236, 255)))
    period_px, strength = rng.uniform(5.0, 9.0), rng.uniform(16, 26)
    row = bytes(
        int(255 - strength * (1 + math.sin(2 * math.pi * x / period_px)) / 2) for x in range(sheet.width * 2)
    )
    stripes = Image.frombytes("L", (len(row), 1), row).resize((len(row), len(row)))
    stripes = stripes.rotate(rng.uniform(8, 35), Image.Resampling.BICUBIC).crop(
        (middle, middle, middle + sheet.width, middle + sheet.height)
    )
    sheet.paste(ImageChops.multiply(tint, Image.merge("RGB", (stripes,) * 3)), (0, 0), sheet.getchannel("A"))


_SCENES: dict[str, Callable[[Image.Image, Image.Image, random.Random], None]] = {
    "paper": _paper,
    "plastic": _plastic,
    "phone": _phone,
}


def _shine(sheet: Image.Image, side: int, share: float, rng: random.Random) -> None:
    """A lamp's reflection on the code: white in the middle, fading out, wherever the lamp happens to be."""
    x, y = (sheet.width / 2 + rng.uniform(-0.35, 0.35) * side for _ in range(2))
    across, along = share * side / 2, share * side / 2 * rng.uniform(0.4, 0.9)
    glare = Image.new("L", sheet.size, 0)
    ImageDraw.Draw(glare).ellipse((x - across, y - along, x + across, y + along), fill=250)
    glare = glare.rotate(rng.uniform(0, 180), center=(x, y)).filter(ImageFilter.GaussianBlur(side / 40))
    white = Image.new("RGBA", sheet.size, (255, 255, 252, 255))
    white.putalpha(glare)
    _overlay(sheet, white)


def _tear(sheet: Image.Image, side: int, rng: random.Random, *, broken_glass: bool) -> None:
    """Take one corner with its finder pattern away along a ragged line: no decoder finds a symbol by two finders.

    Of a phone nothing comes off; there the glass is dead and black behind that line.
    """
    middle, reach = sheet.width / 2, side * 0.1
    corner_x, corner_y = rng.choice(((-1, -1), (1, -1), (-1, 1)))  # the fourth corner has no finder pattern
    line = []
    for step in range(25):
        along = (step / 24 - 0.5) * 4 * side
        depth = reach + rng.uniform(-0.035, 0.035) * side
        line.append((middle + corner_x * (along + depth), middle + corner_y * (-along + depth)))
    x_far, y_far = corner_x * 4 * side, corner_y * 4 * side
    outline = [*line, *((middle + x, middle + y) for x, y in ((x_far, -y_far), (x_far, y_far), (-x_far, y_far)))]
    body = sheet.getchannel("A")
    pen = ImageDraw.Draw(sheet)
    if broken_glass:
        pen.polygon(outline, fill=(9, 9, 12, 255))
        pen.line(line, fill=(150, 158, 176, 255), width=2)
    else:
        pen.line(line, fill=(250, 249, 244, 255), width=max(6, side // 30))
        ImageDraw.Draw(body).polygon(outline, fill=0)
    sheet.putalpha(body)


def _table(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """What lies behind the card: a plain table, lighter on one side."""
    light = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    dark_wood = Image.new("RGB", size, tuple(level * 3 // 5 for level in _TABLE))
    return Image.composite(Image.new("RGB", size, _TABLE), dark_wood, light)


def _camera(
    sheet: tuple[int, int],
    frame: tuple[int, int],
    drift: tuple[float, ...],
    rotate_deg: float,
    perspective: float,
) -> tuple[float, ...]:
    """Pillow's eight coefficients from a point of the frame to a point of the sheet: shift, tilt, turn, shift."""
    angle = math.radians(rotate_deg)
    turn: _Matrix = (
        (math.cos(angle), -math.sin(angle), 0),
        (math.sin(angle), math.cos(angle), 0),
        (0, 0, 1),
    )
    tilt: _Matrix = ((1, 0, 0), (0, 1, 0), (0, perspective / frame[1], 1))
    to_origin: _Matrix = ((1, 0, -frame[0] / 2 - drift[0]), (0, 1, -frame[1] / 2 - drift[1]), (0, 0, 1))
    to_sheet: _Matrix = ((1, 0, sheet[0] / 2), (0, 1, sheet[1] / 2), (0, 0, 1))
    whole = _times(to_sheet, _times(turn, _times(tilt, to_origin)))
    flat = [value / whole[2][2] for row in whole for value in row]
    return tuple(flat[:8])


def _times(left: _Matrix, right: _Matrix) -> _Matrix:
    rows = [tuple(sum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)) for i in range(3)]
    return (rows[0], rows[1], rows[2])  # type: ignore[return-value]


def _grain(size: tuple[int, int], rng: random.Random, coarse: int = 1) -> Image.Image:
    """Random grey of that size, `coarse` pixels a grain."""
    small = (max(1, size[0] // coarse), max(1, size[1] // coarse))
    grain = Image.frombytes("L", small, rng.randbytes(small[0] * small[1]))
    return grain if coarse == 1 else grain.resize(size, Image.Resampling.BILINEAR)


def _noise(frame: Image.Image, rng: random.Random) -> Image.Image:
    """Sensor noise: the sum of two even ones is near enough to a bell, a few levels wide whatever the light."""
    grains = ImageChops.add(_grain(frame.size, rng), _grain(frame.size, rng), scale=2.0)
    up = grains.point(lambda level: max(0, level - 128) * _NOISE_LEVELS // 128)
    down = grains.point(lambda level: max(0, 128 - level) * _NOISE_LEVELS // 128)
    return ImageChops.subtract(
        ImageChops.add(frame, Image.merge("RGB", (up,) * 3)), Image.merge("RGB", (down,) * 3)
    )


def _centre(sheet: Image.Image, symbol: Image.Image) -> None:
    sheet.paste(symbol, ((sheet.width - symbol.width) // 2, (sheet.height - symbol.height) // 2))


def _overlay(sheet: Image.Image, marks: Image.Image) -> None:
    """Lay half-transparent marks on what is drawn, and on nothing beside it."""
    marks.putalpha(ImageChops.multiply(marks.getchannel("A"), sheet.getchannel("A")))
    sheet.alpha_composite(marks)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], words: str, height_px: float, ink: tuple[int, int, int]
) -> None:
    """Words around a point, in the font that Pillow carries: no font of the machine changes a picture."""
    pen.text(at, words, fill=ink, font=ImageFont.load_default(size=max(8, height_px)), anchor="mm")
