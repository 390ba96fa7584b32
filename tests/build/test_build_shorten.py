"""Names on their way into the image: the firmware's own get short, everybody else's stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_tools.build.shorten import shorten
from host_tools.errors import UserError

FIRMWARE = Path(__file__).parents[2] / "firmware"


def sources(**modules: str) -> dict[str, bytes]:
    return {name.replace("__", "/") + ".py": text.encode() for name, text in modules.items()}


def test_own_names_shorten_everywhere_alike() -> None:
    out = shorten(
        sources(
            main="import part\npart.begin()\n",
            part="def begin():\n    return helper_function(long_argument=1)\n\n\n"
            "def helper_function(long_argument):\n    return long_argument\n",
        ),
        "main.py",
    )
    text = out["part.py"].decode()
    assert "helper_function" not in text and "long_argument" not in text
    assert "def begin" in text, "main.py calls it by this name"
    space: dict = {}
    exec(text, space)
    assert space["begin"]() == 1


def test_names_of_the_chip_of_strings_and_of_files_stay() -> None:
    text = (
        "import machine\n\n\nclass Thing:\n    def readblocks(self, baudrate):\n        self.journal_full = baudrate\n"
        "        self.value = machine.UART(1, baudrate=baudrate)\n        return getattr(self, 'journal_full')\n"
    )
    out = shorten(sources(main="", part=text, uplink="value_of_mine = 1\n"), "main.py")["part.py"].decode()
    for name in ("readblocks", "baudrate", "value", "journal_full", "machine"):
        assert name in out
    assert "Thing" not in out


def test_folded_constants_keep_their_underscore_and_lose_the_import() -> None:
    text = "from micropython import const\n\n_TEN = const(10)\nTWENTY_OF_MINE = const(20)\n_TABLE_OF_MINE = (_TEN, 3)\n"
    out = shorten(sources(main="", part=text), "main.py")["part.py"].decode()
    assert "_TEN = const(10)" in out and "import const" not in out
    assert "TWENTY_OF_MINE" not in out and "_TABLE_OF_MINE" not in out
    assert len(out.splitlines()) == len(text.splitlines())


def test_same_source_same_names_and_lines_stay() -> None:
    tree = {
        path.relative_to(FIRMWARE).as_posix(): path.read_bytes()
        for path in sorted(FIRMWARE.rglob("*.py"), reverse=True)
    }
    again = shorten(dict(reversed(tree.items())), "main.py")
    out = shorten(tree, "main.py")
    assert out == again
    for path, source in out.items():
        assert source.count(b"\n") == tree[path].count(b"\n"), path
    assert "uplink/__init__.py" not in out, "a package file without code is not shipped"


def test_a_module_that_does_not_parse_is_left_to_the_compiler() -> None:
    broken = sources(main="", part="def f(:\n")
    assert shorten(broken, "main.py") == broken


def test_an_f_string_is_refused() -> None:
    with pytest.raises(UserError, match="part.py"):
        shorten(sources(main="", part="x = f'{1}'\n"), "main.py")
