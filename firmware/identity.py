"""Who this board is: the `identity` partition, which a lost file system does not take along (docs/formats.md)."""

import json
import struct
from binascii import crc32, unhexlify

_HEAD = "<4sIH"
_HEAD_BYTES = 10
_SECTOR_BYTES = 4096


class Identity:
    """Members as bytes: device_id (8), device_key, collector_public, list_key (32 each); collector_url is text."""

    def __init__(self, members):
        self.device_id = unhexlify(members["device_id"])
        self.device_key = unhexlify(members["device_key"])
        self.collector_public = unhexlify(members["collector_public"])
        self.list_key = unhexlify(members["list_key"])
        self.collector_url = members["collector_url"]
        self.collector_ca = members.get("collector_ca", "")  # DER certificates in base64; empty: in the file ca.der
        lengths = [len(key) for key in (self.device_id, self.device_key, self.collector_public, self.list_key)]
        if lengths != [8, 32, 32, 32]:
            raise ValueError("identity")


def load(flash):
    """The valid copy with the higher counter; OSError where there is none. `flash` has blocks of 4096 bytes."""
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
        raise OSError("no identity: enrol this board")
    return Identity(json.loads(best))
