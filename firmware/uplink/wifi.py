"""One Wi-Fi network as a link: joined with the interface cycled, for calling alone does not always bring it back."""

import asyncio

from micropython import const

_JOIN_MS = const(15000)
_LOOK_MS = const(500)
_OFF_MS = const(1000)


class Wifi:
    """`wlan` is the station interface, `network` one {"ssid", "password", "static"} of config. A hidden network is joined
    like any other: the chip asks for it by its name."""

    kind = 1  # as HEALTH has it

    def __init__(self, wlan, network):
        self.metered = network.get("metered", False)
        self._wlan = wlan
        self._network = network
        self._used = False

    def up(self):
        return self._wlan.isconnected()

    def rssi(self):
        """Signal in dBm, or None."""
        try:
            return self._wlan.status("rssi")
        except (OSError, ValueError):
            return None

    def server(self):
        """Address of the network's DNS server."""
        return self._wlan.ifconfig()[3]

    async def open(self, pulse):
        """True when the network took us within _JOIN_MS."""
        wlan = self._wlan
        try:
            if self._used:
                wlan.active(False)
                await asyncio.sleep_ms(_OFF_MS)
            self._used = True
            wlan.active(True)
            wlan.disconnect()
            static = self._network.get("static")
            if static:
                wlan.ifconfig(tuple(static))
            elif wlan.ifconfig()[0] != "0.0.0.0":
                wlan.ifconfig("dhcp")  # after a static network; where DHCP runs already this is an error
            wlan.connect(self._network["ssid"], self._network.get("password") or None)
        except (OSError, RuntimeError):
            return False
        for _ in range(_JOIN_MS // _LOOK_MS):
            await asyncio.sleep_ms(_LOOK_MS)
            pulse()
            if self.up():
                return True
        return False

    async def close(self, heard):
        try:
            self._wlan.disconnect()
        except (OSError, RuntimeError):
            pass  # the interface is off
