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
# The heap is looked at so often at most: looking walks all of it.
HEAP_LOOK_US = 2000000

now_us = 0
horizon_us = 0
watchdog_us = 0
tick_offset_ms = 0
drift_ppm = 0
more_uart = False
heap_bytes = 0
# What lived after the collections that were asked for since the world was last told; 0: there was none.
least_live_bytes = 0
# A packet to the collector and one back take so long at least.
round_trip_us = 0

_HEAD_BYTES = 21
_EVENT_BYTES = 8
_wire = open(0, "r+b")
# Posts wait here for the next request: both go in one message.
_out = bytearray(512)
_out_bytes = 0
_reply = bytearray(28)
# kind * 256 + id -> callable(value); the parts of the chip put themselves in.
handlers = {}
# Input pins: number -> level, as the world last said.
pin_levels = {}


def post(op, payload=b""):
    """Tell the world something it need not answer; it hears it with the next request, or at send()."""
    global _out_bytes
    end = _out_bytes + _HEAD_BYTES + len(payload)
    if end > len(_out):
        send()
        end = _HEAD_BYTES + len(payload)
    struct.pack_into("<BIQQ", _out, _out_bytes, op, len(payload), now_us, watchdog_us)
    if end <= len(_out):
        _out[_out_bytes + _HEAD_BYTES : end] = payload
        _out_bytes = end
    else:
        _out_bytes = _HEAD_BYTES
        send()
        _wire.write(payload)


def stream(op, ident, payload):
    """Like act() of the byte `ident` and a long payload, which is not copied: the board's heap has no room for the model."""
    global horizon_us
    send()
    struct.pack_into("<BIQQB", _out, 0, op, len(payload) + 1, now_us, watchdog_us, ident)
    _wire.write(memoryview(_out)[: _HEAD_BYTES + 1])
    _wire.write(payload)
    horizon_us = min(horizon_us, now_us + round_trip_us)


def send():
    """Let the world have what was posted."""
    global _out_bytes
    if _out_bytes:
        _wire.write(memoryview(_out)[:_out_bytes])
        _out_bytes = 0


def act(op, payload=b"", answer_us=0):
    """A post that other things may react to, not sooner than after `answer_us`: a wait beyond that must ask the world."""
    global horizon_us
    post(op, payload)
    horizon_us = min(horizon_us, now_us + answer_us)


def _fill(buf):
    n = _wire.readinto(buf)
    if n != len(buf):
        raise SystemExit  # the world is gone


def call(op, payload=b""):
    """Ask the world, be stopped until it answers; return (value, payload bytes). Deliver the events that came."""
    global now_us, horizon_us, more_uart
    post(op, payload)
    send()
    _fill(_reply)
    now_us, horizon_us, value, size, events, flags = struct.unpack("<QQiIHH", _reply)
    more_uart = bool(flags & _ops.FLAG_HELD_BACK)
    data = b""
    if size + events:
        data = bytearray(size + events * _EVENT_BYTES)
        _fill(data)
    at = size
    while events:
        kind, ident, amount = struct.unpack_from("<HHi", data, at)
        at += _EVENT_BYTES
        handler = handlers.get(kind * 256 + ident)
        if handler:
            handler(amount)
        elif kind == _ops.EVENT_PIN:
            pin_levels[ident] = amount
        events -= 1
    if flags & _ops.FLAG_INTERRUPT:
        raise KeyboardInterrupt
    return value, data[:size]


def wait(until_us, kind):
    """Be stopped until `until_us` (local clock), or for WAIT_POLL until an event. Silent hours cost no request."""
    global now_us, least_live_bytes
    if until_us <= now_us and (kind == _ops.WAIT_SLEEP or now_us < horizon_us):
        return
    if until_us < horizon_us and (not watchdog_us or until_us < watchdog_us):
        now_us = until_us
        return
    if now_us - _looked_us >= HEAP_LOOK_US:
        _look(heap_bytes)
    call(_ops.OP_WAIT, struct.pack("<QBII", until_us, kind, heap_bytes, least_live_bytes))
    least_live_bytes = 0


def _look(before):
    """How full the heap is; less than `before` means that it was collected, which takes the CPU its time."""
    global now_us, heap_bytes, _looked_us
    _looked_us = now_us
    heap_bytes = gc.mem_alloc()
    if heap_bytes < before:
        now_us += heap_bytes * 1000 // (GC_KB_PER_MS * 2048)


def collected():
    """The firmware has had its heap collected."""
    global now_us, least_live_bytes
    if now_us - _looked_us < HEAP_LOOK_US:
        now_us += heap_bytes * 1000 // (GC_KB_PER_MS * 2048)
        return
    _look(FOREVER_US)
    least_live_bytes = min(least_live_bytes or heap_bytes, heap_bytes)


_looked_us = -HEAP_LOOK_US


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
    global boot_us, tick_offset_ms, drift_ppm, round_trip_us
    _, data = call(_ops.OP_HELLO, runtime)
    boot_us = now_us
    tick_offset_ms, drift_ppm, round_trip_us = struct.unpack_from("<IiI", data, 0)
    return data
