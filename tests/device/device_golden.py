"""The golden journal inside MicroPython: the firmware makes it byte for byte, and recovers it to the state written down."""

import json

import golden

FILES = golden.__file__.rsplit("/", 2)[0] + "/formats/golden/journal-v1."


def image():
    with open(FILES + "txt") as file:
        return golden.from_text(file)


def test_the_same_life_gives_the_same_image():
    cells = golden.live().flash.cells
    wanted = image()
    assert cells == wanted, "first difference at 0x%x" % next(at for at in range(len(cells)) if cells[at] != wanted[at])


def test_recovery():
    with open(FILES + "json") as file:
        wanted = json.load(file)["recovered"]
    assert golden.recovered(image()) == wanted, golden.recovered(image())


def test_the_recovered_board_goes_on():
    """The head is open: the next record goes behind the last one, after its own epoch frame and BOOT record."""
    board = golden.Board(0)
    board.flash.cells[:] = image()
    board.boot(golden.POWER_ON)
    sequence, offset = board.ring.sequence, board.ring.offset
    board.scan(b"000000000013")
    entries = [entry[1:4] for entry in board.kept]
    generation = entries[0][0]
    assert entries[0] == [generation, sequence, offset + 35], entries
    assert len(entries) == 2 and entries[1][:2] == [generation, sequence]
    assert generation == 0xC0FFEE07
