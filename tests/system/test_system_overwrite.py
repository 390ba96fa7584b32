"""A board under `overwrite` whose ring comes round in an outage: the centre names exactly the sectors that were lost."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

import pytest

from host_tools.cli.main import main
from host_tools.collector.gaps import OVERWRITTEN, missing
from host_tools.collector.opening import open_request
from host_tools.collector.state import StateView
from host_tools.collector.store import Store
from host_tools.formats import records
from host_tools.formats.keys import KeyRing
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, parse_header, programmed_end
from host_tools.formats.wire import Piece, Request
from host_tools.simulator import scenario
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.judge import card_of
from host_tools.simulator.run import Run
from tests.collector.sealing_board import Board
from tests.system.payloads import Payloads, texts

SECOND = 1_000_000
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
# Free text fills a sector with 45 records, so the ring moves on within a minute.
SHOWS = 55
PLAN = """
name = "a ring that comes round"
seed = 21
duration_s = 95
[[board]]
name = "gate"
config = { journal_full = "overwrite", repeat_window_s = 0, health_s = 20 }
[[fault]]
kind = "wifi_down"
at_ms = 100
for_ms = 90000
"""


def life_before(checkpoint: Checkpoint, start_ms: int) -> tuple[Board, dict[int, int]]:
    """A journal of 322 sectors, the last of them nearly full, and when each of its records was made (lsn -> ms)."""
    board = Board(1, collector=checkpoint.keys.collector_private)
    board.device_id, board.device_key = checkpoint.keys.device_id, checkpoint.keys.device_key
    board.new_epoch()
    board.sector_key = board.epoch_public
    board.append(kind=records.BOOT, cause=1, version="0.0.9", config=1)
    board.clock(start_ms)
    while board.sequence < 322:
        # A power cut closed each of these early.
        if len(board.data) > 1200:
            board.next_sector()
        board.scan(f"0790{board.uptime_ms:09d}", after_ms=4 * MINUTE_MS)
        board.append(after_ms=4 * MINUTE_MS, kind=records.NOTE, level=1, text="x" * 200)
    while len(board.data) < 3800:
        board.scan(f"0790{board.uptime_ms:09d}", after_ms=1000)
    made = dict(zip(board.lsns, (start_ms + uptime for uptime in uptimes(board)), strict=True))
    return board, made


def uptimes(board: Board) -> list[int]:
    """The uptime of each record, opened again as the collector would."""
    request = Request(board.device_id, b"", board.epoch_public, b"", tuple(board.pieces()))
    rows = open_request(request, KeyRing(board.device_key, [board.collector])).rows
    decoded = [records.decode(row.plaintext) for row in sorted(rows, key=lambda row: row.lsn)]
    return [said["uptime_ms"] for said in decoded if said is not None]


def lay(checkpoint: Checkpoint, board: Board) -> None:
    """The ring as it is then: sectors 1 and 2 were released and have made room for the last two."""
    flash = bytearray(checkpoint.flash.dump())
    start, size = checkpoint.journal
    for piece in board.pieces():
        at = start + (piece.sequence - 1) % (size // SECTOR_BYTES) * SECTOR_BYTES
        header = Header(piece.generation, piece.sequence, board.device_id, piece.epoch_public).pack()
        flash[at : at + SECTOR_BYTES] = (header + piece.data).ljust(SECTOR_BYTES, b"\xff")
    checkpoint.flash.replace(bytes(flash))


def send_before(run: Run, board: Board) -> int:
    """What the centre got before the outage: two sectors, and a part of the third. Returns the offset it reached."""
    first, second, third = board.pieces()[:3]
    end = next(lsn for lsn in board.lsns if lsn // SECTOR_BYTES == 3 and lsn % SECTOR_BYTES > 300) % SECTOR_BYTES
    part = Piece(third.generation, 3, third.epoch_public, HEADER_BYTES, third.data[: end - HEADER_BYTES])
    with closing(http.client.HTTPConnection("127.0.0.1", run.world.collector_port, timeout=10)) as connection:
        connection.request("POST", "/v1/journal", board.request([first, second, part]))
        assert connection.getresponse().status == 200
    return end


def watch_erases(checkpoint: Checkpoint) -> list[int]:
    """The sequences of sectors that are erased while they hold data without a release mark, as it happens."""
    start, size = checkpoint.journal
    lost: list[int] = []
    erase = checkpoint.flash.begin_erase

    def watched(address: int, length: int, now_us: int) -> object:
        sector = checkpoint.flash.dump()[address : address + SECTOR_BYTES]
        header = parse_header(sector) if start <= address < start + size else None
        if header is not None and not header.released and programmed_end(sector) > HEADER_BYTES:
            lost.append(header.sequence)
        return erase(address, length, now_us)

    checkpoint.flash.begin_erase = watched  # type: ignore[method-assign, assignment]
    return lost


def test_the_centre_names_what_was_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    shows = texts("gate", 0, [6000 + 1500 * n for n in range(SHOWS)])
    with Run(scenario.parse(PLAN + shows), album=Payloads()) as run:
        checkpoint = run.world.checkpoints["gate"]
        start_ms = run.scenario.start_ms - 5 * DAY_MS
        board, made = life_before(checkpoint, start_ms)
        lay(checkpoint, board)
        reached = send_before(run, board)
        lost = watch_erases(checkpoint)
        run.world.kernel.run(120 * SECOND)
        with Store(run.world.database) as store:
            found = missing(store, board.device_id)
            rows = store.rows(board.device_id)
        with closing(StateView(run.world.database, run.world.utc_ms)) as view:
            (described,) = view.state()["boards"]
        told = tmp_path / "told.json"
        card = next(card[1] for row in rows if row.lsn > 2 * SECTOR_BYTES and (card := card_of(row)) is not None)
        asked = ["trace", card, "--db", str(run.world.database), "--stay", "600", "--json", str(told)]
        assert main(asked) == 0
        violations, faults = checkpoint.flash.violations, checkpoint.board.faults

    assert violations == [] and faults == []
    assert lost == [3, 4], "the ring did not come round as planned"
    (gap,) = found.gaps
    assert (gap.first, gap.last, gap.cause) == (lost[0], lost[-1], OVERWRITTEN)
    assert (gap.offset, gap.end) == (reached, SECTOR_BYTES), "of the first one the beginning is here"
    gone = [made[lsn] for lsn in board.lsns if 3 * SECTOR_BYTES + reached <= lsn < 5 * SECTOR_BYTES]
    assert set(board.lsns) - {row.lsn for row in rows} == {lsn for lsn, at in made.items() if at in gone}
    assert gap.earliest_ms <= min(gone) and max(gone) <= gap.latest_ms
    # The neighbours are minutes away, and the estimate is of the right size.
    assert gap.earliest_ms > min(gone) - 5 * MINUTE_MS and gap.latest_ms < max(gone) + 5 * MINUTE_MS
    assert gap.checkpoints == ("gate",) and 0.7 * len(gone) < gap.records < 1.4 * len(gone)
    # What the board itself counted agrees, and the door went on: what beeped is here.
    assert described["health"]["sectors_lost"] == described["overwritten_said"] == len(lost)
    assert (described["missing_sectors"], described["holes"], described["overwritten_sectors"]) == (1, 1, 1)
    shown = [card for row in rows if (card := card_of(row)) is not None and card[1].endswith("khach ")]
    assert len(shown) == SHOWS
    # Who asks about that time and place is told.
    out = capsys.readouterr().out
    assert "not the whole answer: 2 sectors are missing" in out and "gate  sectors 3+" in out
    assert [entry["last_sector"] for entry in json.loads(told.read_text())["missing"]] == [4]
