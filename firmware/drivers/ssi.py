"""SSI scan modules (GROW GM67, Zebra SE and DS): packets with a checksum, each acknowledged or sent again (hardware.md 1.5)."""

from binascii import crc32

from drivers.module import Module
from micropython import const

_MAX_PACKET_BYTES = const(3100)
_PACKETS = const(5)

_HOST = const(4)
_SENT_AGAIN = const(1)  # bits of a packet's status
_GOES_ON = const(2)  # in the next packet
_PERMANENT = const(8)  # of a parameter's
_LONG = const(0xFF)
_ACK = const(0xD0)
_NAK = const(0xD1)
_CODE = const(0xF3)
_LONG_CODE = const(0xF4)
_PARAMETER = const(0xC6)
_ENABLE = const(0xE9)
_DISABLE = const(0xEA)
_OPCODES = b"\xd0\xd1\xf3\xf4"

_WAKE_MS = const(50)
# Each after a beep code of 0: codes come as packets, with nothing before or behind them, continuously, the same one
# again only after 3 s. A Zebra engine knows the first and the third.
_PACKETED = b"\0\xee\1"
_SETTINGS = (_PACKETED, b"\0\xeb\0", b"\0\x8a\4", b"\0\xf2\xc9\3")


def packet(opcode, status=0, data=b""):
    """A packet of the host, its checksum behind it."""
    body = bytes((4 + len(data), opcode, _HOST, status)) + data
    checksum = -sum(body)
    return body + bytes((checksum >> 8 & 0xFF, checksum & 0xFF))


class Ssi(Module):
    """A module that waits for an acknowledgement of each code: it gets one when the code has been dealt with."""

    def __init__(self, uart, on_payload, on_fail=None):
        super().__init__(uart, on_payload, on_fail)
        self._last = None  # the code before, by its checksum
        self._parts = False  # a code in several packets is on its way: how they join is not documented, so none counts

    # Bytes in

    def _parse(self):
        buffer = self._buffer
        while self._fill > 5:
            n = buffer[0]
            head = 2
            if n == _LONG and buffer[1] == _LONG_CODE:
                n = buffer[2] << 8 | buffer[3]
                head = 5
            good = buffer[1] in _OPCODES and head + 2 <= n <= _MAX_PACKET_BYTES and buffer[head] == 0
            if good and self._fill < n + 2:
                return
            if good and (sum(self._view[:n]) + (buffer[n] << 8 | buffer[n + 1])) & 0xFFFF == 0:
                self._packet(buffer[1], self._view[head:n])
                self._shift(n + 2)
            else:
                self._spoilt()

    def gap(self):
        """The line has been silent inside a packet: its rest was lost, and a whole one may stand behind it."""
        while self._fill:
            self._spoilt()
            self._parse()

    def _spoilt(self):
        if not self._noisy and self.reading():
            self._uart.write(packet(_NAK, 0, b"\1"))  # send it again
        self._drop()
        self._shift(1)

    def _packet(self, opcode, body):
        """A packet that arrived whole: source, status and data."""
        self._noisy = False
        if opcode == _ACK or opcode == _NAK:
            self._reply = opcode
            return
        code = body[3:]  # behind source, status and symbology
        checksum = crc32(code)
        goes_on = body[1] & _GOES_ON
        if self._parts:
            pass  # counted with its first part
        elif goes_on or not code:
            self._drop()
        elif not body[1] & _SENT_AGAIN or checksum != self._last:
            self._deliver(code)
        self._parts = goes_on
        self._last = checksum
        self._uart.write(packet(_ACK))

    # The module's settings

    async def _tell(self, opcode, status=0, data=b""):
        """Send a command; True when the module obeys. It may have been spoilt on the way, so it is sent twice at most."""
        for _ in range(2):
            if await self._ask(packet(opcode, status, data)) == _ACK:
                return True
        return False

    async def _configure(self):
        for baudrate in (9600, 115200):
            self._rate(baudrate)
            await self._rest(_WAKE_MS)  # what it took for the beginning of a packet, at the other rate, it gives up
            self._uart.write(b"\0")
            await self._rest(_WAKE_MS)
            if await self._ask(packet(_DISABLE)) == _ACK:
                for data in _SETTINGS:
                    if not await self._tell(_PARAMETER, _PERMANENT, data) and data is _PACKETED:
                        return None
                return _PACKETS if await self._alive() else None
        return None

    async def _alive(self):
        # Settings cannot be asked for; set again for now, not for ever, they are right even after a factory reset.
        for data in _SETTINGS:
            await self._ask(packet(_PARAMETER, 0, data))
        return await self._tell(_ENABLE)

    def _pause(self):
        return self._tell(_DISABLE)

    def _resume(self):
        return self._tell(_ENABLE)


def make(uart, on_payload, on_fail, settings, trigger, number):
    """The reader, as config's "scanner" asks for it."""
    return Ssi(uart, on_payload, on_fail)
