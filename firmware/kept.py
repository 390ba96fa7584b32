"""What some boards remember through a power cut beside the journal: their clock chip's drift, the month's metered bytes."""

import asyncio
import struct

from micropython import const

_KEY = "kept"
_FORMAT = "<qiIQ"
_LOOK_MS = const(10000)
_EVERY_MS = const(3600000)


class Kept:
    """`nvs` is an esp32.NVS, `hold(work)` awaits what may erase flash while no card is read."""

    def __init__(self, nvs, clock, hold):
        self._nvs = nvs
        self._clock = clock
        self._hold = hold
        self._saved_ms = 0
        self._urgent = False
        self.set_s = 0  # UTC when the clock chip was last set, 0 never
        self.drift = 0  # of the clock chip, 0.1 ppm, positive when it runs fast; 0 not measured
        self.month = 0
        self.sent_bytes = 0  # over metered links in that month
        self._data = bytearray(struct.calcsize(_FORMAT))
        try:
            if nvs.get_blob(_KEY, self._data) == len(self._data):
                self.set_s, self.drift, self.month, self.sent_bytes = struct.unpack(_FORMAT, self._data)
        except (OSError, ValueError):
            pass  # a new board

    def hurry(self):
        """What was changed is to be saved soon."""
        self._urgent = True

    async def save(self):
        """Write it, if it is not what was written last."""
        data = struct.pack(_FORMAT, self.set_s, self.drift, self.month, self.sent_bytes)
        if data != self._data:
            try:
                self._nvs.set_blob(_KEY, data)
                self._nvs.commit()
                self._data = data
            except OSError:
                pass  # NVS is full or broken: the board goes on without

    async def run(self, pulse):
        """Save once an hour, and soon after hurry()."""
        while True:
            pulse()
            await asyncio.sleep_ms(_LOOK_MS)
            now = self._clock.uptime_ms()
            if self._urgent or now - self._saved_ms >= _EVERY_MS:
                self._urgent = False
                self._saved_ms = now
                await self._hold(self.save)
