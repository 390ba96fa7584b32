"""`tls` of the chip: the runtime's own mbedTLS over the stand-in sockets; a handshake stops the CPU as long as there."""

import io
import sys
import time

import _chip
import _ops
import uselect

_tls = sys.modules["tls"].built_in

PROTOCOL_TLS_CLIENT = _tls.PROTOCOL_TLS_CLIENT
PROTOCOL_TLS_SERVER = _tls.PROTOCOL_TLS_SERVER
CERT_NONE = _tls.CERT_NONE
CERT_OPTIONAL = _tls.CERT_OPTIONAL
CERT_REQUIRED = _tls.CERT_REQUIRED
MBEDTLS_VERSION = _tls.MBEDTLS_VERSION

# A handshake of an ESP32 with a P-256 certificate: 1 s in three pieces (what each of its messages computes).
_PIECES = 3
_PIECE_US = 333000
# Cipher and MAC of what travels, in the order of magnitude of an ESP32's AES-GCM.
_BYTES_PER_US = 1
_AT_ONCE_BYTES = 1024
_UTC_TIME = 0x17


class _Wire(io.IOBase):
    """The stand-in socket as mbedTLS needs it: a stream with error numbers instead of exceptions."""

    def __init__(self, sock):
        self.sock = sock
        self.moved = 0  # bytes, both ways

    def _do(self, call, buf):
        try:
            n = call(buf)
        except OSError as error:
            return -error.errno
        self.moved += n or 0
        return n

    def readinto(self, buf):
        # A whole record at once would be copied on the board's heap, where on the chip it never lies.
        return self._do(self.sock.readinto, memoryview(buf)[:_AT_ONCE_BYTES])

    def write(self, buf):
        return self._do(self.sock.write, buf)

    def ioctl(self, op, arg):
        if op == 3:
            return self.sock._ready() & (arg | 24)
        if op == 4:
            self.sock.close()
        return 0

    def setblocking(self, on):
        self.sock.setblocking(on)


class SSLContext:
    def __init__(self, protocol):
        self._context = _tls.SSLContext(protocol)
        self._chip_dates = True
        if protocol == PROTOCOL_TLS_CLIENT:
            self._context.verify_callback = self._verify
        self._wrong_date = ""

    def _verify(self, der, depth):
        """mbedTLS here goes by the PC's clock; a date must suit the chip's as well."""
        now = "%04d%02d%02d%02d%02d%02d" % time.gmtime()[:6]
        begin, end = _validity(bytes(der))
        if now < begin:
            self._wrong_date = "The certificate validity starts in the future"
        elif now > end:
            self._wrong_date = "The certificate validity has expired"
        return 1 if self._wrong_date else 0

    def load_verify_locations(self, cadata):
        self._context.load_verify_locations(cadata)

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        if do_handshake_on_connect:
            raise NotImplementedError("no firmware of ours blocks in a handshake")
        self._wrong_date = ""
        wire = _Wire(sock)
        inner = self._context.wrap_socket(
            wire, server_side=server_side, do_handshake_on_connect=False, server_hostname=server_hostname
        )
        return SSLSocket(self, inner, wire)


class SSLSocket:
    """One TLS connection; what blocks it is one socket below."""

    def __init__(self, context, inner, wire):
        self._context = context
        self._inner = inner
        self._wire = wire
        self._left = _PIECES  # of the handshake
        self._shaken = False
        self._more = False  # of a record that has been opened
        self._poll = uselect.poll()
        self._poll.register(inner, 5)

    def _ready(self):
        if self._shaken and not self._more:
            return self._wire.sock._ready()  # asking the runtime costs the PC a millisecond
        bits = 0
        for mask in (1, 4):
            self._poll.modify(self._inner, mask)
            for _, found in self._poll.poll(0):
                bits |= found
        return bits

    def _do(self, call, arg):
        wire = self._wire
        if self._left and (self._left == _PIECES or wire.sock._ready() & 1):
            self._left -= 1
            _chip.wait(_chip.now_us + _PIECE_US, _ops.WAIT_SLEEP)
        before = wire.moved
        try:
            return call(arg)
        except (OSError, ValueError):
            if self._context._wrong_date:
                raise ValueError("\n%s\n" % self._context._wrong_date)
            raise
        finally:
            _chip.spend((wire.moved - before) // _BYTES_PER_US)

    def write(self, buf):
        n = self._do(self._inner.write, buf)
        self._shaken = self._shaken or n is not None
        return n

    def read(self, n=-1):
        data = self._do(self._inner.read, n)
        self._more = bool(data) and len(data) == n
        return data

    def readinto(self, buf):
        n = self._do(self._inner.readinto, buf)
        self._more = n == len(buf)
        return n

    def setblocking(self, on):
        self._wire.setblocking(on)

    def cipher(self):
        return self._inner.cipher()

    def close(self):
        self._inner.close()


def _step(der, at):
    """(tag, where the content begins, where the element ends) of the DER element at `at`."""
    size = der[at + 1]
    begin = at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(der[begin : begin + count], "big")
        begin += count
    return der[at], begin, begin + size


def _validity(der):
    """The two dates of an X.509 certificate, as YYYYMMDDhhmmss."""
    at = _step(der, _step(der, 0)[1])[1]  # into the certificate, and into what is signed of it
    for _ in range(4):  # version, serial number, signature algorithm, issuer
        at = _step(der, at)[2]
    at = _step(der, at)[1]
    dates = []
    for _ in range(2):
        tag, begin, end = _step(der, at)
        text = der[begin:end].decode().rstrip("Z")
        if tag == _UTC_TIME:
            text = ("20" if text < "50" else "19") + text
        dates.append(text)
        at = end
    return dates
