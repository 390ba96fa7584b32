"""What a journal lacks: the centre names the positions, why, and between which times, and never says more than it knows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from running_centre import START_MS, Centre
from sealing_board import Board

from host_tools.cli import collector as command
from host_tools.cli.main import main
from host_tools.collector import gaps
from host_tools.collector.gaps import DAMAGED, OVERWRITTEN, TO_COME, UNKNOWN, UNUSABLE, Gap, missing
from host_tools.collector.opening import Opened
from host_tools.collector.page import PAGE
from host_tools.collector.store import CLONES
from host_tools.collector.wording import gap_sectors, warnings
from host_tools.formats import records
from host_tools.formats.sector import SECTOR_BYTES
from host_tools.formats.wire import Piece

RING = 320
MINUTE = 60_000
HOUR = 60 * MINUTE
REQUEST_PIECES = 40


class Door:
    """A board before a centre, with a ring as the smallest flash has it: what it sends and what it overwrites."""

    def __init__(self, centre: Centre, number: int = 1, place: str = "market gate") -> None:
        self.centre = centre
        self.board = centre.add(Board(number), place)
        self.board.new_epoch(cause=1)
        self.board.sector_key = self.board.epoch_public
        self.released: set[int] = set()
        self.stored = (0, 0)  # sequence and offset up to which the head is stored
        self.dropped: list[int] = []

    def scan(self, count: int = 1, every_ms: int = MINUTE) -> None:
        for number in range(count):
            self.board.scan(f"0790{self.board.uptime_ms + number:08d}", after_ms=every_ms)
        self.centre.now_ms = START_MS + self.board.uptime_ms

    def fill(self, sectors: int, scans: int = 2, every_ms: int = 10 * MINUTE) -> None:
        """Sectors of a few scans each; under `overwrite` the oldest unreleased is dropped for each too many."""
        for _ in range(sectors):
            self.board.next_sector()
            oldest = self.board.sequence + 1 - RING
            if oldest > 0 and oldest not in self.released and oldest not in self.dropped:
                self.dropped.append(oldest)
            self.scan(scans, every_ms)

    def send(self) -> None:
        """All that is held and not stored yet, oldest first."""
        waiting = []
        for piece in self.board.pieces():
            if piece.sequence in self.dropped or piece.sequence in self.released:
                continue
            start = self.stored[1] if piece.sequence == self.stored[0] else piece.offset
            if start < piece.offset + len(piece.data):
                data = piece.data[start - piece.offset :]
                waiting.append(Piece(piece.generation, piece.sequence, self.key(piece, start), start, data))
            elif piece.sequence != self.board.sequence:
                self.released.add(piece.sequence)
        while waiting:
            batch, waiting = waiting[:REQUEST_PIECES], waiting[REQUEST_PIECES:]
            assert self.centre.send(self.board, batch) == len(batch)
            last = batch[-1]
            self.released |= {piece.sequence for piece in batch} - {self.board.sequence}
            self.stored = (last.sequence, last.offset + len(last.data))

    def key(self, piece: Piece, start: int) -> bytes:
        return piece.epoch_public if start == piece.offset else self.board.epoch_public

    def clock(self) -> None:
        self.centre.now_ms = START_MS + self.board.uptime_ms
        self.board.clock(self.centre.now_ms)

    def gaps(self) -> list[Gap]:
        with self.centre.store() as store:
            return list(missing(store, self.board.device_id).gaps)


@pytest.fixture
def door(centre: Centre) -> Door:
    door = Door(centre)
    door.clock()
    return door


def outage(door: Door, sectors: int = RING + 4) -> tuple[int, int]:
    """Two sectors are stored, a third in part; then the ring goes round. Returns when the outage began and its offset."""
    door.scan(3)
    door.fill(2)
    door.send()
    began, offset = door.centre.now_ms, door.stored[1]
    door.scan(2)
    door.fill(sectors)
    return began, offset


def test_overwritten_sectors_are_named_with_the_open_one_they_began_in(door: Door) -> None:
    began, offset = outage(door)
    assert door.dropped == [3, 4, 5, 6, 7, 8]
    door.send()
    (gap,) = door.gaps()
    assert (gap.first, gap.offset, gap.last, gap.end, gap.cause) == (3, offset, 8, SECTOR_BYTES, OVERWRITTEN)
    assert gap.generation == door.board.generation and gap.checkpoints == ("market gate",)
    assert (gap.sectors, gap.whole_sectors) == (6, 5)
    # Ten hours and a half lie between the last scan stored and the first one behind the gap.
    lost_at = [began + MINUTE, began + 2 * MINUTE + 10 * 10 * MINUTE]
    assert gap.earliest_ms <= lost_at[0] and lost_at[1] <= gap.latest_ms < lost_at[1] + 10 * MINUTE + 1000
    assert gap.earliest_ms >= began - 1000
    door.scan(30)
    door.clock()
    door.send()
    assert door.gaps() == [gap], "what is settled stays"


def test_only_the_end_of_the_open_sector_is_lost(door: Door) -> None:
    _, offset = outage(door, sectors=RING - 1)
    assert door.dropped == [3]
    door.send()
    (gap,) = door.gaps()
    assert (gap.first, gap.offset, gap.last, gap.end, gap.cause) == (3, offset, 3, SECTOR_BYTES, OVERWRITTEN)
    described = door.centre.state()["boards"][0]
    assert (described["missing_sectors"], described["holes"]) == (0, 1)


def test_a_ring_not_yet_round_has_lost_nothing(door: Door) -> None:
    outage(door, sectors=RING - 2)
    assert door.dropped == []
    door.send()
    door.scan(5)
    door.send()
    assert door.gaps() == []


def test_years_without_an_outage_leave_no_gap(door: Door) -> None:
    """Each sector is stored to its end before the next is opened, and the ring has been round."""
    for _ in range(RING + 20):
        door.fill(1, scans=1)
        door.send()
    assert door.gaps() == []


def test_nights_without_power_are_no_gap(door: Door) -> None:
    for _ in range(8):
        door.board.uptime_ms += 14 * HOUR
        door.fill(60, scans=1)
        door.send()
    assert door.gaps() == []


def test_until_the_board_has_caught_up_it_may_still_come(door: Door) -> None:
    door.fill(1)
    door.send()
    door.fill(3)
    kept = [piece for piece in door.board.pieces() if piece.sequence != 3]
    assert door.centre.send(door.board, kept[2:]) == 2
    (gap,) = door.gaps()
    assert (gap.first, gap.last, gap.cause) == (2, 3, TO_COME) and gap.offset > 64
    # The first record made after that says how far the board was then, so the ring had not gone round.
    door.scan(2)
    door.clock()
    door.centre.send(door.board, [door.board.piece()])
    (gap,) = door.gaps()
    assert (gap.first, gap.last, gap.cause) == (2, 3, UNKNOWN)
    door.centre.send(door.board)
    assert door.gaps() == []


def passed_over(door: Door, unusable: int) -> None:
    door.fill(1)
    door.board.next_sector(skip=1)
    door.scan(2)
    door.board.append(kind=records.HEALTH, after_ms=MINUTE, health=[[3, 0], [4, unusable]])
    door.send()
    door.scan(2)
    door.clock()
    door.send()


@pytest.mark.parametrize(("unusable", "cause"), [(1, UNUSABLE), (0, UNKNOWN)])
def test_a_number_passed_over_is_known_by_what_health_says(door: Door, unusable: int, cause: str) -> None:
    passed_over(door, unusable)
    (gap,) = door.gaps()
    assert (gap.first, gap.last, gap.whole_sectors, gap.cause) == (3, 3, 1, cause)
    assert gap.loses == (cause == UNKNOWN) == bool(gap.records)
    described = door.centre.state()["boards"][0]
    assert described["missing_sectors"] == (cause == UNKNOWN) and described["unusable_numbers"] == unusable


def test_a_damaged_sector_that_came_raw_explains_a_number(door: Door) -> None:
    raw = Piece(door.board.generation, 0, bytes(32), 0, b"\x00" * SECTOR_BYTES)
    assert door.centre.send(door.board, [raw]) == 1
    passed_over(door, 0)
    assert [(gap.first, gap.cause) for gap in door.gaps()] == [(3, DAMAGED)]


def test_a_hole_inside_a_sector_and_a_beginning_never_seen(door: Door) -> None:
    door.board.next_sector(skip=3)
    door.scan(6)
    piece = door.board.piece()
    a, b = (lsn % SECTOR_BYTES for lsn in door.board.lsns[-5:-3])
    key, data = piece.epoch_public, piece.data
    first = Piece(piece.generation, 5, key, 64, data[: a - 64])
    rest = Piece(piece.generation, 5, key, b, data[b - 64 :])
    door.centre.send(door.board, [first])
    door.centre.send(door.board, [rest])
    named = [(gap.first, gap.offset, gap.last, gap.end) for gap in door.gaps()]
    assert named == [(1, 64, 4, SECTOR_BYTES), (5, a, 5, b)]
    assert door.gaps()[0].earliest_ms == 0 and door.gaps()[0].latest_ms <= door.centre.now_ms
    described = door.centre.state()["boards"][0]
    assert (described["missing_sectors"], described["holes"]) == (4, 1)
    assert [gap_sectors(gap) for gap in door.gaps()] == ["sectors 1 … 4", f"sector 5+{a} … 5+{b}"]


def test_a_reopened_head_is_no_gap(door: Door) -> None:
    """A head whose only frames were torn comes as it was, and again from its beginning once it holds something."""
    door.fill(1)
    torn = Piece(door.board.generation, 3, door.board.epoch_public, 64, b"\x31" * 40)
    door.centre.send(door.board, [*door.board.pieces(), torn])
    door.fill(1)
    door.send()
    assert door.gaps() == []


def test_a_database_put_back_makes_gaps_that_nobody_explains(door: Door, tmp_path: Path) -> None:
    door.fill(2)
    door.send()
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(door.centre.db)) as now, closing(sqlite3.connect(copy)) as then:
        now.backup(then)
    door.fill(3)
    door.send()
    with closing(sqlite3.connect(door.centre.db)) as now, closing(sqlite3.connect(copy)) as then:
        then.backup(now)
    door.fill(1)
    door.send()
    door.fill(1)
    door.clock()
    door.send()
    assert [(gap.first, gap.last, gap.cause) for gap in door.gaps()] == [(3, 6, UNKNOWN)]


def test_what_health_counted_is_added_up_over_boots(door: Door) -> None:
    board = door.board
    for lost in (0, 2, 5):
        board.append(kind=records.HEALTH, after_ms=MINUTE, health=[[3, lost]])
    board.new_epoch(cause=records.CAUSE_NEW_KEY)
    board.append(kind=records.HEALTH, after_ms=MINUTE, health=[[3, 6]])
    board.new_epoch(cause=1)
    board.append(kind=records.HEALTH, after_ms=MINUTE, health=[[3, 1]])
    board.next_sector(skip=1)
    door.scan(1)
    door.send()
    assert door.centre.state()["boards"][0]["overwritten_said"] == 7


# What is shown of it.


def test_a_trace_says_what_the_answer_lacks(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door.board.scan("555", after_ms=MINUTE)
    elsewhere = Door(door.centre, 2, "hospital gate")
    elsewhere.board.uptime_ms = door.board.uptime_ms
    elsewhere.clock()
    elsewhere.board.scan("777", after_ms=MINUTE)
    elsewhere.send()
    outage(door)
    door.board.scan("666", after_ms=500 * HOUR)
    door.send()
    told = tmp_path / "told.json"

    def ask(card: str, *words: str) -> str:
        assert main(["trace", card, "--db", str(door.centre.db), "--json", str(told), *words]) == 0
        return capsys.readouterr().out

    out = ask("555", "--stay", "120")
    assert "not the whole answer" in out and "6 sectors are missing" in out
    assert "market gate  sectors 3+" in out and "overwritten" in out
    (gap,) = json.loads(told.read_text())["missing"]
    assert (gap["first_sector"], gap["last_sector"], gap["cause"]) == (3, 8, OVERWRITTEN)
    assert gap["checkpoints"] == ["market gate"] and gap["device"] == door.board.device_id.hex()
    # Another place, and another time at this place.
    for card in ("777", "666"):
        assert "whole answer" not in ask(card), card
        assert json.loads(told.read_text())["missing"] == []
    # Whoever was never seen may have been in what is missing, unless the span asked for is another.
    assert "no scan of it is known" in ask("999") and "6 sectors" in ask("999")
    assert "whole answer" not in ask("999", "--from", "2031-01-01T00:00Z")
    assert "whole answer" not in ask("999", "--to", "2021-11-18T07:00Z")


def test_a_number_passed_over_takes_nothing_from_a_trace(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.board.scan("555", after_ms=MINUTE)
    passed_over(door, 1)
    assert main(["trace", "555", "--db", str(door.centre.db)]) == 0
    assert "whole answer" not in capsys.readouterr().out


def test_status_names_gaps_and_warns(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outage(door)
    door.board.append(kind=records.HEALTH, health=[[3, 6], [4, 1], [16, 96]])
    door.send()
    monkeypatch.setattr(command, "_database", lambda directory: door.centre.db)
    told = tmp_path / "status.json"
    assert main(["collector", "status", str(tmp_path), "--json", str(told)]) == 0
    out = capsys.readouterr().out
    assert "5 sectors missing, 1 hole\n" in out
    marked = [line.split("  ", 1)[1] for line in out.splitlines() if line.startswith("!")]
    assert marked[:3] == ["journal almost full: 96 %", "6 sectors overwritten since this boot", "1 sector unusable"]
    assert marked[3].startswith("market gate  sectors 3+") and "overwritten" in marked[3]
    assert json.loads(told.read_text())["missing"][0]["last_sector"] == 8
    assert told.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    assert main(["collector", "status", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "nhật ký sắp hết chỗ: 96 %" in out and "đã bị ghi đè" in out and "5 sector thiếu, 1 lỗ hổng" in out


@pytest.mark.parametrize(("fill", "said"), [(79, []), (80, ["journal filling up: 80 %"]), (95, ["journal almost full: 95 %"])])
def test_the_journal_warns_at_80_and_95_percent(fill: int, said: list[str]) -> None:
    assert warnings({"journal_fill_percent": fill, "sectors_lost": 0}) == said


def test_the_page_is_told_only_what_changed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps are looked for when a sector came, not each time a card does."""
    door.fill(3)
    door.send()
    assert door.centre.state()["missing"] == []
    asked: list[bytes] = []
    real = gaps.missing
    monkeypatch.setattr(gaps, "missing", lambda store, device: asked.append(device) or real(store, device))
    door.scan()
    door.send()
    door.centre.state()
    assert asked == []
    door.fill(1)
    door.send()
    door.centre.state()
    assert len(asked) == 1


def test_the_page_has_words_for_every_cause() -> None:
    vietnamese, _, english = PAGE.partition("  en: {")
    for cause in (OVERWRITTEN, TO_COME, UNKNOWN, DAMAGED):
        assert f'"{cause}": "' in vietnamese and f'"{cause}": "' in english
    for kind in CLONES:
        assert f'"{kind}": "nhân bản: ' in PAGE


def test_an_empty_centre_lacks_nothing(centre: Centre) -> None:
    board = centre.add(Board())
    with centre.store() as store:
        store.begin()
        store.ingest(board.device_id, Opened(), START_MS)
        store.commit()
        assert missing(store, board.device_id).gaps == ()
