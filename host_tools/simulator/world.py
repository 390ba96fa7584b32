"""The world of a scenario: checkpoints, people, faults and the real collector, all on one virtual clock."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from host_tools.build.bundle import compile_bundle
from host_tools.build.cardlist import parse_card
from host_tools.build.identity import Identity
from host_tools.build.image import assemble
from host_tools.build.partitions import KIB, TABLE_OFFSET, encode_table, partition_map
from host_tools.collector.server import CollectorServer
from host_tools.collector.store import Store
from host_tools.formats import lists
from host_tools.formats.keys import collector_public
from host_tools.simulator import scenario as plans
from host_tools.simulator.board_process import OFF
from host_tools.simulator.checkpoint import Checkpoint, Keys
from host_tools.simulator.crowd import Album, Showing, showings
from host_tools.simulator.flash import PlannedCut
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.links import Link
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scenario import Fault, Scenario
from host_tools.simulator.serial_module import DECODE_US

COLLECTOR_URL = "http://127.0.0.1:8080"
_LISTS_DATE = datetime.date(2026, 3, 2)
# A kill whose moment falls while the supply is away tries again so much later.
_KILL_SPACING_US = 50_000


class World:
    """Everything of one run, in `directory`. `firmware` is the tree that the boards run, unmodified."""

    def __init__(self, scenario: Scenario, directory: Path, firmware: Path, *, album: Album | None = None) -> None:
        self.scenario = scenario
        self.directory = directory
        self.kernel = Kernel()
        self.album = album or Album()
        self._rng = random.Random(f"world {scenario.seed}")
        directory.mkdir(parents=True, exist_ok=True)
        self.database = directory / "collector.db"
        self.collector_private = _secret(scenario, "collector")
        self.collector_port = 0
        self._start_collector()
        self.runtime = Runtime(directory / "stand-ins", heap=scenario.heap)
        self.checkpoints: dict[str, Checkpoint] = {}
        self._lasting: Counter[tuple[str, str, int]] = Counter()
        try:
            for index, plan in enumerate(scenario.boards):
                self._add(index, plan, firmware)
            self._plan_people()
            for fault in scenario.faults:
                self._plan_fault(fault)
        except BaseException:
            self.close()
            raise

    def _start_collector(self) -> None:
        """Begin the collector, or begin it again on the same data and port."""
        self.collector = CollectorServer(
            self.database, [self.collector_private], clock_ms=self.utc_ms, port=self.collector_port
        )
        self.collector_port = self.collector.start()

    def utc_ms(self) -> int:
        """Virtual UTC."""
        return self.scenario.start_ms + self.kernel.now_us // 1000

    def close(self) -> None:
        """Stop boards and collector."""
        for checkpoint in self.checkpoints.values():
            checkpoint.board.close()
            checkpoint.flash.close()
        self.collector.stop()

    def _add(self, index: int, plan: plans.BoardPlan, firmware: Path) -> None:
        seed = f"{self.scenario.seed} {plan.name}"
        keys = Keys(
            device_id=b"\0\0\x02\xc4\x07" + index.to_bytes(3, "big"),
            device_key=_secret(self.scenario, f"device {plan.name}"),
            collector_private=self.collector_private,
            list_key=_secret(self.scenario, f"list {plan.name}"),
        )
        identity = Identity(
            device_id=keys.device_id,
            device_key=keys.device_key,
            collector_public=collector_public(self.collector_private),
            collector_url=COLLECTOR_URL,
            list_key=keys.list_key,
        )
        config = {**plans.DEFAULT_CONFIG, **plan.config}
        image = assemble(_bundle(firmware, plan.hardware), config, identity, plan.flash_mib << 20, _lists(plan, keys.list_key))
        if plan.journal_kib:
            image = _with_journal(image, plan.journal_kib * KIB)
        with Store(self.database) as store:
            store.register_device(keys.device_id, keys.device_key, plan.name, self.scenario.start_ms)
        network = config["wifi"][0] if config.get("wifi") else {"ssid": "", "password": ""}

        def link(notify: Callable[..., None]) -> Link:
            return Link(
                self.kernel,
                random.Random(f"{seed} link"),
                plan.link,
                ssid=network["ssid"],
                password=network["password"],
                collector=("127.0.0.1", self.collector_port),
                collector_port=urlsplit(COLLECTOR_URL).port or 80,
                clock_ms=self.utc_ms,
                notify=notify,
            )

        checkpoint = Checkpoint(
            plan,
            self.kernel,
            self.runtime,
            self.directory / plan.name.replace(" ", "-").replace("/", "-"),
            image,
            keys,
            self.album,
            link,
            seed=seed,
            timing=self.scenario.flash_timing,
        )
        self.checkpoints[plan.name] = checkpoint
        self.kernel.at(plan.power_on_ms * 1000, checkpoint.power_on)

    def _plan_people(self) -> None:
        """People come one after the other: the next showing is put into the future when its turn comes."""
        queue = iter(showings(self.scenario))

        def step() -> None:
            showing = next(queue, None)
            if showing is not None:
                # The board notices a card when the module has read it.
                self.kernel.at(showing.at_ms * 1000, functools.partial(come, showing), unnoticed_us=DECODE_US)

        def come(showing: Showing) -> None:
            self.checkpoints[showing.board].show(showing)
            step()

        step()

    # Faults.

    def _plan_fault(self, fault: Fault) -> None:
        for day in range(fault.days):
            late_ms = day * self.scenario.day_s * 1000
            self._plan_once(dataclasses.replace(fault, at_ms=fault.at_ms + late_ms, to_ms=fault.to_ms + late_ms))

    def _plan_once(self, fault: Fault) -> None:
        if fault.kind == "collector_restart":
            self.kernel.at(fault.at_ms * 1000, lambda: self.collector.stop())
            self.kernel.at((fault.at_ms + fault.for_ms) * 1000, self._start_collector)
        for checkpoint in self.checkpoints.values():
            if fault.board in ("", checkpoint.plan.name):
                if fault.kind in plans.LASTING:
                    self._plan_lasting(fault, checkpoint)
                elif fault.kind == "kills":
                    self._plan_kills(fault, checkpoint)
                else:
                    self.kernel.at(fault.at_ms * 1000, functools.partial(self._strike, fault, checkpoint))

    def _plan_lasting(self, fault: Fault, checkpoint: Checkpoint) -> None:
        change = functools.partial(self._change_lasting, fault, checkpoint)
        self.kernel.at(fault.at_ms * 1000, lambda: change(1))
        if fault.for_ms:
            end_us = (fault.at_ms + fault.for_ms) * 1000
            self.kernel.at(end_us, lambda: change(-1))

    def _change_lasting(self, fault: Fault, checkpoint: Checkpoint, by: int) -> None:
        """One more or one less: of two that overlap, the end of one is not the end of the other."""
        key = (checkpoint.plan.name, fault.kind, fault.reader)
        self._lasting[key] += by
        _set_lasting(fault, checkpoint, self._lasting[key] > 0)

    def _plan_kills(self, fault: Fault, checkpoint: Checkpoint) -> None:
        """`count` power cuts at seeded moments between `at_ms` and `to_ms`, each after the supply is back."""
        moments = sorted(self._rng.randrange(fault.at_ms * 1000, fault.to_ms * 1000) for _ in range(fault.count))
        plan = iter(enumerate(moments))

        def following() -> None:
            number, moment_us = next(plan, (0, None))
            if moment_us is not None:
                self.kernel.at(moment_us, lambda: strike(number))

        def strike(number: int) -> None:
            if checkpoint.board.state == OFF:
                self.kernel.after(_KILL_SPACING_US, lambda: strike(number))
            elif fault.inside or (fault.aimed and number % 2):
                checkpoint.board.plan_cut(PlannedCut(cut, share=self._rng.random(), inside=fault.inside or "any"))
            else:
                cut()

        def cut() -> None:
            checkpoint.power_cut(fault.off_ms * 1000)
            following()

        following()

    def _strike(self, fault: Fault, checkpoint: Checkpoint) -> None:
        reader = checkpoint.readers[fault.reader]
        if fault.kind == "power_cut":
            checkpoint.power_cut(fault.off_ms * 1000)
        elif fault.kind == "power_cut_in_program":
            cut = functools.partial(checkpoint.power_cut, fault.off_ms * 1000)
            checkpoint.board.plan_cut(PlannedCut(cut, share=fault.share, skip=fault.program))
        elif fault.kind == "module_reboot":
            reader.module.reboot()
        elif fault.kind == "module_factory":
            reader.module.factory_reset()
        elif fault.kind == "module_babble":
            reader.module.babble(bytes.fromhex(fault.hex))
        elif fault.kind == "uart_bytes":
            reader.line.device_sends(bytes.fromhex(fault.hex), reader.module.baud)
        elif fault.kind == "noise":
            reader.line.device_sends(self._rng.randbytes(fault.size), reader.module.baud)
        elif fault.kind == "ctrl_c":
            checkpoint.board.interrupt()


def _set_lasting(fault: Fault, checkpoint: Checkpoint, on: bool) -> None:
    kind, link = fault.kind, checkpoint.link
    if kind == "wifi_down":
        link.station.set_access_point(not on)
    elif kind == "black_hole":
        link.set_black_hole(on)
    elif kind == "dns_down":
        link.dns_works = not on
    elif kind == "portal":
        link.portal = on
    elif kind == "module_cut_off":
        checkpoint.readers[fault.reader].module.cut_off = on
    elif kind == "forged":
        link.forging = on
    elif kind in ("collector_down", "collector_restart"):
        link.collector_up = not on


def _secret(scenario: Scenario, name: str) -> bytes:
    """A key of the virtual world: the same seed gives the same run, and nothing here guards anything real."""
    return hashlib.sha256(f"chot simulator {scenario.seed} {name}".encode()).digest()


def _lists(plan: plans.BoardPlan, list_key: bytes) -> bytes | None:
    """The list file of a board, None where it has no list."""
    named = {"deny": plan.deny, "allow": plan.allow}
    prints = {
        name: [lists.fingerprint(list_key, *parse_card(line)) for line in lines] for name, lines in named.items() if lines
    }
    return lists.encode(list_key, 1, _LISTS_DATE, **prints) if prints else None


def _with_journal(image: bytes, size: int) -> bytes:
    """The image with a journal partition of another size, in the same place."""
    partitions = [
        dataclasses.replace(part, size=size) if part.label == "journal" else part for part in partition_map(len(image))
    ]
    table = encode_table(partitions)
    return image[:TABLE_OFFSET] + table + image[TABLE_OFFSET + len(table) :]


_compiled: dict[tuple[Path, str, bytes], dict[str, bytes]] = {}


def _bundle(firmware: Path, hardware: str) -> dict[str, bytes]:
    """The compiled firmware, once for each state of its sources."""
    digest = hashlib.sha256()
    for path in sorted(firmware.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    key = (firmware, hardware, digest.digest())
    if key not in _compiled:
        _compiled[key] = compile_bundle(firmware, hardware)
    return _compiled[key]
