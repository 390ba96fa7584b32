"""Records: the plaintext of a journal frame, encoded into a buffer that is allocated once (docs/formats.md, "Records")."""

from micropython import const

_BOOT = const(1)
_CLOCK = const(2)
_SCAN = const(3)
DOOR = const(4)
INCIDENT = const(5)
_HEALTH = const(6)
_NOTE = const(7)
_CHANGE = const(8)

ID_TEXT_BYTES = const(64)

# What a CHANGE record is about, and how it went.
CONFIG = const(1)
APPLIED = const(1)
REJECTED = const(2)

# Level of a NOTE record.
INFO = const(1)
ERROR = const(3)


def varint(buffer, at, value):
    """Write value (0 to 2^63 - 1) as unsigned LEB128 at buffer[at]; returns the position behind it."""
    while value > 127:
        buffer[at] = (value & 127) | 128
        value >>= 7
        at += 1
    buffer[at] = value
    return at + 1


def zigzag(value):
    """A signed integer as the unsigned one that varint takes: 0, -1, 1, -2 … become 0, 1, 2, 3 …"""
    return (-value << 1) - 1 if value < 0 else value << 1


def _text(buffer, at, text, limit):
    """Write as much UTF-8 of text as fits before `limit`, never half a character; returns the position behind it."""
    data = text.encode()
    n = min(len(data), limit - at)
    while n < len(data) and n and data[n] & 0xC0 == 0x80:
        n -= 1
    buffer[at : at + n] = data[:n]
    return at + n


def id_digits(digits):
    """Card id of 1 to 38 decimal digits (bytes): count, then a big-endian integer of the length every such number fits."""
    n = len(digits)
    # floor(n * log256(10)) + 1, exact for 1 to 38.
    return bytes((n,)) + int(bytes(digits)).to_bytes(n * 1701 // 4096 + 1, "big")


def id_text(text):
    """Card id that is text: valid UTF-8 (bytes) of at most 64 bytes."""
    return b"\0" + bytes(text)


def id_digest(digest):
    """Card id that is the first 16 bytes of a SHA-256 digest."""
    return b"\x40" + digest[:16]


NO_ID = b"\0"


def begin(buffer, at, kind, uptime_ms):
    """Write the head that all records share; returns the position behind it."""
    buffer[at] = kind
    return varint(buffer, at + 1, uptime_ms)


def boot(buffer, at, uptime_ms, cause, version, config_version):
    at = begin(buffer, at, _BOOT, uptime_ms)
    buffer[at] = cause
    data = version.encode()
    at = varint(buffer, at + 1, len(data))
    buffer[at : at + len(data)] = data
    return varint(buffer, at + len(data), config_version)


def clock(buffer, at, uptime_ms, unix_ms, error_ms, source):
    at = begin(buffer, at, _CLOCK, uptime_ms)
    at = varint(buffer, at, unix_ms)
    at = varint(buffer, at, error_ms)
    buffer[at] = source
    return at + 1


def scan(buffer, at, uptime_ms, reader, verdict, scheme, packed_id):
    at = begin(buffer, at, _SCAN, uptime_ms)
    buffer[at] = reader << 4 | verdict
    buffer[at + 1] = scheme
    at += 2
    end = at + len(packed_id)
    buffer[at:end] = packed_id
    return end


def event(buffer, at, uptime_ms, limit, kind, code):
    """A DOOR or an INCIDENT record: which of the two, and its event or code."""
    at = begin(buffer, at, kind, uptime_ms)
    buffer[at] = code
    return at + 1


def health(buffer, at, uptime_ms, pairs):
    """`pairs`: a sequence of (key, value); values are signed integers."""
    at = begin(buffer, at, _HEALTH, uptime_ms)
    for key, value in pairs:
        buffer[at] = key
        at = varint(buffer, at + 1, zigzag(value))
    return at


def note(buffer, at, uptime_ms, limit, level, text):
    at = begin(buffer, at, _NOTE, uptime_ms)
    buffer[at] = level
    return _text(buffer, at + 1, text, limit)


def change(buffer, at, uptime_ms, limit, what, version, outcome, reason):
    at = begin(buffer, at, _CHANGE, uptime_ms)
    buffer[at] = what
    at = varint(buffer, at + 1, version)
    buffer[at] = outcome
    return _text(buffer, at + 1, reason, limit)
