"""The technician's centre and constants of the tests: a collector that runs, a network, a board."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_tools.collector import vault
from host_tools.collector.enrolment import Enrolment
from host_tools.collector.server import CollectorServer
from host_tools.collector.state import StateView
from host_tools.collector.store import Store
from host_tools.simulator.usb_board import UsbBoard

WIFI = ("cho-dong-ba", "gio-mua-dong-bac")
MAC = bytes.fromhex("24a160112233")
DEVICE = "000024a160112233"
CONFIG = {"version": 1, "wifi": [{"ssid": WIFI[0], "password": WIFI[1]}], "heartbeat_s": 5}


Chot = Callable[..., tuple[int, str, str]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Centre:
    """A collector in a directory, as `chot collector init` and `run` make it (with a key drawn here: scrypt takes time)."""

    def __init__(self, directory: Path, tls: ssl.SSLContext | None = None) -> None:
        self.directory = directory
        if not directory.exists():
            vault.write_secrets(directory, vault.Secrets((bytes(range(32)),), bytes(range(1, 33))))
        self.database = directory / vault.DATABASE_NAME
        self.server = CollectorServer(self.database, vault.private_keys(directory), clock_ms=now_ms, tls=tls)
        self.port = self.server.start()
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def token(self, checkpoint: str = "market gate", hours: int = 1) -> str:
        with Store(self.database) as store:
            return str(Enrolment(store, vault.private_keys(self.directory)).make(checkpoint, hours, now_ms()))

    def boards(self) -> dict[str, dict[str, Any]]:
        """The boards that it knows, by device id."""
        view = StateView(self.database, now_ms)
        try:
            return {board["device"]: board for board in view.state()["boards"]}
        finally:
            view.close()

    def reports(self) -> list[tuple[str, str, str]]:
        with Store(self.database) as store:
            return [(device.hex(), kind, detail) for device, kind, detail, *_ in store.reports()]

    def wait_for(
        self, device: str, seconds: float = 60, config: int | None = None, health: bool = False
    ) -> dict[str, Any]:
        """The board once it has been heard of, runs with that version of its settings, has told its health; fails if it
        does not come to that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            board = self.boards().get(device)
            if (
                board is not None
                and board["last_seen"] is not None
                and config in (None, board["config"])
                and (not health or (board["health"] and board["clock_known"]))
            ):
                return board
            time.sleep(0.1)
        raise AssertionError(f"{device} was not heard of")


def flash(chot: Chot, board: UsbBoard, download: Path, *more: object) -> None:
    """Flash a board of the usual kind; fails if that fails."""
    status, out, err = chot("flash", board.url, "--board", "esp32-devkitc", "--micropython", download, *more)
    assert status == 0, err
    assert "flashed and verified, MicroPython v1.24.1" in out
