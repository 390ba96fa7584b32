"""Bit rot and strangers in a board's flash: it boots, sends what can be read and the rest raw, and uses the space again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from host_tools.build.partitions import find
from host_tools.collector.opening import DAMAGED_SECTOR, UNREADABLE
from host_tools.collector.state import StateView
from host_tools.collector.store import CLONE_ALIVE, CLONES, Store
from host_tools.formats import records
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, parse_header, programmed_end
from host_tools.simulator import scenario
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.crowd import Album
from host_tools.simulator.flash import Operation
from host_tools.simulator.judge import KEPT_SIGNALS, Card, card_of
from host_tools.simulator.run import Run
from tests.collector.sealing_board import Board

GATE = """
name = "strangers"
seed = {seed}
duration_s = {seconds}
settle_s = 120
[[board]]
name = "gate"
config = {{ repeat_window_s = 5, journal_full = "{full}" }}
[[crowd]]
board = "gate"
from_ms = {from_ms}
count = {count}
every_ms = 1500
people = {count}
"""
SECOND = 1_000_000
OTHER_KEY = b"\x5e" * 32


@pytest.fixture(scope="module")
def album() -> Album:
    """Pictures are drawn once for all tests of this file."""
    return Album()


@pytest.fixture
def stage(album: Album) -> Iterator[Callable[..., Run]]:
    """stage(plan) -> Run, ended with the test."""
    made: list[Run] = []

    def make(plan: str) -> Run:
        made.append(Run(scenario.parse(plan), album=album))
        return made[-1]

    yield make
    for run in made:
        run.close()


def gate(seed: int, *, full: str = "refuse", from_ms: int = 6000, count: int = 4, seconds: int = 14) -> str:
    return GATE.format(seed=seed, full=full, from_ms=from_ms, count=count, seconds=seconds)


def past(checkpoint: Checkpoint, *, device_key: bytes | None = None, scans: int = 900, **start: int) -> Board:
    """What an earlier life of this board would have journalled (under another key: what a stranger's would)."""
    board = Board(1, collector=checkpoint.keys.collector_private, **start)
    board.device_id = checkpoint.keys.device_id
    board.device_key = device_key or checkpoint.keys.device_key
    board.new_epoch()
    board.sector_key = board.epoch_public
    board.append(kind=records.BOOT, cause=1, version="0.0.9", config=1)
    for number in range(scans):
        if number == scans // 2:
            board.new_epoch(cause=1)
        board.scan(f"0790990{number:05d}")
    return board


def lay(checkpoint: Checkpoint, board: Board) -> None:
    """Put a past into the flash, every sector unreleased."""
    flash = bytearray(checkpoint.flash.dump())
    start, size = checkpoint.journal
    for piece in board.pieces():
        at = start + (piece.sequence - 1) % (size // SECTOR_BYTES) * SECTOR_BYTES
        assert HEADER_BYTES + len(piece.data) <= SECTOR_BYTES
        header = Header(piece.generation, piece.sequence, board.device_id, piece.epoch_public).pack()
        flash[at : at + SECTOR_BYTES] = (header + piece.data).ljust(SECTOR_BYTES, b"\xff")
    checkpoint.flash.replace(bytes(flash))


def spoil(checkpoint: Checkpoint, lsn: int, bits: int = 1) -> None:
    """Bits flip at a position of the journal."""
    sequence, offset = divmod(lsn, SECTOR_BYTES)
    start, size = checkpoint.journal
    checkpoint.flash.flip(start + (sequence - 1) % (size // SECTOR_BYTES) * SECTOR_BYTES + offset, bits)


def beeped(checkpoint: Checkpoint) -> Counter[Card]:
    """Cards that a signal promised to keep."""
    found: Counter[Card] = Counter()
    for beep in checkpoint.log.beeps:
        if beep.signal.name in KEPT_SIGNALS:
            assert beep.read is not None and beep.read.showing is not None
            shown = beep.read.showing
            assert shown.scheme is not None and shown.card is not None
            found[shown.scheme, shown.card] += 1
    return found


class Centre:
    """What the collector has of one board."""

    def __init__(self, run: Run, checkpoint: Checkpoint) -> None:
        with Store(run.world.database) as store:
            self.rows = store.rows(checkpoint.keys.device_id)
            self.reports = store.reports()
            self.quarantine = store.db.execute(
                "SELECT reason, sequence, offset, data FROM quarantine WHERE device_id = ?", (checkpoint.keys.device_id,)
            ).fetchall()
        self.lsns = {row.lsn for row in self.rows}
        self.cards = Counter(card for row in self.rows if (card := card_of(row)) is not None)

    @property
    def clones(self) -> list[str]:
        return [kind for _, kind, *_ in self.reports if kind in CLONES]

    def raw(self) -> set[bytes]:
        """Sectors that came whole."""
        return {data for reason, _, _, data in self.quarantine if reason == DAMAGED_SECTOR}


def sectors_of(checkpoint: Checkpoint) -> list[bytes]:
    image = checkpoint.journal_image()
    return [image[at : at + SECTOR_BYTES] for at in range(0, len(image), SECTOR_BYTES)]


def intact(checkpoint: Checkpoint) -> list[int]:
    """The sectors that have a header."""
    return [index for index, sector in enumerate(sectors_of(checkpoint)) if parse_header(sector) is not None]


def works(run: Run, checkpoint: Checkpoint, count: int) -> Centre:
    """The door does its work: every card was recorded, has arrived, and nothing was done to the flash that NOR forbids."""
    centre = Centre(run, checkpoint)
    cards = beeped(checkpoint)
    assert cards.total() == count, [beep.signal.name for beep in checkpoint.log.beeps]
    assert cards <= centre.cards
    assert checkpoint.flash.violations == [] and checkpoint.board.faults == []
    assert checkpoint.board.boots == 1 + len(checkpoint.log.downs)
    return centre


# Bit rot.


def test_flipped_bits_cost_what_they_hit_and_no_more(stage: Callable[..., Run]) -> None:
    run = stage(gate(1))
    checkpoint = run.world.checkpoints["gate"]
    board = past(checkpoint)
    lay(checkpoint, board)
    last = board.sequence
    assert last >= 5
    sectors = sectors_of(checkpoint)
    spoil(checkpoint, 1 * SECTOR_BYTES + 21, 0x04)  # a header: the key in it
    for at in range(0, 56, 3):
        spoil(checkpoint, 2 * SECTOR_BYTES + at, 0x55)  # a header beyond mending
    spoil(checkpoint, 3 * SECTOR_BYTES + 56, 0x40)  # a release mark that is none
    spoil(checkpoint, 5 * SECTOR_BYTES + 56, 0xFD)  # a mark that was one, a bit of it flipped back
    (renewed,) = (piece for piece in board.pieces() if b"\xfe" + board.epoch_public in piece.data)
    at = HEADER_BYTES + renewed.data.index(b"\xfe" + board.epoch_public)
    spoil(checkpoint, renewed.sequence * SECTOR_BYTES + at + 7)  # an epoch frame: the key in it
    hit = [next(lsn for lsn in board.lsns if lsn // SECTOR_BYTES == 3 and lsn % SECTOR_BYTES > 1000)]
    spoil(checkpoint, hit[0] + 5)  # a ciphertext
    hit.append(next(lsn for lsn in board.lsns if lsn // SECTOR_BYTES == 4 and lsn % SECTOR_BYTES > 2000))
    spoil(checkpoint, hit[1], 0x80)  # a length
    hit.append(board.lsns[-3])
    spoil(checkpoint, hit[2] + 9, 0x10)  # in the head, near its end
    run.play()
    centre = works(run, checkpoint, 4)
    assert set(board.lsns) - centre.lsns == set(hit)
    rotten = sectors_of(checkpoint)
    assert centre.raw() == {rotten[0], rotten[1]} != {sectors[0], sectors[1]}
    assert Counter(reason for reason, *_ in centre.quarantine) == {DAMAGED_SECTOR: 2, UNREADABLE: 4}
    assert centre.clones == []
    # The head with the broken frame was closed, and work went on behind it.
    head = parse_header(rotten[last])
    assert head is not None and head.sequence == last + 1 and head.generation == board.generation
    assert all(header.released for sector in rotten[2:last] if (header := parse_header(sector)) is not None)
    assert rotten[2][56] == rotten[4][56] == 0, "what only looked like a mark was sent again and marked"


def test_flipped_bits_in_what_a_board_has_just_written(stage: Callable[..., Run]) -> None:
    """The board records offline, is off, rots, and comes back with a network."""
    faults = '[[fault]]\nkind = "wifi_down"\nat_ms = 100\nfor_ms = 24000\n'
    run = stage(gate(2, count=14, seconds=36) + faults)
    checkpoint = run.world.checkpoints["gate"]
    kernel = run.world.kernel
    kernel.run(16 * SECOND)
    checkpoint.power_cut(2 * SECOND)
    before = beeped(checkpoint)
    start = checkpoint.journal[0]
    end = programmed_end(sectors_of(checkpoint)[0])
    assert before.total() >= 4 and end > 200
    checkpoint.flash.flip(start + end - 6, 0x20)  # the tag of the last record
    checkpoint.flash.flip(start + end + 40, 0x20)  # a cell that was blank
    run.play()
    centre = Centre(run, checkpoint)
    missing = beeped(checkpoint) - centre.cards
    assert missing.total() == 1 and missing <= before
    assert beeped(checkpoint).total() > before.total(), "the door went on"
    assert checkpoint.flash.violations == []
    assert sum(len(data) for reason, _, _, data in centre.quarantine) > 20
    head = parse_header(sectors_of(checkpoint)[1])
    assert head is not None and head.sequence == 2


# Strangers.


@pytest.mark.parametrize("sequence", [3, 300, 321 + 9], ids=["behind", "before", "a round ahead"])
def test_a_sector_of_another_generation_arrives_as_itself(stage: Callable[..., Run], sequence: int) -> None:
    run = stage(gate(3))
    checkpoint = run.world.checkpoints["gate"]
    board = past(checkpoint, scans=200)
    lay(checkpoint, board)
    older = past(checkpoint, scans=60, generation=0xAB, sequence=sequence, epochs=40)
    assert not {piece.sequence for piece in board.pieces()} & {sequence}
    lay(checkpoint, older)
    run.play()
    centre = works(run, checkpoint, 4)
    for one in (board, older):
        mine = {row.lsn for row in centre.rows if row.generation == one.generation}
        assert set(one.lsns) <= mine
    assert centre.quarantine == [] and centre.clones == []
    # The highest sequence is current: the board goes on there.
    current = max((board, older), key=lambda one: one.sequence)
    scans = [row for row in centre.rows if row.lsn > current.lsns[-1] and row.generation == current.generation]
    assert sum(card_of(row) is not None for row in scans) == 4


def test_a_journal_under_another_device_key_arrives_unopened(stage: Callable[..., Run]) -> None:
    run = stage(gate(4))
    checkpoint = run.world.checkpoints["gate"]
    stranger = past(checkpoint, device_key=OTHER_KEY)
    lay(checkpoint, stranger)
    run.play()
    centre = works(run, checkpoint, 4)
    assert len(centre.rows) < 20, "nothing of the stranger's opens"
    pieces = stranger.pieces()
    by_sequence = {sequence: data for reason, sequence, _, data in centre.quarantine if reason == UNREADABLE}
    assert by_sequence == {piece.sequence: piece.data for piece in pieces}
    assert all(header.released for sector in sectors_of(checkpoint)[: len(pieces) - 1] if (header := parse_header(sector)))


# Clones and old dumps.


def test_a_cloned_board_is_reported_and_its_scans_are_kept(stage: Callable[..., Run]) -> None:
    plan = gate(5, count=12, seconds=32).replace("[[crowd]]", '[[board]]\nname = "copy"\npower_on_ms = 17000\n[[crowd]]', 1)
    crowd = '[[crowd]]\nboard = "copy"\nfrom_ms = 23200\ncount = 5\nevery_ms = 1500\npeople = 5\nfirst = 100\n'
    run = stage(plan + crowd)
    original, copy = run.world.checkpoints["gate"], run.world.checkpoints["copy"]
    run.world.kernel.run(13 * SECOND)
    original.power_cut(1 * SECOND)  # whoever copies a flash takes the board off its supply
    copy.flash.replace(original.flash.dump())
    run.play()
    centre = Centre(run, original)
    assert beeped(copy).total() == 5 and beeped(original).total() >= 8
    assert beeped(original) + beeped(copy) <= centre.cards
    assert centre.clones, "two boards wrote on from one flash, and nobody says so"
    with Store(run.world.database) as store:
        assert store.rows(copy.keys.device_id) == [], "the copy speaks with the original's identity"
    for checkpoint in (original, copy):
        assert checkpoint.flash.violations == []


def test_a_restored_flash_is_reported_and_nothing_is_lost(stage: Callable[..., Run]) -> None:
    run = stage(gate(6, count=18, seconds=42))
    checkpoint = run.world.checkpoints["gate"]
    kernel = run.world.kernel
    kernel.run(13 * SECOND)
    old = checkpoint.flash.dump()
    kernel.run(25 * SECOND + SECOND // 2)  # whatever beeped has been sent: what is wiped before that is gone
    before = beeped(checkpoint)
    assert not Centre(run, checkpoint).clones
    checkpoint.power_cut(2 * SECOND)
    checkpoint.flash.replace(old)
    run.play()
    centre = Centre(run, checkpoint)
    assert beeped(checkpoint).total() > before.total()
    assert beeped(checkpoint) <= centre.cards
    assert centre.clones, "positions were used twice, and nobody says so"
    assert checkpoint.flash.violations == []


def test_an_identity_put_into_another_board_mixes_nothing(stage: Callable[..., Run]) -> None:
    """Same identity, a blank journal: another generation, so nothing overlaps, and both are kept apart by it."""
    plan = gate(7, count=4, seconds=14).replace("[[crowd]]", '[[board]]\nname = "copy"\n[[crowd]]', 1)
    crowd = '[[crowd]]\nboard = "copy"\nfrom_ms = 6700\ncount = 4\nevery_ms = 1500\npeople = 4\nfirst = 100\n'
    run = stage(plan + crowd)
    original, copy = run.world.checkpoints["gate"], run.world.checkpoints["copy"]
    image = bytearray(copy.flash.dump())
    place = find(copy.partitions, "identity")
    image[place.offset : place.end] = original.flash.dump()[place.offset : place.end]
    copy.flash.replace(bytes(image))
    run.play()
    centre = Centre(run, original)
    assert beeped(original) + beeped(copy) <= centre.cards
    assert len({row.generation for row in centre.rows}) == 2
    assert set(centre.clones) == {CLONE_ALIVE}, "two boards spoke in turns under one identity, and nobody says so"


def test_one_board_in_a_bad_network_is_no_clone(stage: Callable[..., Run]) -> None:
    """Restarts, packets lost on the way there and back, and a captive portal: all of it is one board."""
    faults = "".join(
        f'[[fault]]\nkind = "{kind}"\nat_ms = {at_ms}\nfor_ms = {for_ms}\n'
        for kind, at_ms, for_ms in (("black_hole", 9000, 6000), ("portal", 22000, 3000), ("black_hole", 30000, 5000))
    )
    cuts = "".join(f'[[fault]]\nkind = "power_cut"\nat_ms = {at_ms}\n' for at_ms in (12000, 20000, 31000))
    run = stage(gate(12, count=24, seconds=48) + faults + cuts)
    run.play()
    checkpoint = run.world.checkpoints["gate"]
    centre = Centre(run, checkpoint)
    assert beeped(checkpoint) <= centre.cards and len(checkpoint.log.downs) == 3
    assert centre.clones == []
    with Store(run.world.database) as store:
        assert store.db.execute("SELECT COUNT(*) FROM heard WHERE alive > 0").fetchone()[0] >= 2, "it was looked for"


# Sectors that take nothing.


def test_sectors_that_will_not_erase_or_program_are_passed_over(stage: Callable[..., Run]) -> None:
    plan = gate(13, from_ms=8000, count=14, seconds=60).replace("repeat_window_s", "health_s = 10, repeat_window_s")
    run = stage(plan)
    checkpoint = run.world.checkpoints["gate"]
    board = past(checkpoint, scans=166)
    assert len(board.pieces()) == 1 and 3800 < len(board.data) < 3970
    lay(checkpoint, board)
    start = checkpoint.journal[0]
    # The second sector takes no header, the third keeps cells through its erase, and a record in it fails unseen.
    second, third = start + SECTOR_BYTES, start + 2 * SECTOR_BYTES
    failed: list[int] = []

    def fails(operation: Operation) -> bool:
        record = third + 200 < operation.address < third + SECTOR_BYTES and third not in failed
        if operation.address == second or record:
            failed.append(second if operation.address == second else third)
        return operation.address == second or record

    checkpoint.flash.fails_silently = fails
    checkpoint.flash.worn_sectors = {third // SECTOR_BYTES}
    run.play()
    run.world.kernel.run(run.world.kernel.now_us + 11 * SECOND)
    centre = Centre(run, checkpoint)
    assert failed == [second, third]
    signals = Counter(beep.signal.name for beep in checkpoint.log.beeps)
    assert signals["recorded"] == 13 and signals["fault"] == 1, "a card is refused, never lost, and the next one finds a sector"
    assert beeped(checkpoint) <= centre.cards
    assert set(board.lsns) <= centre.lsns and checkpoint.board.faults == [] and centre.clones == []
    head = max((header for sector in sectors_of(checkpoint) if (header := parse_header(sector))), key=lambda h: h.sequence)
    assert head.sequence == 4
    with closing(StateView(run.world.database, run.world.utc_ms)) as view:
        (described,) = view.state()["boards"]
    assert described["health"]["sectors_unusable"] == 1
    assert (described["missing_sectors"], described["unusable_numbers"]) == (0, 1)


# Noise.


def fill_with_noise(checkpoint: Checkpoint, seed: int, first: int = 0) -> list[bytes]:
    """Random bytes in every sector of the journal from index `first` on; returns those sectors."""
    flash = bytearray(checkpoint.flash.dump())
    start, size = checkpoint.journal
    noise = random.Random(seed).randbytes(size - first * SECTOR_BYTES)
    flash[start + first * SECTOR_BYTES : start + size] = noise
    checkpoint.flash.replace(bytes(flash))
    return [noise[at : at + SECTOR_BYTES] for at in range(0, len(noise), SECTOR_BYTES)]


def test_random_bytes_in_the_whole_partition_under_overwrite(stage: Callable[..., Run]) -> None:
    run = stage(gate(8, full="overwrite", from_ms=50_000, count=6, seconds=60))
    checkpoint = run.world.checkpoints["gate"]
    noise = set(fill_with_noise(checkpoint, 9))
    run.play()
    centre = works(run, checkpoint, 6)
    # The first sector is needed before it can be sent; every other arrives.
    assert centre.raw() <= noise and len(noise - centre.raw()) == 1
    assert len(intact(checkpoint)) == 1


def test_random_bytes_in_the_whole_partition_under_refuse(stage: Callable[..., Run]) -> None:
    """Nothing is written over before it has been sent; and a second boot, that knows nothing of that, works as well."""
    later = '[[crowd]]\nboard = "gate"\nfrom_ms = 120000\ncount = 3\nevery_ms = 1500\npeople = 3\nfirst = 100\n'
    run = stage(gate(8, from_ms=50_000, count=6, seconds=128) + later)
    checkpoint = run.world.checkpoints["gate"]
    noise = set(fill_with_noise(checkpoint, 9))
    run.world.kernel.run(62 * SECOND)
    assert works(run, checkpoint, 6).raw() == noise
    head = intact(checkpoint)
    assert len(head) == 1
    checkpoint.power_cut(1 * SECOND)
    run.play()
    assert works(run, checkpoint, 9).raw() == noise, "what is sent again is known again"
    assert intact(checkpoint) == head


@pytest.mark.parametrize("full", ["overwrite", "refuse"])
def test_the_head_goes_on_into_noise(stage: Callable[..., Run], full: str) -> None:
    """One sound sector, nearly full and never sent, in a partition of noise; `overwrite` without a network for a while."""
    away = '[[fault]]\nkind = "wifi_down"\nat_ms = 100\nfor_ms = 29000\n' if full == "overwrite" else ""
    run = stage(gate(10, full=full, from_ms=6000 if away else 50_000, count=8, seconds=60) + away)
    checkpoint = run.world.checkpoints["gate"]
    board = past(checkpoint, scans=166)
    assert len(board.pieces()) == 1 and 3800 < len(board.data) < 3970
    lay(checkpoint, board)
    noise = set(fill_with_noise(checkpoint, 11, first=1))
    run.play()
    centre = works(run, checkpoint, 8)
    assert set(board.lsns) <= centre.lsns, "the head was given up for noise"
    assert centre.raw() <= noise and len(noise - centre.raw()) <= (1 if away else 0)
    used = [header.sequence for index in intact(checkpoint) if (header := parse_header(sectors_of(checkpoint)[index]))]
    assert max(used) > 1, "no noise was written over"
