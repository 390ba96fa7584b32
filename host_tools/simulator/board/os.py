"""`os` of the chip: the file system's functions as they are, and random bytes that are poor while the radio is off."""

import hashlib
import sys

import network as _network
from uos import *

# While the radio is off the chip's generator is only pseudo-random: here the same bytes at every boot.
_poor = b""
_rich = b""
_drawn = 0


def urandom(n):
    global _drawn
    out = b""
    while len(out) < n:
        _drawn += 1
        out += hashlib.sha256((_rich if _network.radio_runs else _poor) + b"%d" % _drawn).digest()
    return out[:n]


def uname():
    return ("esp32", "esp32", sys.implementation[1], sys.version, "virtual checkpoint with ESP32")
