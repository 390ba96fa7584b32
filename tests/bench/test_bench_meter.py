"""The meter gives the same figure every time, charges only what was done, and says when a program failed."""

from __future__ import annotations

import pytest

from host_tools.bench import meter
from host_tools.bench.meter import Mark, MeterError, Recording
from host_tools.bench.names import rename, shortened

LOOP = """
def work(n):
    for i in range(n):
        pass
for count in COUNTS:
    level()
    mark("begin")
    work(count)
    mark("end")
"""


def measured(text: str, **values: object) -> Recording:
    return meter.run(meter.program(text, values), {})


def test_same_program_same_figures() -> None:
    first = measured(LOOP, COUNTS=[10, 1000])
    second = measured(LOOP, COUNTS=[10, 1000])
    assert first == second
    assert len(first.between("begin", "end")) == 2


def test_twice_the_work_costs_twice_as_much_and_nothing_next_to_nothing() -> None:
    nothing, once, twice = measured(LOOP, COUNTS=[0, 1000, 2000]).between("begin", "end")
    assert 0 <= nothing < 5000
    assert (twice - nothing) == pytest.approx(2 * (once - nothing), rel=0.02)
    assert once > 20_000


def test_the_clock_stands_still() -> None:
    text = "import time\nmark('one')\nfor i in range(100000):\n    pass\nreport([time.ticks_ms(), time.ticks_ms()])\n"
    first, second = measured(text).reports[0]
    assert first == second


def test_only_the_marks_own_cost_is_taken_off() -> None:
    marks = [("level", 100), ("level", 130), ("begin", 200), ("other", 250), ("end", 300), ("end", 900)]
    recording = Recording([Mark(*mark) for mark in marks], [])
    assert recording.between("begin", "end") == [70]
    assert recording.one("begin", "end") == 70
    with pytest.raises(MeterError, match="0 stretches"):
        recording.one("other", "begin")


@pytest.mark.parametrize("text", ["1 / 0", "mark('a')\nraise ValueError('no')", "import sys\nmark('a')\nsys.exit(3)", "pass"])
def test_a_program_that_fails_is_an_error(text: str) -> None:
    with pytest.raises(MeterError):
        measured(text)


def test_names_of_the_image_are_read_off_and_given_to_programs() -> None:
    long = {"a.py": b'"""Doc."""\nfrom x import const\nclass Signals:\n    def play(self, tone):\n        return tone\n'}
    short = {"a.py": b'"""Doc."""\n\nclass a:\n    def b(self, c):\n        return c\n'}
    names = shortened(long, short)
    assert {key: now for key, now in names.items() if "." not in key} == {"Signals": "a", "play": "b", "tone": "c"}
    program = 'import host\nhost.call("mark", "play")\nSignals().play(tone=1)\n'
    assert rename(program, names) == 'import host\nhost.call("mark", "play")\na().b(c=1)\n'
    with pytest.raises(MeterError, match="'c' means something else"):
        rename("c = 1\n", names)


def test_a_name_that_modules_keep_to_themselves_is_that_of_the_object_s_module() -> None:
    long = {f"{name}.py": b"class Thing:\n    def own_one(self):\n        pass\n" for name in ("clock", "drivers/lamp")}
    short = {
        "clock.py": b"class a:\n    def chr(self):\n        pass\n",
        "drivers/lamp.py": b"class a:\n    def dir(self):\n        pass\n",
    }
    names = shortened(long, short)
    assert rename("clock.own_one()\nlamp.own_one()\nown_one = chr(1)\n", names) == "clock.chr()\nlamp.dir()\nown_one = chr(1)\n"
    with pytest.raises(MeterError, match="buzzer.own_one' is several names"):
        rename("buzzer.own_one()\n", names)
