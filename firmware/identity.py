"""Who this board is: the `identity` partition, which a lost file system does not take along (docs/formats.md, "Identity")."""

import json
import struct
from binascii import crc32, unhexlify

_HEAD = "<4sIH"
_HEAD_BYTES = 10
_SECTOR_BYTES = 4096


class IdentityError(Exception):
    """The partition holds no valid identity: the board has not been enrolled."""


class Identity:
    """Members as bytes: device_id (8), device_key (32), collector_public (32), list_key (32); collector_url is text."""

    def __init__(self, members):
        self.device_id = _exactly(members, "device_id", 8)
        self.device_key = _exactly(members, "device_key", 32)
        self.collector_public = _exactly(members, "collector_public", 32)
        self.collector_url = members["collector_url"]


def _exactly(members, name, length):
    value = unhexlify(members[name])
    if len(value) != length:
        raise ValueError(name)
    return value


def load(flash):
    """The valid copy with the higher counter. `flash`: the partition as a block device of 4096-byte blocks."""
    best = None
    best_counter = -1
    sector = bytearray(_SECTOR_BYTES)
    for block in (0, 1):
        flash.readblocks(block, sector)
        magic, counter, length = struct.unpack_from(_HEAD, sector, 0)
        end = _HEAD_BYTES + length
        if magic != b"CHI1" or end + 4 > _SECTOR_BYTES or counter <= best_counter:
            continue
        if crc32(memoryview(sector)[:end]) != struct.unpack_from("<I", sector, end)[0]:
            continue
        best = bytes(sector[_HEAD_BYTES:end])
        best_counter = counter
    if best is None:
        raise IdentityError("no identity: enrol this board")
    try:
        return Identity(json.loads(best))
    except (ValueError, KeyError, TypeError):
        raise IdentityError("identity does not parse: enrol this board again")
