"""The lamp: three LEDs (red, green, blue) that together make the colours people are told about."""

OFF = (0, 0, 0)
RED = (1, 0, 0)
GREEN = (0, 1, 0)
BLUE = (0, 0, 1)
YELLOW = (1, 1, 0)


class Lamp:
    """`pins`: three output pins, red, green, blue, lit by 1."""

    def __init__(self, pins):
        self._pins = pins
        self.show(OFF)

    def show(self, colour):
        for pin, level in zip(self._pins, colour):
            pin.value(level)
