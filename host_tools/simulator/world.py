"""The world of a scenario: checkpoints, people, faults and the real collector, all on one virtual clock."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import random
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
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
from host_tools.simulator.board import _ops
from host_tools.simulator.board_process import OFF
from host_tools.simulator.certificates import FROM, TO, authority, server
from host_tools.simulator.checkpoint import Checkpoint, Keys
from host_tools.simulator.crowd import Album, Showing, showings
from host_tools.simulator.far_end import COLLECTOR_IP, IMPOSTOR_IP, SECOND_IP, Host, Hosts
from host_tools.simulator.flash import PlannedCut
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.links import Carrier, Link, LinkOptions
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scenario import Fault, Scenario
from host_tools.simulator.serial_module import DECODE_US
from host_tools.simulator.wifi import AccessPoint

_LISTS_DATE = datetime.date(2026, 3, 2)
# A kill whose moment falls while the supply is away tries again so much later.
_KILL_SPACING_US = 50_000
# The firmware of the virtual world is so old when a run begins.
_BUILT_BEFORE_S = 30 * 86_400


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
        self.start_collector()
        self.second_collector = self._collector(0) if scenario.second_collector else None
        self._second_port = self.second_collector.start() if self.second_collector else 0
        self.authority = authority()
        self._impostor = server(["captive.portal"], authority("Somebody else")).server_context()
        self.runtime = Runtime(directory / "stand-ins", heap=scenario.heap)
        self.checkpoints: dict[str, Checkpoint] = {}
        self._lasting: Counter[tuple[str, str, int, str]] = Counter()
        try:
            for index, plan in enumerate(scenario.boards):
                self._add(index, plan, firmware)
            self._plan_people()
            self._plan_doorways()
            for fault in scenario.faults:
                self._plan_fault(fault)
        except BaseException:
            self.close()
            raise

    def start_collector(self) -> None:
        """Begin the collector, or begin it again on the same data and port."""
        self.collector = self._collector(self.collector_port)
        self.collector_port = self.collector.start()

    def _collector(self, port: int) -> CollectorServer:
        return CollectorServer(self.database, [self.collector_private], clock_ms=self.utc_ms, port=port)

    def _hosts(self, url: str) -> Hosts:
        """The machines of one board's world: the collector at `url`, a second one behind its name, an impostor."""
        parts = urlsplit(url)
        name, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        good = self._certificate("", name) if secure else None
        bad = self._impostor if secure else None
        hosts = Hosts({COLLECTOR_IP: Host(("127.0.0.1", self.collector_port), port, good)})
        hosts.by_address[IMPOSTOR_IP] = Host(None, port, bad, forges=True)
        if self._second_port:
            hosts.by_address[SECOND_IP] = Host(("127.0.0.1", self._second_port), port, good)
            hosts.names[name] = [COLLECTOR_IP, SECOND_IP]
        return hosts

    def utc_ms(self) -> int:
        """Virtual UTC."""
        return self.scenario.start_ms + self.kernel.now_us // 1000

    def close(self) -> None:
        """Stop boards and collector."""
        for checkpoint in self.checkpoints.values():
            checkpoint.board.close()
            checkpoint.flash.close()
        self.collector.stop()
        if self.second_collector is not None:
            self.second_collector.stop()

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
            collector_url=plan.collector_url,
            list_key=keys.list_key,
            collector_ca=self.authority.der if plan.collector_url.startswith("https:") else b"",
        )
        config = {**plans.DEFAULT_CONFIG, **plan.config}
        bundle = _bundle(firmware, plan.hardware, self.scenario.start_ms // 1000 - _BUILT_BEFORE_S)
        image = assemble(bundle, config, identity, plan.flash_mib << 20, _lists(plan, keys.list_key))
        if plan.journal_kib:
            image = _with_journal(image, plan.journal_kib * KIB)
        with Store(self.database) as store:
            store.register_device(keys.device_id, keys.device_key, plan.name, self.scenario.start_ms)

        hosts = self._hosts(plan.collector_url)

        def make_link(notify: Callable[..., None], name: str, carrier: Carrier, options: LinkOptions) -> Link:
            link = Link(
                self.kernel,
                random.Random(f"{seed} {name}"),
                options,
                carrier=carrier,
                hosts=hosts,
                clock_ms=self.utc_ms,
                notify=notify,
            )
            link.impostor = self._impostor
            return link

        checkpoint = Checkpoint(
            plan,
            self.kernel,
            self.runtime,
            self.directory / plan.name.replace(" ", "-").replace("/", "-"),
            image,
            keys,
            self.album,
            make_link,
            clock_ms=self.utc_ms,
            access_points=_access_points(plan, config),
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

    def _plan_doorways(self) -> None:
        for checkpoint in self.checkpoints.values():
            mine = [passage for passage in self.scenario.passages if passage.board == checkpoint.plan.name]
            for passage in mine:
                for at_us, action in checkpoint.doorway.plan(passage):
                    self.kernel.at(at_us, action)

    # Faults.

    def _plan_fault(self, fault: Fault) -> None:
        for day in range(fault.days):
            late_ms = day * self.scenario.day_s * 1000
            self._plan_once(dataclasses.replace(fault, at_ms=fault.at_ms + late_ms, to_ms=fault.to_ms + late_ms))

    def _plan_once(self, fault: Fault) -> None:
        if fault.kind == "collector_restart":
            self.kernel.at(fault.at_ms * 1000, lambda: self.collector.stop())
            self.kernel.at((fault.at_ms + fault.for_ms) * 1000, self.start_collector)
        for checkpoint in self.checkpoints.values():
            if fault.board in ("", checkpoint.plan.name):
                if fault.kind in plans.LASTING:
                    self._plan_lasting(fault, checkpoint)
                elif fault.kind == "kills":
                    self._plan_kills(fault, checkpoint)
                else:
                    self.kernel.at(fault.at_ms * 1000, functools.partial(self._strike, fault, checkpoint))

    def _certificate(self, wrong: str, name: str) -> ssl.SSLContext:
        """TLS of a collector called `name`, with the right certificate or one that is `wrong` somehow."""
        names = ["other.example"] if wrong == "other_name" else [name, COLLECTOR_IP]
        by = authority("Somebody else") if wrong == "other_authority" else self.authority
        valid = {"expired": ("2020-01-01", "2020-12-31"), "future": ("2048-01-01", "2049-12-31")}.get(wrong, (FROM, TO))
        return server(names, by, valid).server_context()

    def _plan_lasting(self, fault: Fault, checkpoint: Checkpoint) -> None:
        change = functools.partial(self._change_lasting, fault, checkpoint)
        self.kernel.at(fault.at_ms * 1000, lambda: change(1))
        if fault.for_ms:
            end_us = (fault.at_ms + fault.for_ms) * 1000
            self.kernel.at(end_us, lambda: change(-1))

    def _change_lasting(self, fault: Fault, checkpoint: Checkpoint, by: int) -> None:
        """One more or one less: of two that overlap, the end of one is not the end of the other."""
        key = (checkpoint.plan.name, fault.kind, fault.reader, fault.ssid)
        self._lasting[key] += by
        on = self._lasting[key] > 0
        if fault.kind.startswith("certificate_"):
            wrong = fault.kind.removeprefix("certificate_") if on else ""
            host = urlsplit(checkpoint.plan.collector_url).hostname or ""
            checkpoint.link.hosts.by_address[COLLECTOR_IP].tls = self._certificate(wrong, host)
        else:
            _set_lasting(fault, checkpoint, on)

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
        elif fault.kind == "board_reset" and checkpoint.board.state != OFF:
            checkpoint.board.reset(_ops.CAUSE_HARD)
        elif fault.kind == "modem_brown_out" and checkpoint.ways.modem is not None:
            checkpoint.ways.modem.brown_out()


def _set_lasting(fault: Fault, checkpoint: Checkpoint, on: bool) -> None:
    """What a fault changes in one board's world, and undoes."""
    kind, link, ways = fault.kind, checkpoint.link, checkpoint.ways
    if kind == "wifi_down":
        ways.station.set_access_point(not on, fault.ssid)
    elif kind == "wifi_dead":
        ways.station.set_dead(on, fault.ssid)
    elif kind == "black_hole":
        link.set_black_hole(on)
    elif kind == "dns_down":
        link.dns_works = not on
    elif kind == "dns_poisoned":
        link.hosts.poisoned = on
    elif kind == "portal":
        link.portal = on
    elif kind == "first_collector_down":
        link.hosts.by_address[COLLECTOR_IP].up = not on
    elif kind.startswith("replies_"):
        for each in ways.links:
            each.replies = kind.removeprefix("replies_") if on else ""
    elif kind == "module_cut_off":
        checkpoint.readers[fault.reader].module.cut_off = on
    elif kind == "forged":
        link.forging = on
    elif kind in ("collector_down", "collector_restart"):
        for each in ways.links:
            each.collector_up = not on
    elif kind == "ntp_down":
        ways.ntp.up = not on
    elif kind == "mobile_dead" and ways.cellular is not None:
        ways.cellular.set_dead(on)
    elif kind == "mobile_denied" and ways.modem is not None:
        ways.modem.registration("denied" if on else "home")


def _access_points(plan: plans.BoardPlan, config: dict[str, Any]) -> list[AccessPoint]:
    """The access points around a board: those of the plan, else the first network of its config."""
    if plan.access_points or not config.get("wifi"):
        return plan.access_points
    network = config["wifi"][0]
    return [AccessPoint(network["ssid"], network.get("password", ""), plan.link.rssi_dbm)]


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


_compiled: dict[tuple[Path, str, int, bytes], dict[str, bytes]] = {}


def _bundle(firmware: Path, hardware: str, built_s: int) -> dict[str, bytes]:
    """The compiled firmware, once for each state of its sources."""
    digest = hashlib.sha256()
    for path in sorted(firmware.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    key = (firmware, hardware, built_s, digest.digest())
    if key not in _compiled:
        _compiled[key] = compile_bundle(firmware, hardware, built_s)
    return _compiled[key]
