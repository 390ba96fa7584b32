"""The slowest verdict of ten thousand: the journal nearly full, the uplink never idle, cards as fast as a module reads them."""

from __future__ import annotations

import random
import struct
from binascii import crc32

from host_tools.bench.figures import Figure, model_ms
from host_tools.formats.sector import SECTOR_BYTES, Header, parse_header
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.crowd import Album, Showing
from host_tools.simulator.links import LinkOptions
from host_tools.simulator.run import Run
from host_tools.simulator.scenario import BoardPlan, Crowd, Scenario
from host_tools.text import say

CARDS = 10_000
VERDICT_MS = 150
FREE_SECTORS = 20  # of 2,048: one in a hundred
_EVERY_MS = 1_200
_FIRST_MS = 8_000
_FRAME_BYTES = 28
_GENERATION = 0xC407
_RUNS = 4  # each begins with the journal full again
_LINK = LinkOptions(bandwidth_kbit_s=12, latency_ms=250)  # what is waiting takes hours, so a request is always under way


class _Payloads(Album):
    """An album that draws nothing: this is about the board."""

    def picture(self, showing: Showing) -> bytes:
        return showing.payload

    def decode(self, picture: bytes) -> bytes | None:
        return picture


def fill(checkpoint: Checkpoint, free: int, rng: random.Random) -> None:
    """Give the board a past: every sector but `free` full of frames that nobody has confirmed. Nobody can open them."""
    public = rng.randbytes(32)
    flash = bytearray(checkpoint.flash.dump())
    start, size = checkpoint.journal
    for sequence in range(1, size // SECTOR_BYTES - free + 1):
        sector = bytearray(Header(_GENERATION, sequence, checkpoint.keys.device_id, public).pack())
        while len(sector) + _FRAME_BYTES <= SECTOR_BYTES:
            frame = bytes((_FRAME_BYTES - 11,)) + rng.randbytes(_FRAME_BYTES - 3)
            sector += frame + struct.pack("<H", crc32(frame) & 0xFFFF)
        at = start + (sequence - 1) * SECTOR_BYTES
        flash[at : at + SECTOR_BYTES] = sector.ljust(SECTOR_BYTES, b"\xff")
    checkpoint.flash.replace(bytes(flash))


def _fill_percent(checkpoint: Checkpoint) -> float:
    """How much of the journal takes nothing new."""
    image = checkpoint.journal_image()
    headers = [parse_header(image[at : at + SECTOR_BYTES]) for at in range(0, len(image), SECTOR_BYTES)]
    return 100 * sum(header is not None and not header.released for header in headers) / len(headers)


def _run(cards: int, seed: int) -> tuple[float, float, float, int]:
    """(slowest verdict in ms, percent of the journal full before and after, requests that arrived whole)."""
    seconds = (_FIRST_MS + cards * _EVERY_MS) // 1000 + 5
    crowd = Crowd("door", _FIRST_MS, cards, every_ms=_EVERY_MS, people=400, kinds=["qrqg", "cccd", "bhyt"])
    scenario = Scenario(
        name="busy",
        seed=seed,
        boards=[BoardPlan("door", config={"repeat_window_s": 20}, link=_LINK, flash_mib=16)],
        duration_s=seconds,
        settle_s=0,
        flash_timing="worst",
        crowds=[crowd],
    )
    with Run(scenario, album=_Payloads()) as run:
        checkpoint = run.world.checkpoints["door"]
        fill(checkpoint, FREE_SECTORS, random.Random(seed))
        before = _fill_percent(checkpoint)
        door = run.play().doors[0]
        after = _fill_percent(checkpoint)
    if door.signals["recorded"] != cards or door.unanswered or door.read != cards:
        raise RuntimeError(f"not each card was recorded: {dict(door.signals)}, {door.unanswered} unanswered")
    return door.worst_latency_ms, before, after, door.figures["requests"]


def busy(metered: dict[str, Figure], cards: int = CARDS, runs: int = _RUNS) -> list[Figure]:
    """From a code's last byte to the buzzer: what the runs waited, and the dearest path of a scan that was metered."""
    found = [_run(cards // runs, seed) for seed in range(1, runs + 1)]
    waited_ms = max(run[0] for run in found)
    before, after = max(run[1] for run in found), min(run[2] for run in found)
    path_ms = model_ms(metered["path_instructions"].value)
    title = say(f"byte cuối tới còi, tệ nhất trong {cards}", f"last byte to buzzer, worst of {cards:,}")
    note = say("nhật ký đầy", "journal full") + f" {before:.0f} → {after:.0f} %; {waited_ms:.1f} "
    note += say("chờ", "waiting") + f" + {path_ms:.1f} " + say("tính toán", "computing")
    detail = {"fill_before_percent": before, "fill_after_percent": after, "requests": sum(run[3] for run in found)}
    return [Figure("busy_ms", title, round(waited_ms + path_ms, 1), "ms", VERDICT_MS, note, detail)]
