"""Names on their way into the image: the firmware's own get short, everybody else's stay."""

from __future__ import annotations

import itertools
import re
import sys
import types
from pathlib import Path

import pytest

from host_tools.build.bundle import compile_module
from host_tools.build.shorten import ROM_NAMES, _short_names, shorten
from host_tools.errors import UserError

WORD = re.compile(r"[A-Za-z_]\w*")
KEPT = ("super", "self", "class", "def", "return", "import", "None")
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


def test_what_a_module_keeps_to_itself_shares_its_name_with_what_another_keeps() -> None:
    """And nothing of what both could meet in one object does."""
    tree = sources(
        main="import second\nanswer = second.work()\n",
        first="class Base:\n    def __init__(self):\n        self._of_the_base = 1\n        self.admitted_by = None\n\n"
        "    def told_it(self):\n        return self._of_the_base\n",
        second="import first\n\n\nclass Derived(first.Base):\n    def __init__(self):\n        super().__init__()\n"
        "        self._of_the_derived = 2\n\n"
        "    def both_of_them(self):\n        return self.told_it() + self._of_the_derived\n"
        "\n\ndef work():\n    one_of_them = Derived()\n    one_of_them.admitted_by = 4\n"
        "    return one_of_them.both_of_them() + one_of_them.admitted_by\n",
        third="class Stranger:\n    def __init__(self, given_to_it):\n        self._of_the_stranger = given_to_it\n",
    )
    out = shorten(tree, "main.py")
    before, after = {}, {}
    for path in ("first.py", "second.py", "third.py"):
        words = zip(WORD.findall(tree[path].decode()), WORD.findall(out[path].decode()), strict=True)
        before[path] = dict(words)
        after[path] = {short: long for long, short in before[path].items()}
        assert len(after[path]) == len(before[path]), "no two names of one module become one"
    base, derived = before["first.py"]["_of_the_base"], before["second.py"]["_of_the_derived"]
    assert base != derived, "one object has both"
    assert before["third.py"]["_of_the_stranger"] in {*after["first.py"], *after["second.py"]}, "another object"
    assert before["first.py"]["admitted_by"] == before["second.py"]["admitted_by"], "set from outside"
    for space in (before["first.py"], before["second.py"], before["third.py"]):
        assert not set(space.values()) & (set(KEPT) - set(space)), "nothing of MicroPython's is hidden"
    sys.modules.pop("first", None)
    parts = {}
    for path in ("first.py", "second.py"):
        module = types.ModuleType(path[:-3])
        sys.modules[path[:-3]] = module
        exec(out[path], module.__dict__)
        parts[path] = module
    try:
        assert parts["second.py"].work() == 7
    finally:
        for path in parts:
            del sys.modules[path[:-3]]


def test_names_in_the_rom_cost_a_module_a_number() -> None:
    """A name of ROM_NAMES makes an .mpy no longer than a byte or two, whatever its length; any other brings its letters."""
    assert len(set(itertools.islice(_short_names(), 5000))) == 5000, "no name is given twice"
    for name in ROM_NAMES:
        assert name.encode() not in compile_module(f"x.{name}\n".encode(), "a.py"), name
    assert b"chrr" in compile_module(b"x.chrr\n", "a.py")


def test_a_base_by_another_name_and_two_of_one_name_are_seen() -> None:
    """What the classes of one object keep to themselves stays apart, however the base is called where it is inherited from."""
    base = "class Base:\n    def __init__(self):\n        self._counter_of_it = 1\n"
    for importing, name in (("from first import Base as Root\n", "Root"), ("import first\n", "first.Base")):
        kid = f"{importing}\n\nclass Kid({name}):\n    def more_of_it(self):\n        self._another_of_it = 5\n"
        for second in ("", base):
            tree = sources(main="", first=base, second=kid, third=second or "pass\n")
            out = shorten(tree, "main.py")
            names = [
                dict(zip(WORD.findall(tree[path].decode()), WORD.findall(out[path].decode()), strict=True))
                for path in ("first.py", "second.py")
            ]
            assert names[0]["_counter_of_it"] != names[1]["_another_of_it"], (importing, second)


def test_a_star_import_is_refused() -> None:
    with pytest.raises(UserError, match="import \\*"):
        shorten(sources(main="", first="LIMIT_OF_IT = 1\n", second="from first import *\n"), "main.py")
