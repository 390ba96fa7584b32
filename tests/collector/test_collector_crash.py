"""kill -9 of a collector under load: everything that was answered `stored` is there afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from running_centre import Centre
from sealing_board import COLLECTOR, Board

from host_tools.collector.store import Store

PROGRAM = """
import sys, threading
from pathlib import Path
from host_tools.collector.server import CollectorServer
server = CollectorServer(Path(sys.argv[1]), [bytes.fromhex(sys.stdin.readline())], clock_ms=lambda: 1)
print(server.start(), flush=True)
threading.Event().wait()
"""
ROOT = Path(__file__).resolve().parents[2]


def start(database: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(database)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(COLLECTOR.hex() + "\n")
    process.stdin.flush()
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("seed", range(3))
def test_what_was_answered_survives_kill_9(make_centre, tmp_path: Path, seed: int) -> None:
    database = tmp_path / "killed.db"
    boards = [Board(number) for number in range(1, 4)]
    with Store(database) as store:
        for board in boards:
            store.register_device(board.device_id, board.device_key, "gate", 0)
    answered: dict[int, int] = {board.number: 0 for board in boards}

    def work(board: Board, centre: Centre) -> None:
        while True:
            for _ in range(3):
                board.scan(f"{len(board.lsns):09d}")
            try:
                stored = centre.send(board, board.pieces()[-2:])
            except (OSError, AssertionError, ValueError):
                return
            if stored:
                answered[board.number] = len(board.lsns)

    for life in range(2):
        process, port = start(database)
        centre = Centre(tmp_path, [COLLECTOR])
        centre.port, centre.now_ms = port, 1
        threads = [threading.Thread(target=work, args=(board, centre)) for board in boards]
        chance = random.Random(f"{seed} {life}")
        enough, deadline = sum(answered.values()) + chance.randrange(30, 120), time.monotonic() + 30
        for thread in threads:
            thread.start()
        while sum(answered.values()) < enough:
            assert time.monotonic() < deadline, "too little was answered: the test shows nothing"
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)  # anywhere within a request
        process.send_signal(signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
        with Store(database) as store:
            assert store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            for board in boards:
                kept = [row.lsn for row in store.rows(board.device_id)]
                count = answered[board.number]
                assert kept[:count] == board.lsns[:count]
                assert store.reports() == []
