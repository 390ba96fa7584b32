"""Runs a scenario to its end and judges it; what `chot sim` and the system tests call."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_tools.errors import UserError
from host_tools.formats.records import SCAN
from host_tools.simulator.crowd import Album
from host_tools.simulator.judge import KEPT_SIGNALS, DoorResult, judge_door, judge_expectations
from host_tools.simulator.scenario import Scenario
from host_tools.simulator.world import World
from host_tools.text import say

REPOSITORY_FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
_STEP_US = 1_000_000
# While people come, how often whoever watches the run is told; a board cannot look further ahead than that.
_WATCH_US = 10_000_000
# After everything has arrived the boards may still mark what was acknowledged.
_RELEASE_US = 2_000_000


@dataclass
class Outcome:
    """What a run came to; `broken` is empty when every promise held."""

    scenario: str
    seed: int
    runtime: str
    doors: list[DoorResult]
    broken: list[str]
    virtual_s: float
    real_s: float
    quarantined: int = 0
    beeps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True when every promise held."""
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "runtime": self.runtime,
            "passed": self.passed,
            "broken": self.broken,
            "virtual_s": self.virtual_s,
            "quarantined": self.quarantined,
            "doors": [door.as_json() for door in self.doors],
        }


class Run:
    """One run of a scenario; use as a context, so that boards and collector end with it. With `keep`, what the run
    leaves behind stays in that directory."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        firmware: Path = REPOSITORY_FIRMWARE,
        keep: Path | None = None,
        album: Album | None = None,
    ) -> None:
        self.scenario = scenario
        self._keep = keep
        if keep is not None:
            _make_directory(keep)
        # A path of constant length: what a board process sees of it must not differ from run to run.
        self._directory = Path(tempfile.mkdtemp(prefix="chot-"))
        self._began_s = time.monotonic()
        self._closed = False
        try:
            self.world = World(scenario, self._directory / "run", firmware, album=album)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def page_url(self) -> str:
        """Where the collector's page is while the run stands."""
        return f"http://127.0.0.1:{self.world.collector_port}/"

    def collected(self) -> int:
        """Scans at the collector so far."""
        with closing(sqlite3.connect(self.world.database)) as database:
            return int(database.execute("SELECT count(*) FROM records WHERE kind = ?", (SCAN,)).fetchone()[0])

    def beeped(self) -> int:
        """Signals so far that promise a record."""
        logs = [checkpoint.log for checkpoint in self.world.checkpoints.values()]
        return sum(beep.signal.name in KEPT_SIGNALS for log in logs for beep in log.beeps)

    def play(self, progress: Callable[[World], None] | None = None) -> Outcome:
        """Run to the end, wait until what beeped has been collected (or `settle_s` is over), and judge."""
        kernel, scenario = self.world.kernel, self.scenario
        end_us = scenario.duration_s * 1_000_000
        while kernel.now_us < end_us:
            kernel.run(min(end_us, kernel.now_us + _WATCH_US))
            if progress is not None:
                progress(self.world)
        limit_us = end_us + scenario.settle_s * 1_000_000
        while kernel.now_us < limit_us and self.collected() < self.beeped():
            kernel.run(kernel.now_us + _STEP_US)
            if progress is not None:
                progress(self.world)
        kernel.run(kernel.now_us + _RELEASE_US)
        return self._judge()

    def _judge(self) -> Outcome:
        world = self.world
        doors = [judge_door(world, checkpoint) for checkpoint in world.checkpoints.values()]
        with closing(sqlite3.connect(world.database)) as database:
            quarantined = int(database.execute("SELECT count(*) FROM quarantine").fetchone()[0])
        lines = [line for checkpoint in world.checkpoints.values() for line in checkpoint.beep_lines()]
        return Outcome(
            scenario=self.scenario.name,
            seed=self.scenario.seed,
            runtime=next(iter(world.checkpoints.values())).board.runtime_name,
            doors=doors,
            broken=judge_expectations(world, doors),
            virtual_s=world.kernel.now_us / 1e6,
            real_s=time.monotonic() - self._began_s,
            quarantined=quarantined,
            beeps=sorted(lines, key=lambda line: int(line["time_ms"])),
        )

    def _leave(self, keep: Path) -> None:
        """Copy what each board leaves behind."""
        for checkpoint in self.world.checkpoints.values():
            target = keep / checkpoint.directory.name
            checkpoint.keep(target)
            keys = checkpoint.keys
            members = {
                "device_id": keys.device_id.hex(),
                "device_key": keys.device_key.hex(),
                "collector_private": keys.collector_private.hex(),
            }
            _write_private(target / "keys.json", json.dumps(members, indent=1) + "\n")
            lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in checkpoint.beep_lines())
            (target / "beeps.jsonl").write_text(lines, encoding="utf-8")

    def close(self) -> None:
        """End boards and collector, leave what is to be kept, remove the rest."""
        if self._closed:
            return
        self._closed = True
        if self._keep is not None:
            self._leave(self._keep)
        self.world.close()
        if self._keep is not None:
            for path in self.world.directory.glob("collector*"):
                shutil.copy(path, self._keep / path.name)
                (self._keep / path.name).chmod(0o600)
        shutil.rmtree(self._directory, ignore_errors=True)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            say(f"không tạo được thư mục {path}: {error.strerror}", f"cannot make {path}: {error.strerror}"),
            hint=say("chọn chỗ khác cho --keep", "choose another place for --keep"),
        ) from None


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def run_scenario(
    scenario: Scenario,
    *,
    firmware: Path = REPOSITORY_FIRMWARE,
    keep: Path | None = None,
    album: Album | None = None,
    progress: Callable[[World], None] | None = None,
) -> Outcome:
    """Run a scenario and end everything; the outcome says whether every promise held."""
    with Run(scenario, firmware=firmware, keep=keep, album=album) as run:
        return run.play(progress)
