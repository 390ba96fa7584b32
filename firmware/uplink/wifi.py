"""Wi-Fi as a client: the networks of config in order, and an interface that is cycled when calling alone does not help."""

import asyncio

from micropython import const

_JOIN_MS = const(15000)
_LOOK_MS = const(2000)
_REST_MS = const(5000)


class Wifi:
    """`wlan` is the station interface, already active; `networks` a list of {"ssid", "password"}."""

    def __init__(self, wlan, networks):
        self._wlan = wlan
        self._networks = networks

    def up(self):
        return self._wlan.isconnected()

    def rssi(self):
        """Signal in dBm, or None without a link."""
        if not self.up():
            return None
        try:
            return self._wlan.status("rssi")
        except (OSError, ValueError):
            return None

    async def _join(self, network, pulse):
        """True when the network took us within _JOIN_MS."""
        try:
            self._wlan.connect(network["ssid"], network.get("password") or None)
        except OSError:
            return False
        for _ in range(_JOIN_MS // 500):
            await asyncio.sleep_ms(500)
            pulse()
            if self.up():
                return True
        self._wlan.disconnect()
        return False

    async def run(self, pulse):
        """Keep a link up for ever."""
        while True:
            pulse()
            if self.up() or not self._networks:
                await asyncio.sleep_ms(_LOOK_MS)
                continue
            for network in self._networks:
                if await self._join(network, pulse):
                    break
            else:
                self._wlan.active(False)
                await asyncio.sleep_ms(_REST_MS)
                self._wlan.active(True)
