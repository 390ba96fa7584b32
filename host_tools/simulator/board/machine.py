"""`machine` of the ESP32: UART, Pin, PWM, I2C, WDT, RTC and resets, each a thin hand of the world's model."""

import struct
import time as _time

import _chip
import _ops

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_cause = 0
_unique_id = b""
_rtc_memory = b""
_uart_fds = {}
_uart_files = {}  # a port that is set up a second time is the same port


def reset():
    _chip.call(_ops.OP_RESET, bytes((_ops.CAUSE_HARD,)))


def soft_reset():
    raise SystemExit


def reset_cause():
    return _cause


def unique_id():
    return _unique_id


def freq(hz=None):
    return 240000000 if hz is None else None


def idle():
    _time.sleep_ms(1)


lightsleep = _time.sleep_ms


def disable_irq():
    return 0


def enable_irq(state):
    pass


class UART:
    """A port: bytes go over a pty, how many have arrived is what the world says."""

    INV_TX = 1
    INV_RX = 2

    def __init__(self, ident, baudrate=115200, **settings):
        if ident not in _uart_fds:
            raise ValueError("UART(%d) does not exist" % ident)
        self._id = ident
        self._available = 0
        self._settings = {"rxbuf": 256, "txbuf": 256, "timeout": 0, "tx": 10, "rx": 9}
        if ident not in _uart_files:
            _uart_files[ident] = open(_uart_fds[ident], "r+b")
        self._port = _uart_files[ident]
        self._tx_free_us = 0
        _chip.handlers[_ops.EVENT_UART * 256 + ident] = self._arrived
        self.init(baudrate, fresh=1, **settings)

    def init(self, baudrate=None, bits=8, parity=None, stop=1, fresh=0, **settings):
        if self._tx_free_us > _chip.now_us:
            _chip.wait(self._tx_free_us, _ops.WAIT_SLEEP)
        if "rxbuf" in settings and settings["rxbuf"] <= 128:
            raise ValueError("rxbuf too small")
        self._settings.update(settings)
        if baudrate:
            self._baud = baudrate
        own = self._settings
        _chip.act(
            _ops.POST_UART_INIT,
            struct.pack("<BIIBBB", self._id, self._baud, own["rxbuf"], fresh, own["tx"] & 255, own["rx"] & 255),
        )

    def deinit(self):
        _chip.handlers.pop(_ops.EVENT_UART * 256 + self._id, None)

    def _arrived(self, count):
        self._available += count

    def _ready(self):
        return 5 if self._available else 4

    def _sync(self):
        if _chip.now_us >= _chip.horizon_us:
            _chip.wait(_chip.now_us, _ops.WAIT_POLL)

    def any(self):
        self._sync()
        return self._available

    def _await(self):
        if not self._available:
            self._sync()
        if not self._available and self._settings["timeout"]:
            until = _chip.now_us + self._settings["timeout"] * 1000
            while not self._available and _chip.now_us < until:
                _chip.wait(until, _ops.WAIT_POLL)
        return self._available

    def _taken(self, count):
        self._available -= count
        (_chip.act if _chip.more_uart else _chip.post)(_ops.POST_UART_TAKEN, struct.pack("<BI", self._id, count))

    def read(self, n=-1):
        have = self._await()
        if not have:
            return None
        if n < 0 or n > have:
            n = have
        data = self._port.read(n)
        self._taken(n)
        return data

    def readinto(self, buf, n=-1):
        have = self._await()
        if not have:
            return None
        n = min(have, len(buf) if n < 0 else min(n, len(buf)))
        self._port.readinto(memoryview(buf)[:n])
        self._taken(n)
        return n

    def readline(self):
        line = b""
        while self._await():
            line += self.read(1)
            if line[-1] == 10:
                break
        return line or None

    def write(self, buf):
        if isinstance(buf, str):
            buf = buf.encode()
        n = len(buf)
        if not n:
            return 0
        byte_us = 10000000 // self._baud
        backlog_us = (self._settings["txbuf"] + 128) * byte_us
        start = max(self._tx_free_us, _chip.now_us)
        self._tx_free_us = start + n * byte_us
        self._port.write(buf)
        _chip.act(_ops.POST_UART_SENT, struct.pack("<BI", self._id, n))
        if self._tx_free_us - _chip.now_us > backlog_us:
            _chip.wait(self._tx_free_us - backlog_us, _ops.WAIT_SLEEP)
        return n

    def txdone(self):
        return _chip.now_us >= self._tx_free_us

    def flush(self):
        _chip.wait(self._tx_free_us, _ops.WAIT_SLEEP)

    def sendbreak(self):
        pass


class Pin:
    """A pin: outputs are told to the world when they change, inputs are what the world last said."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, ident, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        self._id = ident
        self._mode = mode
        self._level = 0
        self._told = None
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode != -1:
            if mode != Pin.IN and 34 <= self._id <= 39:
                raise ValueError("pin can only be input")
            self._mode = mode
        if pull != -1 and self._id not in _chip.pin_levels:
            _chip.pin_levels[self._id] = 1 if pull == Pin.PULL_UP else 0
        if value is not None:
            self._level = 1 if value else 0
        if self._mode in (Pin.OUT, Pin.OPEN_DRAIN):
            self._tell()

    def _tell(self):
        if self._level != self._told:
            self._told = self._level
            _chip.post(_ops.POST_PIN, bytes((self._id, self._level)))
            _chip.send()  # people see it, whatever comes of the board

    def value(self, level=None):
        if level is None:
            return _chip.pin_levels.get(self._id, 0) if self._mode == Pin.IN else self._level
        self._level = 1 if level else 0
        self._tell()

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._level)

    def irq(self, *args, **settings):
        raise NotImplementedError("no pin interrupts on this virtual board")


def bitstream(pin, encoding, timing, data):
    """To a strip of WS2812: its first pixel (green, red, blue) is told to the world as three virtual pins, red first."""
    if encoding or len(timing) != 4:
        raise ValueError("encoding")
    for i, at in enumerate((1, 0, 2)):
        _chip.post(_ops.POST_PIN, bytes((64 + i, 1 if data[at] else 0)))
    _chip.send()


class PWM:
    """A PWM channel; frequency 0 or duty 0 is silence."""

    def __init__(self, dest, freq=5000, duty_u16=None, duty=None, duty_ns=None, invert=0):
        self._id = dest._id
        self._freq = freq
        self._duty = 32768
        if duty_u16 is None and duty is not None:
            duty_u16 = duty * 64
        if duty_u16 is None and duty_ns is not None:
            duty_u16 = duty_ns * freq * 65536 // 1000000000
        if duty_u16 is not None:
            self._duty = duty_u16
        self._tell()

    def _tell(self):
        _chip.post(_ops.POST_PWM, struct.pack("<BIH", self._id, self._freq, min(self._duty, 65535)))
        if self._duty and self._freq:
            _chip.send()  # people hear it, whatever comes of the board

    def init(self, freq=None, duty_u16=None, duty=None):
        if freq is not None:
            self._freq = freq
        if duty is not None:
            duty_u16 = duty * 64
        if duty_u16 is not None:
            self._duty = duty_u16
        self._tell()

    def freq(self, hz=None):
        if hz is None:
            return self._freq
        self.init(freq=hz)

    def duty_u16(self, value=None):
        if value is None:
            return self._duty
        self.init(duty_u16=value)

    def duty(self, value=None):
        if value is None:
            return self._duty // 64
        self.init(duty=value)

    def deinit(self):
        self._duty = 0
        self._tell()


class I2C:
    """A bus; what is on it, and whether it is on these pins, the world knows."""

    def __init__(self, ident=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        self._head = bytes((scl._id if scl else 18, sda._id if sda else 19))

    def _transfer(self, addr, memaddr, count, data=b""):
        code, found = _chip.call(_ops.OP_I2C, self._head + bytes((addr, memaddr, count)) + data)
        if code:
            raise OSError(code)
        return bytes(found)

    def scan(self):
        found = []
        for addr in range(8, 120):
            try:
                self._transfer(addr, 0, 1)
            except OSError:
                continue
            found.append(addr)
        return found

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        return self._transfer(addr, memaddr, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self._transfer(addr, memaddr, len(buf))

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self._transfer(addr, memaddr, 0, bytes(buf))


SoftI2C = I2C


class WDT:
    """The watchdog: once armed it cannot be stopped, and a reset is the world's to make."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError("WDT(%d) does not exist" % id)
        self._timeout_us = timeout * 1000
        self.feed()
        _chip.post(_ops.POST_WATCHDOG)
        _chip.send()  # so that it bites a program that never asks for anything again

    def feed(self):
        if _chip.watchdog_us and _chip.now_us > _chip.watchdog_us:
            _chip.wait(_chip.now_us + 1000000, _ops.WAIT_SLEEP)
        _chip.watchdog_us = _chip.now_us + self._timeout_us


class RTC:
    """The clock that runs through resets, and 2 KiB of memory that does too; both are lost with the power."""

    def __init__(self, ident=0):
        pass

    def datetime(self, value=None):
        if value is None:
            t = _time.gmtime()
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], _time.time_ns() // 1000 % 1000000)
        seconds = _time.mktime((value[0], value[1], value[2], value[4], value[5], value[6], 0, 0))
        _time.rtc_base_us = seconds * 1000000 + value[7] - _chip.local_us()
        _chip.post(_ops.POST_RTC_TIME, struct.pack("<q", seconds * 1000000 + value[7]))

    init = datetime

    def memory(self, data=None):
        global _rtc_memory
        if data is None:
            return _rtc_memory
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _rtc_memory = bytes(data)
        _chip.post(_ops.POST_RTC_MEMORY, _rtc_memory)
