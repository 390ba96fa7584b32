"""The figures of the uplink: a backlog of scans over a simulated 4G link, and what other ways to send it would take."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from host_tools.bench.figures import Figure
from host_tools.build.boards import load_board
from host_tools.build.partitions import find
from host_tools.formats import records
from host_tools.formats.keys import collector_public, epoch_keys
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, seal
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.far_end import COLLECTOR_IP, Host, Peer
from host_tools.simulator.links import LinkOptions
from host_tools.simulator.modem import ModemOptions
from host_tools.simulator.run import Run
from host_tools.simulator.scenario import BoardPlan, Crowd, Scenario
from host_tools.simulator.world import World
from host_tools.text import say

SCANS = 50_000
UPLINK_S = 45
UPLINK_BYTES = 30
VERDICT_MS = 150
JSON_SHARE = 1  # percent of the time of one JSON POST a scan, and of one MQTT publish a scan
BATCH_SHARE = 10  # percent of the time of 20 JSON scans a POST
LINK = LinkOptions(latency_ms=50, bandwidth_kbit_s=1000)
BOARD = "esp32-devkitc-4g"
URL = "https://centre.example"
UPTIME_MS = 4 * 24 * 3600 * 1000
# Cards are shown while the backlog goes out; they begin after the handshake, which waits until nobody comes.
_FIRST_CARD_MS = 22_000
_CARD_EVERY_MS = 1_500
_TURNS = 300  # requests of the other ways that are measured; their time grows by the request
_LIMIT_S = 600


def backlog(checkpoint: Checkpoint, scans: int) -> None:
    """Fill a door's journal with scans of the boot before, 18-digit ids at four days' uptime."""
    journal = find(checkpoint.partitions, "journal")
    keys = checkpoint.keys
    public = collector_public(hashlib.sha256(b"the boot before").digest())
    epoch = epoch_keys(keys.device_key, keys.collector_private, public)
    done = 0
    for index in range(journal.size // SECTOR_BYTES):
        header = Header(0xC0FFEE01, index + 1, keys.device_id, public).pack()
        sector = bytearray(header)
        while done < scans and len(sector) + 28 <= SECTOR_BYTES:
            fields = {"kind": records.SCAN, "uptime_ms": UPTIME_MS + done * 1500, "reader": 0, "verdict": 3, "scheme": 1}
            plain = records.encode({**fields, "id": f"{done + 10**17:018d}"})
            sector += seal(epoch, 0xC0FFEE01, index + 1, len(sector), plain)
            done += 1
        if len(sector) == HEADER_BYTES:
            break
        os.pwrite(checkpoint.flash.fd, sector.ljust(SECTOR_BYTES, b"\xff"), journal.offset + index * SECTOR_BYTES)


def _stored(world: World) -> int:
    with closing(sqlite3.connect(world.database)) as database:
        return int(database.execute("SELECT count(*) FROM records WHERE kind = ?", (records.SCAN,)).fetchone()[0])


def _scenario(name: str, seconds: int, **plan: object) -> Scenario:
    """A door on 4G alone, its modem on already: PPP, and the UART that PPP runs over, are in each figure."""
    config = {"wifi": [], "cellular": {"modem": "a7670", "apn": "v-internet"}}
    modem = ModemOptions(running=True)
    board = BoardPlan("door", hardware=BOARD, mobile=LINK, modem=modem, flash_mib=16, config=config, **plan)  # type: ignore[arg-type]
    return Scenario(name=name, boards=[board], duration_s=seconds)


def drain(scans: int = SCANS, *, online: bool = True) -> tuple[float, float, float]:
    """(seconds from the first connection to the last record stored, bytes a scan both ways, worst verdict in ms) of a board
    that wakes up with a backlog. Not `online`: the same door without a collector, for its verdicts."""
    scenario = _scenario("uplink", _LIMIT_S, collector_url=URL)
    count = max(4, scans // 1500)
    scenario.crowds = [
        Crowd("door", _FIRST_CARD_MS, count, every_ms=_CARD_EVERY_MS, people=count, kinds=["qrqg"], media=["plastic"])
    ]
    with Run(scenario) as run:
        world = run.world
        door = world.checkpoints["door"]
        backlog(door, scans)
        link = door.ways.mobile
        assert link is not None
        link.collector_up = online
        kernel = world.kernel
        while kernel.now_us < _LIMIT_S * 1_000_000:
            kernel.run(kernel.now_us + 100_000)
            if (_stored(world) >= scans) if online else kernel.now_us > _FIRST_CARD_MS * 1000 + 60_000_000:
                break
        else:
            raise RuntimeError(f"{_stored(world)} of {scans} scans after {_LIMIT_S} s")
        reads = [read for read in door.log.reads if read.signal is not None]
        worst_us = max((read.signal.at_us - read.at_us for read in reads if read.signal is not None), default=0)
        return (kernel.now_us - link.begun_us) / 1e6, (link.bytes_up + link.bytes_down) / scans, worst_us / 1000


def _json_server(peer: Peer) -> Callable[[bytes], None]:
    waiting = bytearray()

    def take(data: bytes) -> None:
        waiting.extend(data)
        head, found, body = bytes(waiting).partition(b"\r\n\r\n")
        if found and len(body) >= int(head.rpartition(b"Content-Length: ")[2]):
            waiting.clear()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    return take


def _mqtt_server(peer: Peer) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        if data[0] == 0x10:
            peer.send(b"\x20\x02\0\0")
        else:
            at = 3 if data[1] & 128 else 2
            topic = int.from_bytes(data[at : at + 2], "big")
            peer.send(b"\x40\x02" + data[at + 2 + topic : at + 4 + topic])

    return take


def other_way(program: str, server: Callable[[Peer], Callable[[bytes], None]], per_post: int, turns: int = _TURNS) -> float:
    """Seconds for SCANS scans by a program of guest/ over the same link, plain TCP, one connection kept."""
    pins = load_board(BOARD).constants
    names = {
        "UART": pins["MODEM_UART"],
        "TX": pins["MODEM_TX"],
        "RX": pins["MODEM_RX"],
        "HOST": COLLECTOR_IP,
        "PORT": 8080,
    }
    turned = {"POSTS": turns, "PER_POST": per_post}
    guest = Path(__file__).parent / "guest"
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for module, first in (("call", names), ("json_posts", turned), ("mqtt_publishes", {})):
            values = "".join(f"{name} = {value!r}\n" for name, value in first.items())
            (tree / f"{module}.py").write_text(values + (guest / f"{module}.py").read_text(encoding="utf-8"))
        (tree / "main.py").write_text(f"import {program}\n{program}.main()\n")
        with Run(_scenario(program, _LIMIT_S), firmware=tree) as run:
            door = run.world.checkpoints["door"]
            assert door.ways.mobile is not None
            door.ways.mobile.hosts.by_address[COLLECTOR_IP] = Host(port=8080, serve=server)
            while "ms " not in (text := door.board.console().decode()):
                if run.world.kernel.now_us > _LIMIT_S * 1_000_000:
                    raise RuntimeError(f"{program}: {text}")
                run.world.kernel.run(run.world.kernel.now_us + 1_000_000)
    return int(text.rpartition("ms ")[2]) / 1000 * SCANS / (turns * per_post)


def uplink() -> list[Figure]:
    """A backlog of SCANS scans over 4G with 100 ms and 1 Mbit/s, HTTPS, and the same by JSON and by MQTT."""
    seconds, size, verdict_ms = drain()
    quiet_ms = drain(online=False)[2]
    ways = [
        ("json", "json_posts", _json_server, 1, JSON_SHARE, "một POST JSON mỗi lượt", "one JSON POST a scan"),
        ("json20", "json_posts", _json_server, 20, BATCH_SHARE, "20 lượt JSON mỗi POST", "20 JSON scans a POST"),
        ("mqtt", "mqtt_publishes", _mqtt_server, 1, JSON_SHARE, "một MQTT QoS 1 mỗi lượt", "one MQTT QoS 1 publish a scan"),
    ]
    note = "4G (PPP), 100 ms, 1 Mbit/s, HTTPS"
    title = say(f"gửi {SCANS} lượt tồn", f"backlog of {SCANS} scans")
    each = say("byte mỗi lượt, hai chiều", "bytes a scan, both ways")
    found = [
        Figure("uplink_s", title, round(seconds, 1), "s", UPLINK_S, note),
        Figure("uplink_bytes", title + ": " + each, round(size, 2), "bytes", UPLINK_BYTES),
        Figure(
            "uplink_verdict_ms",
            say("byte cuối tới còi trong lúc gửi", "last byte to buzzer meanwhile"),
            round(verdict_ms, 1),
            "ms",
            VERDICT_MS,
            say(f"không có mạng: {quiet_ms:.1f}", f"without a network: {quiet_ms:.1f}"),
        ),
    ]
    for key, program, server, per_post, bar, vi, en in ways:
        other_s = other_way(program, server, per_post)
        share = round(100 * seconds / other_s, 2)
        times = f"{other_s:.0f} s, {other_s / seconds:.0f}x"
        found.append(
            Figure(f"uplink_{key}", say(f"thời gian so với {vi}", f"time of that by {en}"), share, "%", bar, times)
        )
    return found
