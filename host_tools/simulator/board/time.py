"""`time` of the chip: ticks wrap at 2**30, seconds start in 2000, and all of it is the world's virtual clock."""

import _chip
import _ops
import utime
from _chip import wait

_MASK = 0x3FFFFFFF
_HALF = 0x20000000
_Y2000_S = 946684800
# Set by machine.RTC: microseconds to add to the local clock to get RTC time since 2000.
rtc_base_us = 0


def ticks_ms():
    _chip.now_us += _chip.CLOCK_READ_US
    return (_chip.local_us() // 1000 + _chip.tick_offset_ms) & _MASK


def ticks_us():
    _chip.now_us += _chip.CLOCK_READ_US
    return (_chip.local_us() + _chip.tick_offset_ms * 1000) & _MASK


def ticks_cpu():
    return ticks_us()


def ticks_diff(a, b):
    return ((a - b + _HALF) & _MASK) - _HALF


def ticks_add(a, b):
    return (a + b) & _MASK


def sleep_us(us):
    if us > 0:
        wait(_chip.now_us + us, _ops.WAIT_SLEEP)


def sleep_ms(ms):
    sleep_us(ms * 1000)


def sleep(s):
    sleep_us(int(s * 1000000))


def time():
    _chip.now_us += _chip.CLOCK_READ_US
    return (_chip.local_us() + rtc_base_us) // 1000000


def time_ns():
    _chip.now_us += _chip.CLOCK_READ_US
    return (_chip.local_us() + rtc_base_us) * 1000


def gmtime(s=None):
    return utime.gmtime((time() if s is None else int(s)) + _Y2000_S)[:8]


localtime = gmtime


def mktime(t):
    return int(utime.mktime(tuple(t) if len(t) == 9 else tuple(t) + (0,))) - _Y2000_S
