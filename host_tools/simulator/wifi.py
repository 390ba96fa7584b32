"""The Wi-Fi station as the world sees it: association, a lost access point, the chip's own attempts to come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from host_tools.simulator.board import _ops
from host_tools.simulator.costs import ASSOCIATE_US, BEACON_TIMEOUT_US, RECONNECT_US
from host_tools.simulator.kernel import Event, Kernel

IDLE = 1000
CONNECTING = 1001
GOT_IP = 1010
BEACON_TIMEOUT = 200
NO_AP_FOUND = 201
WRONG_PASSWORD = 202


@dataclass
class AccessPoint:
    """One network of a door. `dhcp`: it gives addresses; without, only a station with an address of its own gets on.
    `dead`: it takes stations and passes nothing on. `wedges`: who has lost it finds it again only with a fresh radio."""

    ssid: str
    password: str = ""
    rssi_dbm: int = -58
    hidden: bool = False
    dhcp: bool = True
    dead: bool = False
    wedges: bool = False
    up: bool = True


class Station:
    """One board's station among `access_points`. `notify(kind, id, value)` tells the board; `changed` is for the link."""

    keeps_connections = True

    def __init__(
        self,
        kernel: Kernel,
        *,
        access_points: Sequence[AccessPoint],
        notify: Callable[[int, int, int], None],
    ) -> None:
        self._kernel = kernel
        self.access_points = list(access_points)
        self._notify = notify
        self.changed: Callable[[], None] = lambda: None
        self._at: AccessPoint | None = None  # the one that has taken us
        self._static = False
        self._wedged = False
        self.associated = False
        self.status = IDLE
        self._wanted: tuple[str, str] | None = None
        self._attempts_left = 0
        self._pending: Event | None = None
        self.associations = 0

    def reset(self) -> None:
        """The board restarts: the radio is off."""
        self._cancel()
        self._wanted = None
        self.status = IDLE
        self._set_associated(False)

    @property
    def carries(self) -> bool:
        """Whether a packet gets beyond the access point."""
        return self._at is not None and self._at.up and not self._at.dead

    def over_us(self, at_us: int, size: int, up: bool) -> int:
        """When a packet has crossed the air: what that takes is in the link's own figures."""
        return at_us

    def seen(self) -> list[tuple[str, int]]:
        """What `WLAN.scan()` finds: (ssid, dBm); a hidden one has no name."""
        return [("" if point.hidden else point.ssid, point.rssi_dbm) for point in self.access_points if point.up]

    def posted(self, op: int, payload: bytes) -> bool:
        """Take what the board told its network if it is about Wi-Fi."""
        if op == _ops.POST_WLAN_ACTIVE:
            if payload[0] == 0:
                self.active(bool(payload[1]))
        elif op == _ops.POST_WLAN_CONNECT:
            ssid, _, password = payload[1:].decode(errors="replace").partition("\0")
            self.connect(ssid, password, payload[0])
        elif op == _ops.POST_WLAN_DISCONNECT:
            self.disconnect()
        elif op == _ops.POST_WLAN_STATIC:
            self.static(bool(payload[0]))
        else:
            return False
        return True

    def active(self, on: bool) -> None:
        """`WLAN.active()`."""
        self._wedged = False
        if not on:
            self.reset()

    def static(self, on: bool) -> None:
        """`WLAN.ifconfig()`: an address of its own, or one by DHCP."""
        self._static = on

    def connect(self, ssid: str, password: str, reconnects: int) -> None:
        """`WLAN.connect()`; `reconnects` 255 means without end."""
        self._wanted = (ssid, password)
        self._attempts_left = 1 << 30 if reconnects == 255 else reconnects
        self._set_associated(False)
        self._try()

    def disconnect(self) -> None:
        """`WLAN.disconnect()`."""
        self._wanted = None
        self._cancel()
        self._set_associated(False)
        self._set_status(IDLE)

    def set_access_point(self, up: bool, ssid: str = "") -> None:
        """The access point `ssid` (none: all) appears or vanishes; a vanished one is noticed by its missing beacons."""
        for point in self.access_points:
            if point.up != up and ssid in ("", point.ssid):
                point.up = up
                self._access_point_changed(point)

    def set_dead(self, dead: bool, ssid: str = "") -> None:
        """The access point `ssid` (none: all) keeps its stations and passes nothing, or passes again."""
        for point in self.access_points:
            if ssid in ("", point.ssid):
                point.dead = dead
        self.changed()

    def _access_point_changed(self, point: AccessPoint) -> None:
        if point is not self._at:
            return
        self.changed()
        self._cancel()
        if not point.up:
            self._pending = self._kernel.after(BEACON_TIMEOUT_US, self._lost)

    def _lost(self) -> None:
        self._wedged = self._at is not None and self._at.wedges
        self._set_associated(False)
        self._failed(BEACON_TIMEOUT)

    def _try(self) -> None:
        self._cancel()
        self._set_status(CONNECTING)
        self._pending = self._kernel.after(ASSOCIATE_US, self._outcome)

    def _outcome(self) -> None:
        self._pending = None
        if self._wanted is None:
            return
        named = [point for point in self.access_points if point.up and point.ssid == self._wanted[0]]
        if not named or self._wedged:
            self._failed(NO_AP_FOUND)
        elif named[0].password != self._wanted[1]:
            self._failed(WRONG_PASSWORD)
        elif not (named[0].dhcp or self._static):
            self._pending = self._kernel.after(RECONNECT_US, self._outcome)  # associated, and no address ever comes
        else:
            self.associations += 1
            self._at = named[0]
            self._set_associated(True)
            self._notify(_ops.EVENT_RSSI, 0, self._at.rssi_dbm)
            self._set_status(GOT_IP)

    def _failed(self, status: int) -> None:
        if self._attempts_left > 0:
            # While the IDF still tries, MicroPython goes on saying "connecting".
            self._attempts_left -= 1
            self._set_status(CONNECTING)
            self._pending = self._kernel.after(RECONNECT_US, self._try)
        else:
            self._set_status(status)

    def _set_associated(self, associated: bool) -> None:
        if not associated:
            self._at = None
        if associated != self.associated:
            self.associated = associated
            self.changed()

    def _set_status(self, status: int) -> None:
        if status != self.status:
            self.status = status
            self._notify(_ops.EVENT_WLAN, 0, status)

    def _cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
