"""What a board remembers through a power cut beside its journal: the time, its clock chip's drift, bytes of the month."""

import struct

from micropython import const

_KEY = "kept"
_FORMAT = "<qqiIQ"
_EVERY_MS = const(3600000)
_NEVER_MS = const(-0x3FFFFFFF)


class Kept:
    """`nvs` is an esp32.NVS, `clock` the board's. What is changed reaches flash with save(), which may erase: see due()."""

    def __init__(self, nvs, clock):
        self._nvs = nvs
        self._clock = clock
        self._saved_ms = _NEVER_MS
        self._urgent = False
        self.time_s = 0  # UTC when it was last saved
        self.set_s = 0  # UTC when the clock chip was last set, 0 never
        self.drift = 0  # of the clock chip, 0.1 ppm, positive when it runs fast
        self.month = 0
        self.sent_bytes = 0  # over metered links in that month
        data = bytearray(struct.calcsize(_FORMAT))
        try:
            if nvs.get_blob(_KEY, data) == len(data):
                self.time_s, self.set_s, self.drift, self.month, self.sent_bytes = struct.unpack(_FORMAT, data)
        except (OSError, ValueError):
            pass  # a new board

    def hurry(self):
        """What was changed is to be saved soon."""
        self._urgent = True

    def due(self):
        """True once an hour, while the time is known, and after hurry()."""
        return self._clock.known() and (self._urgent or self._clock.uptime_ms() - self._saved_ms >= _EVERY_MS)

    def save(self):
        """Write it all; takes as long as an erase at worst."""
        self._urgent = False
        self._saved_ms = self._clock.uptime_ms()
        self.time_s = self._clock.now()[0] // 1000
        data = struct.pack(_FORMAT, self.time_s, self.set_s, self.drift, self.month, self.sent_bytes)
        try:
            self._nvs.set_blob(_KEY, data)
            self._nvs.commit()
        except OSError:
            pass  # NVS is full or broken: the board goes on without
