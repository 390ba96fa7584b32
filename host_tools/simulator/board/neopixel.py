"""`neopixel`: a strip whose first pixel is told to the world as three virtual pins (its number + 64, 65, 66)."""

import _chip
import _ops


class NeoPixel:
    """A strip of `n` RGB pixels."""

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self._pixels = [(0,) * bpp] * n

    def __len__(self):
        return self.n

    def __setitem__(self, i, colour):
        self._pixels[i] = colour

    def __getitem__(self, i):
        return self._pixels[i]

    def fill(self, colour):
        self._pixels = [colour] * self.n

    def write(self):
        for i in range(3):
            level = 1 if self._pixels[0][i] else 0
            _chip.post(_ops.POST_PIN, bytes((64 + i, level)))
