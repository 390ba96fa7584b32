"""The Wi-Fi station as the world sees it: association, a lost access point, the chip's own attempts to come back."""

from __future__ import annotations

from collections.abc import Callable

from host_tools.simulator.board import _ops
from host_tools.simulator.costs import ASSOCIATE_US, BEACON_TIMEOUT_US, RECONNECT_US
from host_tools.simulator.kernel import Event, Kernel

IDLE = 1000
CONNECTING = 1001
GOT_IP = 1010
BEACON_TIMEOUT = 200
NO_AP_FOUND = 201
WRONG_PASSWORD = 202


class Station:
    """One board's station. `notify(kind, id, value)` tells the board; `changed()` tells the link that the route did."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        ssid: str,
        password: str,
        rssi_dbm: int,
        notify: Callable[[int, int, int], None],
        changed: Callable[[], None],
    ) -> None:
        self._kernel = kernel
        self.ssid = ssid
        self.password = password
        self.rssi_dbm = rssi_dbm
        self._notify = notify
        self._changed = changed
        self.access_point_up = True
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

    def active(self, on: bool) -> None:
        """`WLAN.active()`."""
        if not on:
            self.reset()

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

    def set_access_point(self, up: bool) -> None:
        """The access point appears or vanishes; a vanished one is noticed by its missing beacons."""
        if up == self.access_point_up:
            return
        self.access_point_up = up
        self._changed()
        if not up and self.associated:
            self._cancel()
            self._pending = self._kernel.after(BEACON_TIMEOUT_US, self._lost)
        elif up and self.associated:
            self._cancel()

    def _lost(self) -> None:
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
        if not self.access_point_up or self._wanted[0] != self.ssid:
            self._failed(NO_AP_FOUND)
        elif self._wanted[1] != self.password:
            self._failed(WRONG_PASSWORD)
        else:
            self.associations += 1
            self._set_associated(True)
            self._notify(_ops.EVENT_RSSI, 0, self.rssi_dbm)
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
        if associated != self.associated:
            self.associated = associated
            self._changed()

    def _set_status(self, status: int) -> None:
        if status != self.status:
            self.status = status
            self._notify(_ops.EVENT_WLAN, 0, status)

    def _cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
