"""A running collector for the tests, and a way to talk to it as a board does."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from sealing_board import COLLECTOR, Board

from host_tools.collector.server import CollectorServer
from host_tools.collector.store import Store
from host_tools.formats.keys import epoch_keys
from host_tools.formats.wire import parse_reply

START_MS = 1_637_222_400_000


class Centre:
    """A collector and its database; `now_ms` is its clock."""

    def __init__(self, directory: Path, private_keys: list[bytes]) -> None:
        self.db = directory / "collector.db"
        self.now_ms = START_MS
        self.server = CollectorServer(self.db, private_keys, clock_ms=lambda: self.now_ms)
        self.port = 0

    def start(self) -> None:
        self.port = self.server.start()

    def add(self, board: Board, checkpoint: str = "market gate") -> Board:
        with Store(self.db) as store:
            store.register_device(board.device_id, board.device_key, checkpoint, START_MS)
        return board

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of a request's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/v1/journal", body, {"Content-Type": "application/x-chot"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(self, board: Board, pieces: list[Any] | None = None, private: bytes = COLLECTOR) -> int:
        """Send pieces (or all the board has); returns `stored` from the proved answer."""
        status, reply = self.post(board.request(pieces, nonce=b"12345678"))
        assert status == 200
        keys = epoch_keys(board.device_key, private, board.epoch_public)
        body = parse_reply(reply, b"12345678", keys.reply_key)
        assert body["now"] == self.now_ms
        return int(body["stored"])

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        """The state as the page sees it, made afresh."""
        self.server._state._made_s = None
        return dict(json.loads(self.get("/v1/state")[1]))

    def store(self) -> Store:
        return Store(self.db)
