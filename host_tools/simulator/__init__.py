"""The board on a PC: the unmodified firmware on the real MicroPython, in a world whose time is discrete events."""
