"""4G as a link: a modem that stands by, registered, and PPP over it while the link is wanted; and the month's bytes."""

import asyncio

from clock import CERTAIN, happens
from drivers.calendar import civil
from drivers.modem import PROFILES, Modem
from micropython import const

_UART_BUFFER_BYTES = const(4096)  # a server's part of a handshake, which may come while Python stands still
_OPEN_MS = const(180000)
_LOOK_MS = const(500)
_PPP_MS = const(30000)
_END_MS = const(
    7000
)  # PPP's own close takes up to 4 s, and twice 6 s where nobody answers: then the call is ended without it
_STAND_BY_MS = const(60000)
_RETRY_MS = const(15000)
# A call at the slower rate is ended after twice that, and twice as long each time, to see whether the faster one works now.
_TRIAL_MS = const(300000)
_MAX_TRIAL_MS = const(86400000)
_MAX_RETRY_MS = const(3600000)  # a try that finds no modem presses the power key
_RESTART_AFTER = const(4)  # troubles on end, and then twice as many each time: a modem's flash wears with every start
_NETWORK_ERROR_MS = const(10000)  # of the network's time: whole seconds, and networks that are a little off
_MODEM = const(4)  # as a CLOCK record names the source
_NO_ANSWER = "no answer"
_NO_PPP = "PPP refused"


class Cellular:
    """`modem` is the driver, `ppp(uart)` makes a connection over `uart`; `settings` the members of config's "cellular".

    `reading(unix_ms, error_ms, source)` takes the network's time, `report(line)` what is wrong.
    """

    kind = 2  # as HEALTH has it

    def __init__(self, modem, uart, ppp, settings, built_s, reading, report):
        self.metered = settings.get("metered", True)
        self._modem = modem
        self._uart = uart
        self._make_ppp = ppp
        self._settings = settings
        self._built_s = built_s
        self._reading = reading
        self._report = report
        self._ppp = None
        self._wanted = False
        self._failed = False
        self._changed = asyncio.Event()
        self._pin = settings.get("pin", "")
        self._problem = None
        self._retry_ms = _RETRY_MS
        self._troubles = 0  # since the collector was last heard over this link
        self._restarts = 0  # of the modem, since then
        self._trial_ms = _TRIAL_MS
        self._slow = False  # the last call was at the slower rate
        self._opened = False  # the other way round each time

    def up(self):
        return self._ppp is not None and self._ppp.isconnected()

    def rssi(self):
        """Signal in dBm when it was last asked for, or None."""
        return self._modem.signal

    def server(self):
        """Address of the network's DNS server."""
        return self._ppp.ifconfig()[3] if self._ppp else None

    async def open(self, pulse):
        """True when PPP is up; False when the modem, the network or PPP refused, at once where they have just done so."""
        self._wanted = True
        self._opened = not self._opened
        self._changed.set()
        for _ in range(_OPEN_MS // _LOOK_MS):
            await asyncio.sleep_ms(_LOOK_MS)
            pulse()
            if self.up():
                return True
            if self._failed:
                break
        return False

    async def close(self, heard):
        """End the call; `heard` when the collector has answered in it."""
        self._wanted = False
        if heard:
            self._troubles = self._restarts = 0
            if not self._slow:
                self._trial_ms = _TRIAL_MS
        elif self._ppp:
            self._troubles += 1
        for _ in range(2 * _END_MS // _LOOK_MS):
            if self._ppp is None:
                break
            await asyncio.sleep_ms(_LOOK_MS)

    def _say(self, problem):
        """Tell a trouble once, not each time it is met."""
        if problem and problem != self._problem:
            self._report("modem: " + problem)
        self._problem = problem

    async def _prepare(self, pulse):
        """None when the modem is registered, else what is wrong."""
        modem = self._modem
        if not await modem.wake(pulse):
            return _NO_ANSWER
        if self._troubles >= _RESTART_AFTER and not self._troubles & (self._troubles - 1):
            self._troubles += 1
            if self._restarts & 1 and (self._problem is None or self._problem is _NO_PPP):
                modem.fast = not modem.fast  # PPP refused, or up and nobody heard over it: it may be the wires
                self._trial_ms = min(_MAX_TRIAL_MS, self._trial_ms * 2)
            self._restarts += 1
            await modem.restart(pulse)
            if not await modem.wake(pulse):
                return _NO_ANSWER
        wants = await modem.sim()
        if wants == "SIM PIN" and self._pin:
            taken = await modem.unlock(self._pin)
            if taken:
                wants = "READY"
            elif taken is False:  # it was wrong; where nothing was said at all it is tried again
                self._pin = ""
        if wants != "READY":
            return "SIM: " + (wants or "none")
        if not await modem.register(pulse):
            return "registration denied" if modem.registration == 3 else "no network"
        now_s = await modem.network_time(self._built_s)
        if now_s:
            self._reading(now_s * 1000 + 500, _NETWORK_ERROR_MS, _MODEM)
        return None

    async def _call(self, pulse):
        """Dial, and hold PPP while it is wanted; None, or what is wrong."""
        if not await self._modem.dial(self._settings.get("apn", "")):
            return "call refused"
        if not self._wanted:
            return None
        opened = None
        self._ppp = ppp = self._make_ppp(self._uart)
        try:
            user = self._settings.get("user")
            if user:
                ppp.connect(security=ppp.SEC_PAP, user=user, key=self._settings.get("password", ""))
            else:
                ppp.connect()
            for _ in range(_PPP_MS // _LOOK_MS):
                await asyncio.sleep_ms(_LOOK_MS)
                pulse()
                if ppp.isconnected() or not self._wanted:
                    break
            else:
                return _NO_PPP
            self._slow = not self._modem.fast
            left_ms = self._trial_ms
            while self._wanted and ppp.isconnected():
                await asyncio.sleep_ms(_LOOK_MS)
                pulse()
                left_ms -= _LOOK_MS
                if left_ms <= 0 and self._slow:
                    self._modem.fast = True  # it was not the wires, perhaps: dial again, and see
                    opened = self._opened
                    break
        except (OSError, RuntimeError):
            return "PPP failed"
        finally:
            ppp.disconnect()
            for _ in range(_END_MS // _LOOK_MS):
                await asyncio.sleep_ms(_LOOK_MS)
                if ppp.status() not in (3, 4):
                    break
            self._ppp = None
        for _ in range(2 * _END_MS // _LOOK_MS):
            if opened is None or opened != self._opened:
                break
            await asyncio.sleep_ms(_LOOK_MS)  # until the link was closed: whoever was heard was heard at the slower rate
            pulse()
        return None

    async def run(self, pulse):
        """Keep the modem ready, and in a call while one is wanted, for ever."""
        while True:
            pulse()
            problem = await self._prepare(pulse)
            if problem is None and self._wanted:
                problem = await self._call(pulse)
            self._say(problem)
            self._changed.clear()
            if problem is None:
                self._retry_ms = _RETRY_MS
                if not self._wanted:
                    await happens(self._changed, _STAND_BY_MS)
                continue
            if problem is not _NO_ANSWER:
                self._troubles += 1
                self._retry_ms = _RETRY_MS
            self._failed = True
            for _ in range(self._retry_ms // _RETRY_MS):
                await asyncio.sleep_ms(_RETRY_MS)
                pulse()
            self._failed = False
            self._retry_ms = min(_MAX_RETRY_MS, self._retry_ms * 2)


class Budget:
    """The bytes of a month that may go over metered links; `kept` remembers them, `clock` knows the month."""

    def __init__(self, limit_bytes, kept, clock):
        self._limit_bytes = limit_bytes
        self._kept = kept
        self._clock = clock
        self._doubt = False  # somebody says that it is another month, and the collector has not said so yet

    def _month(self):
        clock, kept = self._clock, self._kept
        if clock.known():
            date = civil(clock.now()[0] // 1000)
            month = date[0] * 12 + date[1]
            self._doubt = month != kept.month and clock.trust < CERTAIN
            if month != kept.month and not self._doubt:
                kept.month = month
                kept.sent_bytes = 0

    def left(self):
        """True while a request may cost something; one that settles which month it is always may."""
        self._month()
        return self._doubt or self._kept.sent_bytes < self._limit_bytes

    def spend(self, count):
        self._month()
        self._kept.sent_bytes += count


def budget(settings, kept, clock):
    """The Budget that config sets, or None."""
    limit = settings.get("budget_mb")
    return Budget(limit * 1000000, kept, clock) if limit else None


def make(board, machine, ppp, settings, built_s, reading, report):
    """The link over the modem of `board`; `ppp` is network.PPP."""
    uart = machine.UART(
        board.MODEM_UART, baudrate=115200, tx=board.MODEM_TX, rx=board.MODEM_RX, rxbuf=_UART_BUFFER_BYTES
    )
    for name in ("MODEM_POWER", "MODEM_FLIGHT"):  # high: supplied, and allowed to transmit
        if hasattr(board, name):
            machine.Pin(getattr(board, name), machine.Pin.OUT, value=1)
    pins = []
    for name in ("MODEM_PWRKEY", "MODEM_RESET", "MODEM_DTR"):
        number = getattr(board, name, None)
        pins.append(None if number is None else machine.Pin(number, machine.Pin.OUT, value=0))
    modem = Modem(uart, PROFILES[settings.get("modem", "a7670")], pins)
    return Cellular(modem, uart, ppp, settings, built_s, reading, report)
