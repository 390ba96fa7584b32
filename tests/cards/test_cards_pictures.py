"""Pictures are what they claim: same arguments same pixels, each condition visible, torn means unreadable."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageStat

from host_tools.cards.people import bhyt, cccd, payload, person, qrqg
from host_tools.cards.pictures import MEDIA, draw, symbol_version
from host_tools.cards.reading import read

WHO = person(33)
DATA = qrqg(WHO)


def _light(picture: Image.Image) -> float:
    return float(ImageStat.Stat(picture.convert("L")).mean[0])


def _sharpness(picture: Image.Image) -> float:
    """How strong the edges are, the noise smoothed away first."""
    smooth = picture.convert("L").filter(ImageFilter.MedianFilter(3))
    return float(ImageStat.Stat(smooth.filter(ImageFilter.FIND_EDGES)).var[0])


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("torn", [False, True])
def test_same_arguments_same_pixels(medium: str, torn: bool) -> None:
    arguments: dict[str, Any] = {"rotate_deg": 10, "dim": 0.7, "blur_px": 0.5, "torn": torn, "perspective": 0.1}
    first = draw(DATA, medium, seed=4, **arguments)
    assert first.tobytes() == draw(DATA, medium, seed=4, **arguments).tobytes()
    assert first.tobytes() != draw(DATA, medium, seed=5, **arguments).tobytes()
    assert first.size == (640, 480) and first.mode == "RGB"


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"rotate_deg": 45},
        {"rotate_deg": -100},
        {"rotate_deg": 180},
        {"dim": 0.3},
        {"blur_px": 1.5},
        {"perspective": 0.3},
        {"rotate_deg": 20, "dim": 0.5, "blur_px": 0.8, "perspective": 0.2},
    ],
    ids=str,
)
def test_every_condition_but_torn_is_readable(medium: str, conditions: dict[str, Any]) -> None:
    for seed, data in enumerate((DATA, cccd(WHO), bhyt(WHO))):
        assert read(draw(data, medium, seed=seed, **conditions)) == data, (seed, symbol_version(data))


@pytest.mark.parametrize("medium", MEDIA)
def test_glare_folds_and_stripes_never_make_a_card_unreadable(medium: str) -> None:
    for seed in range(12):
        data = payload(("cccd", "qrqg", "bhyt-new")[seed % 3], person(seed))
        assert read(draw(data, medium, seed=seed)) == data, seed


@pytest.mark.parametrize("medium", MEDIA)
def test_torn_is_never_readable(medium: str) -> None:
    for seed in range(9):
        data = payload(("qrqg", "cccd", "link")[seed % 3], person(seed))
        assert read(draw(data, medium, torn=True, seed=seed)) is None, seed


def test_torn_takes_a_finder_pattern_and_leaves_the_rest() -> None:
    whole, torn = draw(DATA, "paper", seed=2), draw(DATA, "paper", seed=2, torn=True)
    changed = ImageChops.difference(whole, torn).convert("L").point(lambda level: 255 if level > 60 else 0)
    share = ImageStat.Stat(changed.crop((160, 80, 480, 400))).mean[0] / 255
    assert 0.1 < share < 0.5, share


@pytest.mark.parametrize("medium", MEDIA)
def test_dim_is_darker_in_proportion(medium: str) -> None:
    full, half = _light(draw(DATA, medium)), _light(draw(DATA, medium, dim=0.5))
    assert 0.45 < half / full < 0.55
    assert _light(draw(DATA, medium, dim=0)) < 6
    assert read(draw(DATA, medium, dim=0)) is None


@pytest.mark.parametrize("medium", MEDIA)
def test_blur_softens_until_nothing_can_be_read(medium: str) -> None:
    assert _sharpness(draw(DATA, medium, blur_px=2)) < _sharpness(draw(DATA, medium)) / 2
    assert read(draw(DATA, medium, blur_px=12)) is None


def test_rotation_is_counter_clockwise_about_the_code() -> None:
    """The head of the plastic card is the only teal: above the code at 0, to its left at 90, below at 180."""

    def teal_centre(rotate_deg: float) -> tuple[float, float]:
        picture = draw(DATA, "plastic", rotate_deg=rotate_deg, seed=8)
        red, green, blue = picture.split()
        mask = ImageChops.subtract(ImageChops.lighter(green, blue), red).point(lambda level: 255 if level > 50 else 0)
        box = mask.filter(ImageFilter.MinFilter(9)).getbbox()  # the words are teal too, but thin
        assert box is not None
        return (box[0] + box[2]) / 2 - 320, (box[1] + box[3]) / 2 - 240

    assert teal_centre(0)[1] < -100
    assert teal_centre(90)[0] < -100
    assert teal_centre(180)[1] > 100
    assert teal_centre(-90)[0] > 100


def test_perspective_makes_the_far_side_smaller() -> None:
    """The black frame of the phone is narrower at the top than at the bottom."""

    def dark_width(picture: Image.Image, y: int) -> int:
        row = picture.convert("L").filter(ImageFilter.MedianFilter(5)).crop((0, y, picture.width, y + 1))
        box = row.point(lambda level: 255 if level < 34 else 0).getbbox()
        assert box is not None
        return int(box[2] - box[0])

    flat, tilted = draw(DATA, "phone", seed=6), draw(DATA, "phone", perspective=0.4, seed=6)
    assert abs(dark_width(flat, 60) - dark_width(flat, 420)) <= 8
    assert dark_width(tilted, 420) > dark_width(tilted, 60) * 1.2


def test_media_look_different() -> None:
    """A phone's screen is bluish, paper is yellowish; both around the code, where the quiet zone is."""

    def blue_over_red(medium: str) -> float:
        red, _, blue = ImageStat.Stat(draw(DATA, medium).crop((200, 120, 440, 360))).mean
        return blue / red

    assert blue_over_red("phone") > 1.08
    assert blue_over_red("paper") < 0.98
    assert 0.98 < blue_over_red("plastic") < 1.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"medium": "stone"},
        {"dim": 1.5},
        {"dim": -0.1},
        {"blur_px": -1},
        {"perspective": 0.9},
        {"perspective": -0.1},
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        draw(DATA, **{"medium": "paper", **wrong})
