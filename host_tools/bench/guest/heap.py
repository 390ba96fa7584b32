"""Loads every module of the firmware, and reports the heap and the instructions that each one takes."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import binascii  # noqa: F401
import hashlib  # noqa: F401
import os  # noqa: F401
import struct  # noqa: F401
import sys  # noqa: F401
import time  # noqa: F401

import standins

standins.install()
heap = [0] * (COUNT + 1)
gc.collect()
heap[0] = gc.mem_alloc()
