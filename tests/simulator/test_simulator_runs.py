"""Whole runs: the repository's firmware, a picture before the module, the record at the collector."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from shutil import copytree

import pytest

from host_tools.cards.people import expected, person
from host_tools.cli.main import main
from host_tools.collector.store import Store
from host_tools.formats.sector import read_journal
from host_tools.simulator import memory_scan, scenario
from host_tools.simulator.crowd import Album
from host_tools.simulator.judge import card_of
from host_tools.simulator.run import Outcome, Run, run_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SHORT = """
name = "short"
seed = {seed}
duration_s = 16
[[board]]
name = "gate"
config = {{ repeat_window_s = 5 }}
{more}
[[crowd]]
board = "gate"
from_ms = 6000
count = 5
every_ms = 1700
people = 5
first = {first}
"""


@pytest.fixture(scope="module")
def album() -> Album:
    """Pictures are drawn once for all tests of this file."""
    return Album()


def short(seed: int = 1, first: int = 0, more: str = "", after: str = "") -> scenario.Scenario:
    return scenario.parse(SHORT.format(seed=seed, first=first, more=more) + after)


def play(plan: scenario.Scenario, album: Album) -> tuple[Outcome, list[bytes], list[tuple[int, str]]]:
    """The outcome, every board's flash and console, and the cards at the collector in order."""
    with Run(plan, album=album) as run:
        outcome = run.play()
        left = [part for c in run.world.checkpoints.values() for part in (c.flash.dump(), c.board.console())]
        cards = []
        for checkpoint in run.world.checkpoints.values():
            with Store(run.world.database) as store:
                cards += [card for row in store.rows(checkpoint.keys.device_id) if (card := card_of(row)) is not None]
        return outcome, left, cards


def test_the_same_seed_is_the_same_run_byte_for_byte(album: Album) -> None:
    cut = '[[fault]]\nkind = "power_cut_in_program"\nat_ms = 9000\n[[fault]]\nkind = "noise"\nat_ms = 7000\nsize = 30\n'
    results = []
    for _ in range(2):
        outcome, left, cards = play(short(after=cut), album)
        report = outcome.as_json()
        results.append((report, outcome.beeps, left, cards))
    assert results[0] == results[1]
    other = play(short(seed=2, after=cut), album)
    assert other[1] != results[0][2]


def test_another_picture_is_another_id(album: Album) -> None:
    cards = {first: play(short(first=first), album)[2] for first in (0, 50)}
    for first, found in cards.items():
        kinds = ["qrqg", "cccd", "bhyt", "qrqg", "cccd"]
        wanted = [expected(kind, person(first + index)) for index, kind in enumerate(kinds)]
        assert found == [(card.scheme, card.id) for card in wanted]


@pytest.mark.parametrize(
    "module",
    [
        "module = { framed_output = false }",
        "module = { baud = 115200 }",
        "module = { ack_lost_on_baud_change = true }",
        "module = { power_on_noise = true, heartbeat = false, save_works = false }",
        "module = { tail = false, same_code_register = false }",
    ],
)
def test_modules_of_every_kind_are_read(module: str, album: Album) -> None:
    outcome = run_scenario(short(more=module), album=album)
    assert outcome.broken == []
    assert outcome.doors[0].signals == {"recorded": 5}


def test_worst_flash_times_and_a_bad_network_change_nothing_but_the_times(album: Album) -> None:
    plan = short(more="link = { loss = 0.2, latency_ms = 400, bandwidth_kbit_s = 20 }")
    plan.flash_timing = "worst"
    outcome = run_scenario(plan, album=album)
    assert outcome.broken == []
    assert outcome.doors[0].collected == 5


def test_a_beep_that_is_not_in_flash_is_found(album: Album, tmp_path: Path) -> None:
    """A firmware that beeps without recording must not pass: the judge is what every other test leans on."""
    mutant = tmp_path / "firmware"
    copytree(Path(__file__).parents[2] / "firmware", mutant)
    station = mutant / "scanner" / "station.py"
    source = station.read_text(encoding="utf-8")
    changed = source.replace("if not self.ring.append(self._view[:n], rank):", "if rank == 0 and False:")
    assert changed != source
    station.write_text(changed, encoding="utf-8")
    outcome = run_scenario(short(), firmware=mutant, album=album)
    assert any("beeped but not there" in line or "collected is not beeped" in line for line in outcome.broken)


def test_a_repeat_signal_without_a_record_is_found(album: Album, tmp_path: Path) -> None:
    mutant = tmp_path / "firmware"
    copytree(Path(__file__).parents[2] / "firmware", mutant)
    station = mutant / "scanner" / "station.py"
    source = station.read_text(encoding="utf-8")
    asks = "decision, new = self._rules.decide(reader, scheme, packed, now)"
    changed = source.replace(asks, "decision, new = verdict.REPEAT, False")
    assert changed != source
    station.write_text(changed, encoding="utf-8")
    outcome = run_scenario(short(), firmware=mutant, album=album)
    assert sum("was not recorded before" in line for line in outcome.broken) == 5


def test_the_command_keeps_what_a_run_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.toml"
    path.write_text(SHORT.format(seed=1, first=0, more="") + "[expect]\nrecorded = 5\n", encoding="utf-8")
    kept, report = tmp_path / "kept", tmp_path / "report.json"
    assert main(["sim", str(path), "--keep", str(kept), "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "http://127.0.0.1:" in printed and "micropython" in printed.lower()
    keys = json.loads((kept / "gate" / "keys.json").read_text())
    assert stat.S_IMODE((kept / "gate" / "keys.json").stat().st_mode) == 0o600
    flash = (kept / "gate" / "flash.bin").read_bytes()
    private = bytes.fromhex(keys["collector_private"])
    rows = read_journal(flash[0x2C0000 : 0x2C0000 + 1280 * 1024], bytes.fromhex(keys["device_key"]), private)
    in_flash = [card for row in rows if (card := card_of(row)) is not None]
    beeps = [json.loads(line) for line in (kept / "gate" / "beeps.jsonl").read_text().splitlines()]
    assert in_flash == [(beep["scheme"], beep["card"]) for beep in beeps]
    with Store(kept / "collector.db") as store:
        stored = [card for row in store.rows(bytes.fromhex(keys["device_id"])) if (card := card_of(row)) is not None]
    assert stored == in_flash
    assert json.loads(report.read_text())["passed"] is True


def test_a_broken_promise_is_exit_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.toml"
    path.write_text(SHORT.format(seed=1, first=0, more="") + "[expect]\nrecorded = 6\n", encoding="utf-8")
    assert main(["sim", str(path)]) == 1
    assert "recorded: 5" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, blocked = tmp_path / "short.toml", tmp_path / "file"
    path.write_text(SHORT.format(seed=1, first=0, more=""), encoding="utf-8")
    blocked.write_text("")
    assert main(["sim", str(path), "--keep", str(blocked / "kept")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.skipif(not memory_scan.available(), reason="this system does not show a child's memory")
def test_secrets_in_a_boards_memory_are_found(album: Album) -> None:
    with Run(short(), album=album) as run:
        checkpoint = run.world.checkpoints["gate"]
        run.world.kernel.run(9_000_000)
        process = checkpoint.board.process_id
        assert process is not None
        assert memory_scan.count_secrets(process, [checkpoint.keys.device_key])[0] > 0
        assert memory_scan.count_secrets(process, [b"\x5a" * 7 + b"not in there"])[0] == 0


@pytest.mark.parametrize("name", ["demo", "bad-input", "forged-replies", "power-cuts"])
def test_the_scenarios_keep_their_promises(name: str, album: Album) -> None:
    outcome = run_scenario(scenario.load(SCENARIOS / f"{name}.toml"), album=album)
    assert outcome.broken == []
