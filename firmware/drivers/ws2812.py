"""The lamp as a strip of WS2812: every pixel shows the same colour, the ones that drivers/lamp.py defines."""

from drivers.lamp import OFF
from machine import bitstream
from micropython import const

_PIXELS = const(8)  # told; a shorter strip lets the rest go by
_LIT = const(80)  # of 255
# High and low of a 0, high and low of a 1, in ns (WorldSemi WS2812B; MicroPython's own neopixel has the same).
_TIMING_NS = (400, 850, 800, 450)


class Strip:
    """`pin`: the output that the strip's data line is on."""

    def __init__(self, pin):
        self._pin = pin
        self.show(OFF)

    def show(self, colour):
        red, green, blue = colour
        bitstream(self._pin, 0, _TIMING_NS, bytes((green * _LIT, red * _LIT, blue * _LIT)) * _PIXELS)
