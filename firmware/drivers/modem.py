"""The AT dialogue of a 4G modem: woken, unlocked, registered, dialled; what makes differ in is data (hardware.md 3)."""

import asyncio
import time

from drivers.calendar import unix_s
from micropython import const

# Presses of the power key that switch on and off, of the reset pin (0: none), and the time until it answers, in ms; what
# makes it keep the network's time; the dial string. Longer than the data sheets ask, for they give typical figures.
_SIM7600 = (500, 3000, 0, 15000, "AT+CTZU=1", "ATD*99#")
_A7670 = (100, 3000, 2600, 15000, "AT+CTZU=1", "ATD*99#")
PROFILES = {"sim7600": _SIM7600, "a7670": _A7670, "a7672": _A7670}

_POLL_MS = const(20)
_ANSWER_MS = const(9000)  # A76xx: the longest answer of most commands
_ALIVE_MS = const(500)
_TRIES = const(3)
# A modem starts at the slower one. At that, PPP would carry 11 KB a second, whatever the network does; 921,600 is the fastest
# that brings anything (esp-protocols issue 888), and AT+IPR forgets it when the modem restarts.
_RATE = const(115200)
_FAST_RATE = const(921600)
_NEW_RATE_MS = const(100)
_GUARD_MS = const(1100)  # silence before and after +++: more than the 1,000 that all want, and 1,004 that some do
_HANG_UP_MS = const(10000)
_OFF_MS = const(4500)  # from the off press until it may be switched on again
_DTR_MS = const(300)
_REGISTER_MS = const(150000)
_LOOK_MS = const(2000)
_DENIED_LOOKS = const(5)
_DENIED = const(3)
_TAKEN = (1, 5)  # home, roaming
_DIAL_MS = const(15000)
_LINE_BYTES = const(120)
_TURN_BYTES = const(4096)
_FAILED = (b"ERROR", b"NO CARRIER", b"BUSY", b"NO ANSWER", b"NO DIALTONE")
_YEARS_S = const(20 * 31557600)  # a network's time later than that after the build is nonsense too


def network_time(text, built_s):
    """UTC in s of what +CCLK says, "yy/MM/dd,hh:mm:ss+zz", zz quarter hours east of GMT; None where it is nonsense."""
    text = text.strip('"')
    digits = [text[at : at + 2] for at in range(0, 18, 3)] + [text[18:]]
    if len(text) != 20 or not all([part.isdigit() and len(part) == 2 for part in digits]) or text[17] not in "+-":
        return None
    year, month, day, hour, minute, second, quarters = [int(part) for part in digits]
    if not (0 < month < 13 and 0 < day < 32 and hour < 24 and minute < 60 and second < 61 and quarters <= 56):
        return None
    found = unix_s(2000 + year, month, day, hour, minute, second)
    found += quarters * (900 if text[17] == "-" else -900)
    return found if built_s <= found < built_s + _YEARS_S else None


class Modem:
    """One modem on one UART. `pins` are (power key, reset, DTR), each a Pin or None: high presses, resets, hangs up."""

    def __init__(self, uart, profile, pins):
        self.info = ""  # what the last command's reply said
        self.signal = None  # dBm
        self.registration = 0  # as +CREG has it
        self.fast = True  # False: these wires do not carry the faster rate
        self._lost = 0  # times it was not heard any more after that
        self._starts = 0  # since it was heard
        self._timed = False  # it keeps the network's time
        self._uart = uart
        self._rate = _RATE
        self._on_ms, self._off_ms, self._reset_ms, self._boot_ms, self._time_command, self._dial = profile
        self._key, self._reset, self._dtr = pins
        self._byte = bytearray(1)
        self._line = bytearray(_LINE_BYTES)
        self._fill = 0

    # The dialogue

    def _read_line(self):
        """The next whole line, or None. A byte at a time: what follows CONNECT is PPP's."""
        for _ in range(_TURN_BYTES):  # a line that never rests must not keep the board from anything else
            if not (self._uart.any() and self._uart.readinto(self._byte)):
                break
            byte = self._byte[0]
            if byte == 13 or byte == 10:
                if self._fill:
                    line = bytes(self._line[: self._fill])
                    self._fill = 0
                    return line
            elif self._fill < _LINE_BYTES:
                self._line[self._fill] = byte
                self._fill += 1
        return None

    async def ask(self, command, timeout_ms=_ANSWER_MS):
        """Send a command; True for OK or CONNECT, False for a refusal, None when nothing came in time.

        `info` is then what a line "+NAME: …" said, the command's own. Echoes, and what the modem says unasked, are passed over.
        """
        for _ in range(_TURN_BYTES):
            if not self._uart.any():
                break
            self._uart.readinto(self._byte)
        self._fill = 0
        self.info = ""
        own = command[2:].split("=")[0].rstrip("?").encode() + b": "
        self._uart.write(command.encode() + b"\r")
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < timeout_ms:
            line = self._read_line()
            if line is None:
                await asyncio.sleep_ms(_POLL_MS)
            elif line == b"OK" or line.startswith(b"CONNECT"):
                return True
            elif line in _FAILED or line.startswith(b"+CME ERROR"):
                return False
            else:
                if line.startswith(own):
                    try:
                        self.info = line[len(own) :].decode()
                    except UnicodeError:
                        pass
                await asyncio.sleep_ms(0)
        return None

    async def _listens(self, tries):
        for _ in range(tries):
            if await self.ask("AT", _ALIVE_MS):
                return True
        return False

    def _speak(self, rate):
        self._rate = rate
        self._uart.init(baudrate=rate)

    async def _found(self, tries):
        """True when it listens at this rate or at the other: who knows what it has been told before."""
        for _ in range(2):
            if await self._listens(tries):
                return True
            self._speak(_RATE + _FAST_RATE - self._rate)
        return False

    async def _faster(self):
        """Go to the faster rate. Its acknowledgement may be lost, so an answer there decides. False when none comes."""
        if self._rate == _FAST_RATE or not self.fast:
            return True
        if await self.ask("AT+IPR=%d" % _FAST_RATE) is False:
            return True  # it stays at the slower one
        await asyncio.sleep_ms(_NEW_RATE_MS)
        self._speak(_FAST_RATE)
        if await self._found(_TRIES):
            self._lost = 0
            return True
        self._lost += 1  # once it may have restarted just then
        self.fast = self._lost < 2
        return False

    # Power

    async def wake(self, pulse):
        """True when the modem takes commands: at once, out of a call that this boot knows nothing of, or switched on."""
        if not await self._found(_TRIES):
            if not await self.leave() and not await self._start(pulse):
                return False
        self._starts = 0
        return (
            await self.ask("ATE0")
            and await self.ask("AT+CMEE=1") is not None
            and await self.ask("AT&D2") is not None
            and await self._faster()
        )

    async def leave(self):
        """Out of data mode, at either rate: by +++, which wants silence around it, then by DTR. True when it takes commands."""
        await asyncio.sleep_ms(_GUARD_MS)
        for rate in (_RATE, _FAST_RATE):
            self._speak(rate)
            self._uart.write(b"+++")
            await asyncio.sleep_ms(_GUARD_MS)
        if await self._found(2):  # what it heard at the wrong rate spoils the first line
            await self.ask("ATH", _HANG_UP_MS)
        elif self._dtr:
            self._dtr(1)
            await asyncio.sleep_ms(_DTR_MS)
            self._dtr(0)
        else:
            return False
        return await self._found(_TRIES)

    async def _press(self, pin, ms):
        pin(1)
        await asyncio.sleep_ms(ms)
        pin(0)

    async def _booted(self, pulse):
        self._speak(_RATE)
        for _ in range(2 * self._boot_ms // 1000):
            pulse()
            if await self.ask("AT", 1000):
                return True
        return False

    async def _start(self, pulse):
        """Switch it on; one that was on and hangs is restarted: at the 1st try, the 2nd, the 4th, for each start wears it."""
        self._starts += 1
        await self._press(self._key, self._on_ms)
        return await self._booted(pulse) or (not self._starts & (self._starts - 1) and await self.restart(pulse))

    async def restart(self, pulse):
        """Reset it, or switch it off and on; True when it answers."""
        if self._reset and self._reset_ms:
            await self._press(self._reset, self._reset_ms)
        else:
            await self._press(self._key, self._off_ms)
            await asyncio.sleep_ms(_OFF_MS)
            await self._press(self._key, self._on_ms)
        return await self._booted(pulse)

    # The network

    async def sim(self):
        """What the SIM wants: "READY", "SIM PIN", "SIM PUK"; "" where there is none."""
        for _ in range(_TRIES):
            if await self.ask("AT+CPIN?"):
                break
            await asyncio.sleep_ms(_LOOK_MS)
        return self.info

    async def unlock(self, pin):
        """True when the SIM took the PIN, None when it said nothing.

        The third wrong one would lock it, so a SIM that has seen one gets no other.
        """
        if await self.ask("AT+SPIC") and self.info.split(",")[0] in ("0", "1", "2"):
            return False
        return await self.ask('AT+CPIN="%s"' % pin)

    async def register(self, pulse):
        """True when the network has taken us; `registration` says why not."""
        await self._keep_time()
        start = time.ticks_ms()
        denied = 0
        while time.ticks_diff(time.ticks_ms(), start) < _REGISTER_MS and denied < _DENIED_LOOKS:
            pulse()
            if await self.registered():
                return True
            denied = denied + 1 if self.registration == _DENIED else 0
            await asyncio.sleep_ms(_LOOK_MS)
        return False

    async def _keep_time(self):
        """Let it keep the network's time; what it is told is written to its flash, so only where it does not yet."""
        if not self._timed:
            name, wanted = self._time_command.split("=")
            self._timed = bool(await self.ask(name + "?") and self.info == wanted or await self.ask(self._time_command))

    async def registered(self):
        """True when the network has us now; takes the signal with it."""
        self.registration = 0
        for command in ("AT+CEREG?", "AT+CGREG?"):
            if await self.ask(command):
                state = self.info.split(",")[1:2]
                if state and state[0].isdigit():
                    found = int(state[0])
                    if found in _TAKEN or self.registration != _DENIED:
                        self.registration = found
            if self.registration in _TAKEN:
                await self.ask("AT+CSQ")
                strength = self.info.split(",")[0]
                level = int(strength) if strength.isdigit() else 99
                self.signal = -113 + 2 * level if level < 32 else None
                return True
        return False

    async def network_time(self, built_s):
        """UTC in s as the network told it, or None."""
        return network_time(self.info, built_s) if await self.ask("AT+CCLK?") else None

    async def dial(self, apn):
        """True when the modem is in data mode; what it sends next is PPP's."""
        if not await self.ask('AT+CGDCONT=1,"IP","%s"' % apn):
            return False
        return bool(await self.ask(self._dial, _DIAL_MS))
