"""NOR flash: 0 to 1 refused, times and counts, tearing power cuts, undecided cells, faults that are injected."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tiny import JOURNAL

from host_tools.simulator.flash import SECTOR_BYTES, Flash

BASE = JOURNAL[0]


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xff" * (JOURNAL[0] + 16 * SECTOR_BYTES))
    return Flash(path, random.Random(3), journal=(BASE, 16 * SECTOR_BYTES))


def program(flash: Flash, address: int, data: bytes) -> None:
    flash.begin_program(address, data, 0)
    flash.finish()


def test_a_program_clears_bits_and_an_erase_sets_them(flash: Flash) -> None:
    program(flash, BASE + 100, b"\x0f")
    assert flash.read(BASE + 99, 3) == b"\xff\x0f\xff"
    assert flash.violations == []
    program(flash, BASE + 100, b"\xf0")
    assert flash.read(BASE + 100, 1) == b"\x00"
    assert len(flash.violations) == 1 and "0 bit to 1" in flash.violations[0]
    flash.begin_erase(BASE, SECTOR_BYTES, 0)
    flash.finish()
    assert flash.read(BASE, SECTOR_BYTES) == b"\xff" * SECTOR_BYTES


def test_a_byte_programmed_twice_in_the_journal_is_a_violation_except_the_release_mark(flash: Flash) -> None:
    program(flash, BASE, b"CHT1" + bytes(52))
    program(flash, BASE + 56, b"\x00")
    program(flash, BASE + 56, b"\x00")
    program(flash, BASE + 64, b"\x05")
    assert flash.violations == []
    program(flash, BASE + 64, b"\x05")
    assert "byte programmed twice" in flash.violations[0]
    program(flash, BASE, b"CHT1" + bytes(52))
    assert "sector header programmed twice" in flash.violations[1]


def test_times_are_those_of_the_data_sheet(flash: Flash) -> None:
    assert flash.begin_program(BASE + 250, b"\0" * 10, 0).duration_us == 1400
    assert flash.begin_program(BASE, b"\0" * 27, 0).duration_us == 700
    assert flash.begin_erase(BASE, 2 * SECTOR_BYTES, 0).duration_us == 90_000
    flash.timing = "worst"
    assert flash.begin_program(BASE, b"\0", 0).duration_us == 3000
    assert flash.begin_erase(BASE, SECTOR_BYTES, 0).duration_us == 400_000


def test_operations_outside_the_chip_or_off_the_sectors_are_refused(flash: Flash) -> None:
    with pytest.raises(ValueError):
        flash.begin_program(flash.size - 1, b"\0\0", 0)
    with pytest.raises(ValueError):
        flash.begin_erase(BASE + 1, SECTOR_BYTES, 0)


def test_a_cut_program_leaves_whole_pages_then_some_bits_then_nothing(flash: Flash) -> None:
    data = bytes(3 * 256)
    flash.begin_program(BASE + 256, data, 1000)
    assert flash.cut(1000 + 700 + 350)
    dump = flash.dump()[BASE + 256 : BASE + 256 + len(data)]
    assert dump[:256] == bytes(256)
    assert dump[512:] == b"\xff" * 256
    cleared = sum(8 - bin(byte).count("1") for byte in dump[256:512])
    assert 800 < cleared < 1250
    assert not flash.cut(5000)


def test_cells_touched_by_a_cut_read_either_way_until_the_sector_is_erased(flash: Flash) -> None:
    flash.begin_program(BASE + 64, bytes(32), 0)
    flash.cut(350)
    readings = {flash.read(BASE + 64, 32) for _ in range(20)}
    assert len(readings) > 1
    assert flash.violations == []
    flash.begin_erase(BASE, SECTOR_BYTES, 0)
    flash.finish()
    assert {flash.read(BASE + 64, 32) for _ in range(20)} == {b"\xff" * 32}


def test_a_cut_before_anything_happened_leaves_the_cells_free_to_program(flash: Flash) -> None:
    flash.begin_program(BASE + 64, bytes(32), 100)
    flash.cut(100)
    assert flash.read(BASE + 64, 32) == b"\xff" * 32
    program(flash, BASE + 64, bytes(32))
    assert flash.violations == []


def test_a_cut_erase_leaves_a_mixture(flash: Flash) -> None:
    program(flash, BASE, bytes(SECTOR_BYTES))
    flash.begin_erase(BASE, 2 * SECTOR_BYTES, 0)
    flash.cut(22_500)
    ones = sum(bin(byte).count("1") for byte in flash.dump()[BASE : BASE + SECTOR_BYTES])
    assert 0.4 < ones / (8 * SECTOR_BYTES) < 0.6


def test_injected_faults_show(flash: Flash) -> None:
    flash.fails_silently = lambda operation: operation.index == 0
    program(flash, BASE + 64, bytes(16))
    assert flash.read(BASE + 64, 16) != bytes(16)
    program(flash, BASE + 128, bytes(16))
    assert flash.read(BASE + 128, 16) == bytes(16)
    flash.flip(BASE + 130, 0x80)
    assert flash.read(BASE + 130, 1) == b"\x80"
    flash.worn_sectors.add(BASE // SECTOR_BYTES)
    flash.begin_erase(BASE, SECTOR_BYTES, 0)
    flash.finish()
    assert flash.read(BASE, SECTOR_BYTES) != b"\xff" * SECTOR_BYTES


def test_on_the_board_writeblocks_without_an_offset_erases_first(rig: Any) -> None:
    board = rig(
        "import esp32, time\np = esp32.Partition.find(esp32.Partition.TYPE_DATA, label='journal')[0]\n"
        "p.writeblocks(1, b'old', 8)\nb = bytearray(12)\np.readblocks(1, b, 0)\nprint(b)\n"
        "t = time.ticks_us()\np.writeblocks(1, b'new', 4)\nprint(time.ticks_diff(time.ticks_us(), t) // 100)\n"
        "p.writeblocks(1, bytearray(b'x' * 4096))\np.readblocks(1, b, 0)\nprint(b)\n"
        "print(p.info(), p.ioctl(4, 0), p.ioctl(5, 0), p.ioctl(6, 1))\np.readblocks(1, b)\nprint(b)\n"
        "try:\n    p.readblocks(p.ioctl(4, 0), b)\nexcept OSError as e:\n    print('outside')"
    )
    lines = board.run(2000).splitlines()
    blank = "\\xff" * 12
    assert lines[0] == "bytearray(b'" + "\\xff" * 8 + "old\\xff')"
    assert lines[1] == "7"
    assert lines[2] == "bytearray(b'xxxxxxxxxxxx')"
    assert lines[3] == f"(1, 64, {JOURNAL[0]}, {JOURNAL[1]}, 'journal', False) 320 4096 0"
    assert lines[4] == f"bytearray(b'{blank}')" and lines[5] == "outside"
    assert board.flash.counts.erases_by_sector == {JOURNAL[0] // SECTOR_BYTES + 1: 2}


def test_a_board_that_reads_undecided_cells_reads_them_anew_each_time(rig: Any) -> None:
    board = rig(
        "import esp32, machine\np = esp32.Partition.find(1, label='journal')[0]\nb = bytearray(64)\n"
        "seen = set()\nfor _ in range(20):\n    p.readblocks(0, b, 64)\n    seen.add(bytes(b))\nprint(len(seen))\n"
        "p.writeblocks(0, bytes(64), 64)\nprint('whole')"
    )
    from host_tools.simulator.flash import PlannedCut

    board.board.plan_cut(PlannedCut(board.board.power_cut, share=0.5))
    assert board.run(2000) == "1\n"
    board.board.power_on()
    assert int(board.run(1000).split()[1]) > 1
    assert board.board.boots == 2
