"""The promises as whole runs: firmware that breaks one is caught, and Ctrl-C leaves a board that knows nothing."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from host_tools.collector.store import Store
from host_tools.formats.keys import epoch_keys
from host_tools.formats.records import decode
from host_tools.formats.sector import read_journal
from host_tools.simulator import memory_scan, scenario
from host_tools.simulator.crowd import Album
from host_tools.simulator.judge import judge_door, judge_expectations
from host_tools.simulator.run import Run, run_scenario

FIRMWARE = Path(__file__).parents[2] / "firmware"

CUT = """
name = "a cut inside a program"
seed = 5
duration_s = 30
[[board]]
name = "gate"
config = { repeat_window_s = 5 }
[[crowd]]
board = "gate"
from_ms = 6000
count = 14
every_ms = 1500
people = 14
[[fault]]
kind = "power_cut_in_program"
at_ms = 14000
share = 0.6
off_ms = 800
[expect]
power_cuts = 1
"""

FORGED = """
name = "an attacker who says: stored"
seed = 6
duration_s = 60
[[board]]
name = "gate"
config = { repeat_window_s = 5 }
[[crowd]]
board = "gate"
from_ms = 6000
count = 12
every_ms = 1500
people = 12
[[fault]]
kind = "forged"
at_ms = 10000
for_ms = 25000
[expect]
recorded = 12
min_forged = 2
"""

# name: (file, what stands there, what the mutant has instead, the scenario that must notice).
MUTANTS = {
    "beep before flash": (
        "scanner/station.py",
        "            if not self._append(records.scan(",
        "            if self._signals.play(signals.OF[decision]) or not self._append(records.scan(",
        CUT,
    ),
    "release on a forged reply": (
        "uplink/shipper.py",
        "        if not seal.equal(",
        "        if False and not seal.equal(",
        FORGED,
    ),
    "a position used twice": (
        "journal/ring.py",
        "opened and unmarked and self._blank(index, self.offset)",
        "opened and unmarked",
        CUT,
    ),
}


@pytest.fixture(scope="module")
def album() -> Album:
    """Pictures are drawn once for all tests of this file."""
    return Album()


def mutate(tmp_path: Path, name: str) -> Path:
    """A firmware tree with one change."""
    file, before, after, _ = MUTANTS[name]
    tree = tmp_path / "firmware"
    shutil.copytree(FIRMWARE, tree)
    source = (tree / file).read_text(encoding="utf-8")
    assert source.count(before) == 1, f"the mutant '{name}' no longer fits {file}"
    (tree / file).write_text(source.replace(before, after), encoding="utf-8")
    return tree


@pytest.mark.parametrize("plan", [CUT, FORGED], ids=["cut", "forged"])
def test_the_firmware_keeps_every_promise(plan: str, album: Album) -> None:
    outcome = run_scenario(scenario.parse(plan), album=album)
    assert outcome.broken == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutated_firmware_is_caught(name: str, tmp_path: Path, album: Album) -> None:
    outcome = run_scenario(scenario.parse(MUTANTS[name][3]), firmware=mutate(tmp_path, name), album=album)
    assert outcome.broken, f"a firmware with '{name}' passes"
    print("\n".join(outcome.broken))


MAINTENANCE = """
name = "Ctrl-C"
seed = 9
duration_s = 26
settle_s = 4
[[board]]
name = "gate"
[[crowd]]
board = "gate"
from_ms = 6000
count = 4
every_ms = 1500
people = 4
[[show]]
board = "gate"
at_ms = 20000
person = 77
kind = "qrqg"
[[fault]]
kind = "ctrl_c"
at_ms = 14000
"""


def keys_in_use(run: Run) -> dict[str, bytes]:
    """Every secret that the board has held, by name, from its flash and what only the collector knows."""
    checkpoint = run.world.checkpoints["gate"]
    keys = checkpoint.keys
    flash = checkpoint.flash.dump()
    rows = read_journal(flash[0x2C0000 : 0x2C0000 + 1280 * 1024], keys.device_key, keys.collector_private)
    found = {"device key": keys.device_key, "device key as text": keys.device_key.hex().encode()}
    for number, public in enumerate(sorted({row.epoch_public for row in rows})):
        epoch = epoch_keys(keys.device_key, keys.collector_private, public)
        found[f"enc {number}"] = epoch.enc_key
        # HMAC keeps its key as two padded blocks.
        for name in ("mac", "reply"):
            key = getattr(epoch, f"{name}_key")
            found[f"{name} {number}"] = key
            found[f"{name} block {number}"] = bytes(byte ^ 0x36 for byte in key)
            found[f"{name} outer block {number}"] = bytes(byte ^ 0x5C for byte in key)
    return found


@pytest.mark.skipif(not memory_scan.available(), reason="this system does not show a child's memory")
def test_ctrl_c_forgets_the_keys_and_scans_nothing(album: Album) -> None:
    with Run(scenario.parse(MAINTENANCE), album=album) as run:
        checkpoint = run.world.checkpoints["gate"]
        board = checkpoint.board
        left: dict[str, int] = {}
        while_running: dict[str, int] = {}

        def look(process: int, into: dict[str, int]) -> None:
            secrets = keys_in_use(run)
            into.update(zip(secrets, memory_scan.count_secrets(process, list(secrets.values())), strict=True))

        board.before_reset = lambda process: look(process, left)
        run.world.kernel.run(13_000_000)
        assert board.process_id is not None
        look(board.process_id, while_running)
        outcome = run.play()
        console = board.console().decode()
    assert while_running["device key"] and while_running["mac block 0"], "the look finds what is there"
    assert left and not any(left.values()), f"still in RAM when the board restarts: {left}"
    assert "bảo trì" in console and "maintenance" in console
    assert outcome.doors[0].signals == {"recorded": 4}, "no card is scanned in maintenance"
    assert outcome.doors[0].collected == 4


def test_a_boot_record_names_the_runtime(album: Album) -> None:
    with Run(scenario.parse(CUT), album=album) as run:
        outcome = run.play()
        checkpoint = run.world.checkpoints["gate"]
        with Store(run.world.database) as store:
            rows = store.rows(checkpoint.keys.device_id)
    boots = [record for row in rows if (record := decode(row.plaintext)) and record["kind"] == 1]
    assert len(boots) == 2
    assert all("micropython" in record["version"] for record in boots)
    assert "micropython" in outcome.runtime.lower()


def test_a_refused_config_is_named_in_one_line(album: Album) -> None:
    plan = scenario.parse(CUT.replace("repeat_window_s = 5", "repeat_window_s = -5"))
    with Run(plan, album=album) as run:
        run.play()
        keys = run.world.checkpoints["gate"].keys
        flash = run.world.checkpoints["gate"].flash.dump()
        console = run.world.checkpoints["gate"].board.console().decode()
    # The defaults know no Wi-Fi, so this board records and waits; the reason lies in its journal and on its console.
    rows = read_journal(flash[0x2C0000 : 0x2C0000 + 1280 * 1024], keys.device_key, keys.collector_private)
    changes = [record for row in rows if (record := decode(row.plaintext)) and record["kind"] == 8]
    assert changes and changes[0]["reason"] == "repeat_window_s: a whole number, 0 to 86400"
    assert changes[0]["outcome"] == 2
    assert "repeat_window_s: a whole number, 0 to 86400" in console
    assert sum(record["kind"] == 3 for row in rows if (record := decode(row.plaintext))) >= 10, "the door goes on"


BUSY = """
name = "a busy door"
seed = 5
duration_s = 110
[[board]]
name = "gate"
config = { repeat_window_s = 5, health_s = 30 }
[[crowd]]
board = "gate"
from_ms = 8000
count = 30
every_ms = 3000
people = 30
"""


def test_a_module_that_restarts_at_a_busy_door_is_found_again(album: Album) -> None:
    """It comes back at its own rate and what it says is noise, while people go on showing cards."""
    reboot = '[[fault]]\nkind = "module_reboot"\nat_ms = 40000\n[expect]\nunanswered = 2\nmin_dropped = 1\n'
    outcome = run_scenario(scenario.parse(BUSY + reboot.replace("unanswered = 2\n", "")), album=album)
    unanswered = [line for line in outcome.broken if not line.startswith("unanswered: 1,")]
    assert unanswered == [], "at most the code that fell into the restart is lost, and it is counted"
    assert outcome.doors[0].signals["recorded"] >= 29


def test_long_codes_full_of_separators_stop_nobody(album: Album) -> None:
    floods = "".join(
        f'[[show]]\nboard = "gate"\nat_ms = {9500 + 6000 * n}\ntext = "{n}{"a|" * 1440}"\n' for n in range(8)
    )
    outcome = run_scenario(scenario.parse(BUSY + floods), album=album)
    assert outcome.broken == []
    assert outcome.doors[0].signals["recorded"] >= 37 and outcome.doors[0].power_cuts == 0


def test_keys_made_during_an_outage_are_random(album: Album) -> None:
    """While the interface is cycled the chip's numbers are poor: two boots must still never make the same key."""
    plan = scenario.parse(
        CUT + '[[fault]]\nkind = "wifi_down"\nat_ms = 0\n[[fault]]\nkind = "power_cut"\nat_ms = 22000\n'
    )
    plan.expect.power_cuts = 2
    with Run(plan, album=album) as run:
        run.play()
        keys = run.world.checkpoints["gate"].keys
        flash = run.world.checkpoints["gate"].flash.dump()
    rows = read_journal(flash[0x2C0000 : 0x2C0000 + 1280 * 1024], keys.device_key, keys.collector_private)
    assert len({row.epoch_public for row in rows}) == 3


def test_what_is_lost_is_counted(album: Album) -> None:
    """A record taken away behind the collector's back is one lost, in the table and against [expect]."""
    with Run(scenario.parse(CUT), album=album) as run:
        first = run.play()
        assert first.doors[0].lost == 0
        with closing(sqlite3.connect(run.world.database)) as database:
            last = "SELECT max(lsn) FROM records WHERE kind = 3"
            database.execute(f"DELETE FROM records WHERE kind = 3 AND lsn = ({last})")
            database.commit()
        door = judge_door(run.world, run.world.checkpoints["gate"])
        broken = judge_expectations(run.world, [door])
    assert door.lost == 1
    assert any(line.startswith("lost: 1") for line in broken)
