"""A look-up of a host's IPv4 addresses that blocks nobody: the chip's own stops all of Python for 10 s when none answers."""

import asyncio
import select
import socket
import struct

from micropython import const

_PORT = const(53)
_TRIES = const(3)
_WAIT_MS = const(1500)
_LOOK_MS = const(20)
_MAX_BYTES = const(512)
_MAX_ADDRESSES = const(4)
_HEAD_BYTES = const(12)
_RESPONSE = const(0x8000)
_KIND = const(0xF80F)  # of the flags: response, operation, and what became of it
_MISSING = const(0x8003)


def query(name, ident):
    """The datagram that asks for the addresses of `name`; `ident` is 2 bytes. ValueError for what is no name."""
    out = bytearray(ident + b"\x01\0\0\x01\0\0\0\0\0\0")  # recursion desired, one question
    for label in name.split("."):
        if not 0 < len(label) < 64:
            raise ValueError(name)
        out.append(len(label))
        out += label.encode()
    return out + b"\0\0\x01\0\x01"


def _skip(data, at):
    """The place behind a name; IndexError where it runs out of the datagram."""
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def answer(data, asked):
    """Addresses in the answer to `asked`, as texts; None where it is none. An empty list: there is no such name."""
    flags, _, count = struct.unpack_from(">HHH", data, 2) if len(data) > _HEAD_BYTES else (0, 0, 0)
    kind = flags & _KIND
    # The question comes back as it went: a forger has to have seen it.
    if data[:2] != asked[:2] or data[_HEAD_BYTES : len(asked)] != asked[_HEAD_BYTES:]:
        return None
    if kind == _MISSING:
        return []
    if kind != _RESPONSE:
        return None
    found = []
    at = len(asked)
    try:
        for _ in range(min(count, 16)):
            at = _skip(data, at)
            kind, family, _, size = struct.unpack_from(">HHIH", data, at)
            at += 10 + size
            if kind == 1 and family == 1 and size == 4 and at <= len(data) and len(found) < _MAX_ADDRESSES:
                found.append("%d.%d.%d.%d" % tuple(data[at - 4 : at]))
    except (IndexError, ValueError):
        pass  # cut off: what came before it counts
    return found or None


async def resolve(name, server, random):
    """Up to four addresses of `name` as the DNS server at `server` has them; [] when it has none or does not answer.

    Raises OSError, and ValueError for what is no name.
    """
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        port.setblocking(False)
        poll = select.poll()
        poll.register(port, select.POLLIN)
        to = socket.getaddrinfo(server, _PORT)[0][-1]
        for _ in range(_TRIES):
            asked = bytes(query(name, random(2)))
            port.sendto(asked, to)
            for _ in range(_WAIT_MS // _LOOK_MS):
                await asyncio.sleep_ms(_LOOK_MS)
                if not poll.poll(0):
                    continue
                data, sender = port.recvfrom(_MAX_BYTES)
                found = answer(data, asked) if sender == to else None
                if found is not None:
                    return found
    finally:
        port.close()
    return []
