"""Two boards of one identity are told from one board that restarts, whatever the network does to its requests."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field

import pytest
from running_centre import Centre
from sealing_board import Board

from host_tools.collector import alive
from host_tools.collector.opening import Heard
from host_tools.collector.schema import HEARD, connect
from host_tools.collector.store import CLONE_ALIVE, CLONES
from host_tools.formats.wire import Piece

DEVICE = b"\0\0\0\0\0\0\0\x01"
FIRST_LSN = 4096 + 64


@dataclass
class Sender:
    """What a board's shipper does, as far as requests show it: it begins where an accepted reply says all is stored."""

    number: int
    generation: int
    end_lsn: int = FIRST_LSN
    boots: int = 0
    stored: int | None = None
    waits: list[tuple[bytes, int]] = field(default_factory=list)

    @property
    def epoch(self) -> bytes:
        return b"%d %d" % (self.number, self.boots)

    def boot(self) -> None:
        self.boots += 1
        self.stored = None
        self.waits.clear()

    def record(self) -> None:
        self.end_lsn += 28

    def request(self) -> Heard | None:
        begin = FIRST_LSN if self.stored is None else self.stored
        if self.end_lsn == begin:
            return None
        self.waits = [*self.waits[-3:], (self.epoch, self.end_lsn)]
        return Heard(self.epoch, (self.generation, begin), (self.generation, self.end_lsn))

    def reply(self, to: Heard) -> None:
        """Only a reply to one of the last four requests of this epoch is believed."""
        if (to.epoch_public, to.end[1]) in self.waits:
            self.waits.remove((to.epoch_public, to.end[1]))
            self.stored = max(self.stored or 0, to.end[1])


@pytest.fixture
def db() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(HEARD)
    return connection


def live(db: sqlite3.Connection, boards: list[Sender], rng: random.Random, steps: int, *, honest: float) -> int:
    """Boards record, restart and send; of what is under way any may come late, twice or never. Returns the reports."""
    requests: list[tuple[Sender, Heard]] = []
    replies: list[tuple[Sender, Heard]] = []
    found = 0

    def arrive(sender: Sender, request: Heard) -> None:
        nonlocal found
        found += len(alive.note(db, DEVICE, request))
        if rng.random() < honest:
            sender.reply(request)
        else:
            replies.append((sender, request))

    for _ in range(steps):
        sender = rng.choice(boards)
        move = rng.random()
        if move < 0.05:
            sender.boot()
        elif move < 0.5:
            sender.record()
        elif move < 0.8:
            request = sender.request()
            if request is not None:
                requests.append((sender, request))
                if rng.random() < honest:
                    arrive(sender, request)
        elif move < 0.9 and requests:
            arrive(*rng.choice(requests))
        elif replies:
            sender, request = rng.choice(replies)
            sender.reply(request)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_one_board_is_never_a_clone(db: sqlite3.Connection, seed: int) -> None:
    rng = random.Random(seed)
    board = Sender(1, 7)
    board.boot()
    assert live(db, [board], rng, 600, honest=rng.choice([0.0, 0.3, 0.7, 1.0])) == 0


@pytest.mark.parametrize("generations", [(7, 8), (7, 7)], ids=["blank journal", "same flash"])
@pytest.mark.parametrize("seed", range(10))
def test_two_boards_are_found(db: sqlite3.Connection, seed: int, generations: tuple[int, int]) -> None:
    rng = random.Random(seed)
    boards = [Sender(number, generation) for number, generation in enumerate(generations)]
    for board in boards:
        board.boot()
    assert live(db, boards, rng, 200, honest=0.7) > 0


def test_it_remembers_so_many_epochs_and_no_more(db: sqlite3.Connection) -> None:
    board = Sender(1, 7)
    for _ in range(3 * alive.REMEMBERED_EPOCHS):
        board.boot()
        for _ in range(3):
            board.record()
            request = board.request()
            assert request is not None
            assert alive.note(db, DEVICE, request) == []
            board.reply(request)
    assert db.execute("SELECT COUNT(*) FROM heard").fetchone() == (alive.REMEMBERED_EPOCHS,)


# Over HTTP.


def kinds(centre: Centre) -> list[str]:
    with centre.store() as store:
        return [kind for _, kind, *_ in store.reports()]


def news(board: Board, since: int) -> bytes:
    """A request of the bytes of the open sector from an offset on."""
    piece = board.piece()
    key = board.sector_key if since == 64 else board.epoch_public
    return board.request([Piece(piece.generation, piece.sequence, key, since, piece.data[since - 64 :])])


def talk(centre: Centre, board: Board, since: int) -> int:
    """One scan and its request; returns where the next begins."""
    board.scan(str(board.uptime_ms))
    status, _ = centre.post(news(board, since))
    assert status == 200
    return 64 + len(board.data)


def test_an_identity_on_two_boards_is_reported(centre: Centre) -> None:
    one = centre.add(Board(1))
    two = Board(1, generation=0xB0B, epochs=50)
    ends = {0xC0FFEE01: 64, 0xB0B: 64}
    for turn in range(3):
        for board in (one, two):
            ends[board.generation] = talk(centre, board, ends[board.generation])
        assert (CLONE_ALIVE in kinds(centre)) == (turn == 2), "after two requests nobody can know yet"
    assert set(kinds(centre)) == {CLONE_ALIVE}
    described = centre.state()
    assert described["boards"][0]["clones"] == 1
    assert described["reports"][0]["detail"] == " ".join(sorted(b.epoch_public.hex()[:16] for b in (one, two)))
    assert CLONE_ALIVE in centre.get("/")[1].decode()


def test_late_and_repeated_requests_of_the_boot_before_are_no_clone(centre: Centre) -> None:
    board = centre.add(Board(1))
    end = talk(centre, board, 64)
    end = talk(centre, board, end)
    board.scan("1")
    held = [news(board, end), news(board, end), news(board, 64)]
    said = news(board, end)
    assert centre.post(said)[0] == 200
    board.new_epoch(cause=1)
    end = 64
    for _ in range(3):
        end = talk(centre, board, end)
        for late in (*held, said):
            assert centre.post(late)[0] == 200
    assert kinds(centre) == []


def test_a_database_of_before_learns_to_tell_them(centre: Centre) -> None:
    board = centre.add(Board(1))
    with centre.store() as store:
        store.db.execute("DROP TABLE heard")
        store.db.execute("DROP INDEX records_unscanned")
        store.db.execute("DROP INDEX records_waved_in")
        store.db.execute("PRAGMA user_version=1")
    connect(centre.db).close()
    end = 64
    for _ in range(3):
        end = talk(centre, board, end)
    with centre.store() as store:
        assert store.db.execute("SELECT COUNT(*) FROM heard").fetchone() == (1,)
        assert store.db.execute("PRAGMA user_version").fetchone() == (3,)
    assert set(kinds(centre)) & set(CLONES) == set()
