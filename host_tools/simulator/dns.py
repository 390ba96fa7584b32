"""A DNS server's side of one datagram: the question as it came, and the addresses as its answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

_HEAD = struct.Struct(">HHHHHH")
_RESPONSE, _NO_SUCH_NAME = 0x8180, 0x8183
_TTL_S = 60


def asked_name(query: bytes) -> str | None:
    """The name that a query of one question asks for, in lower case; None where it is none."""
    labels, at = [], _HEAD.size
    while at < len(query) and query[at]:
        size = query[at]
        labels.append(query[at + 1 : at + 1 + size])
        at += 1 + size
    if at + 5 > len(query) or _HEAD.unpack_from(query)[2] != 1:
        return None
    return b".".join(labels).decode("ascii", "replace").lower()


def dns_answer(query: bytes, addresses: Sequence[str]) -> bytes | None:
    """The answer to a query for an address; no addresses: there is no such name. None where the query is none."""
    name = asked_name(query) if len(query) >= _HEAD.size else None
    if name is None:
        return None
    question = query[_HEAD.size : _HEAD.size + len(name) + 6]
    flags = _RESPONSE if addresses else _NO_SUCH_NAME
    head = _HEAD.pack(_HEAD.unpack_from(query)[0], flags, 1, len(addresses), 0, 0)
    rows = [struct.pack(">HHHIH", 0xC00C, 1, 1, _TTL_S, 4) + socket.inet_aton(address) for address in addresses]
    return head + question + b"".join(rows)
