"""Stand-ins for the chip's modules; they run inside MicroPython, CPython reads only `_ops`."""
