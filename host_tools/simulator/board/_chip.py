"""The wire to the world: the board's local clock, requests that wait for the world, posts that do not."""

import gc
import struct

import _ops

FOREVER_US = 1 << 60
# Modelled costs of the chip's CPU. No data sheet has them: they keep time moving where Python computes, in the order of
# magnitude of an ESP32 at 240 MHz. One turn of the asyncio loop; one look at a clock; one read of flash and its bytes
# (QIO at 40 MHz); a garbage collection of so many live kilobytes (of a 32-bit heap).
LOOP_US = 120
CLOCK_READ_US = 2
FLASH_READ_US = 25
FLASH_READ_BYTES_PER_US = 8
GC_KB_PER_MS = 20

now_us = 0
horizon_us = 0
watchdog_us = 0
tick_offset_ms = 0
drift_ppm = 0
more_uart = False
heap_bytes = 0

_wire = open(0, "r+b")
_head = bytearray(21)
_reply = bytearray(28)
_event = bytearray(8)
# kind * 256 + id -> callable(value); the parts of the chip put themselves in.
handlers = {}
# Input pins: number -> level, as the world last said.
pin_levels = {}


def post(op, payload=b""):
    """Tell the world something it need not answer."""
    struct.pack_into("<BIQQ", _head, 0, op, len(payload), now_us, watchdog_us)
    _wire.write(_head)
    if payload:
        _wire.write(payload)


def act(op, payload=b""):
    """A post that other things may react to: the next wait must ask the world."""
    global horizon_us
    post(op, payload)
    horizon_us = 0


def _fill(buf):
    n = _wire.readinto(buf)
    if n != len(buf):
        raise SystemExit  # the world is gone


def call(op, payload=b""):
    """Ask the world, be stopped until it answers; return (value, payload bytes). Deliver the events that came."""
    global now_us, horizon_us, more_uart
    post(op, payload)
    _fill(_reply)
    now_us, horizon_us, value, size, events, flags = struct.unpack("<QQiIHH", _reply)
    more_uart = bool(flags & _ops.FLAG_HELD_BACK)
    while events:
        _fill(_event)
        kind, ident, amount = struct.unpack("<HHi", _event)
        handler = handlers.get(kind * 256 + ident)
        if handler:
            handler(amount)
        elif kind == _ops.EVENT_PIN:
            pin_levels[ident] = amount
        events -= 1
    data = b""
    if size:
        data = bytearray(size)
        _fill(data)
    if flags & _ops.FLAG_INTERRUPT:
        raise KeyboardInterrupt
    return value, data


def wait(until_us, kind):
    """Be stopped until `until_us` (local clock), or for WAIT_POLL until an event. Silent hours cost no request."""
    global now_us, heap_bytes
    if until_us <= now_us and (kind == _ops.WAIT_SLEEP or now_us < horizon_us):
        return
    if until_us < horizon_us and (not watchdog_us or until_us < watchdog_us):
        now_us = until_us
        return
    live = gc.mem_alloc()
    if live < heap_bytes:
        now_us += live * 1000 // (GC_KB_PER_MS * 2048)
    heap_bytes = live
    call(_ops.OP_WAIT, struct.pack("<QBI", until_us, kind, live))


def spend(us):
    """Account CPU time."""
    global now_us
    now_us += us


def feed_until(deadline_us):
    global watchdog_us
    watchdog_us = deadline_us


def local_us():
    """The board's own clock since boot, with its crystal's error."""
    return now_us - boot_us + (now_us - boot_us) * drift_ppm // 1000000


boot_us = 0


def hello(runtime):
    """Introduce the runtime, take over what this boot begins with; returns the bytes of the start message."""
    global boot_us, tick_offset_ms, drift_ppm
    _, data = call(_ops.OP_HELLO, runtime)
    boot_us = now_us
    tick_offset_ms, drift_ppm = struct.unpack_from("<Ii", data, 0)
    return data
