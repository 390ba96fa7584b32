"""The lists in their partition: which half is in force, and whether a card is in it, looked up where it lies in flash."""

import struct
from binascii import crc32

from journal.seal import Mac
from micropython import const

SECTOR_BYTES = const(4096)
HEADER_BYTES = const(64)
DENY = const(1)
ALLOW = const(2)

_MAGIC = b"CHL1"
_KEY_NAME = b"chot/1/lists"  # begins with no scheme's number, so no card's fingerprint is the key's
_HEAD = "<4sIIII8s"
_SECTION = "<4B3I"
_SECTIONS = (28, 44)  # where they stand in the header
_MOST_BUCKET_BITS = const(18)
_MOST_SHIFT = const(13)  # three bits of each 16-bit word remain: the filter's byte
_MOST_SEGMENTS = const(0x3FFF)  # times 16 bits is still a small integer
_MOST_VERSION = const(0x3FFFFFFF)
_WINDOW_BYTES = const(256)
_COUNT = const(4)  # ioctl operation of a MicroPython block device


class Lists:
    """The list in force. `flash` is an esp32.Partition (blocks of 4096 bytes), `key` the 32 bytes of the list key.

    `kind` is DENY, ALLOW, or their sum; `count` is of both. Where no half holds a list made with this key, `version`, `count`
    and `kind` are 0 and `half` is -1.
    """

    def __init__(self, flash, key):
        self.flash = flash
        self.half_sectors = flash.ioctl(_COUNT, 0) >> 1
        self._mac = Mac(key)
        self._key_name = self._mac.of(_KEY_NAME)[:8]
        # Made once: a lookup takes next to nothing of the heap.
        self._window = bytearray(_WINDOW_BYTES)
        self._view = memoryview(self._window)
        self._entry = self._view[:4]
        self._cell = self._view[:1]
        self.load()

    def load(self):
        """Read both headers: the newer of the halves that hold a whole list is in force."""
        self.version = self.count = self.kind = 0
        self.half = -1
        self._deny = self._allow = None
        for half in (0, 1):
            header = self.header(half)
            version = self.checked(header)
            if version > self.version:
                self.half = half
                self.version = version
        if self.version:
            header = self.header(self.half)
            body = (self.half * self.half_sectors + 1) * SECTOR_BYTES
            for at in _SECTIONS:
                kind, shift, seed, _, count, start, size = struct.unpack_from(_SECTION, header, at)
                if kind == DENY:
                    index = body + start
                    entries = index + (4 << shift)
                    self._deny = (24 - shift, index, entries, entries + (count << 3))
                elif kind == ALLOW:
                    self._allow = (shift, (size >> shift) - 2, seed, body + start)
                self.kind |= kind
                self.count += count

    def header(self, half):
        """The 64 bytes at the beginning of a half, to be read before the next call."""
        header = self._view[:HEADER_BYTES]
        self.flash.readblocks(half * self.half_sectors, header, 0)
        return header

    def checked(self, header):
        """The version of a header that is whole, made with this key and fits its half; 0 of any other 64 bytes."""
        magic, version, _, length, _, key_name = struct.unpack_from(_HEAD, header, 0)
        if magic != _MAGIC or key_name != self._key_name or not 0 < version <= _MOST_VERSION:
            return 0
        if crc32(header[:60]) != struct.unpack_from("<I", header, 60)[0] or length > (self.half_sectors - 1) * SECTOR_BYTES:
            return 0
        kinds = end = 0
        for at in _SECTIONS:
            kind, shift, _, _, count, start, size = struct.unpack_from(_SECTION, header, at)
            if kind == DENY:
                good = 6 <= shift <= _MOST_BUCKET_BITS and size >= (4 << shift) + 8 * count
            elif kind == ALLOW:
                good = 8 <= shift <= _MOST_SHIFT and 3 <= size >> shift <= _MOST_SEGMENTS and size % (1 << shift) == 0
            else:
                good = kind == size == count == 0
                start = end
            if not good or kinds & kind or start != end or (start | size) % _WINDOW_BYTES:
                return 0
            kinds |= kind
            end += size
        return version if end == length else 0

    def fingerprint(self, scheme, packed):
        """HMAC-SHA256(list key, scheme u8 | packed card id)[0:8]; `packed` as in a SCAN record (docs/formats.md, "Card id")."""
        inner = self._mac.begin()
        inner.update(bytes((scheme,)))
        inner.update(packed)
        return self._mac.end(inner)[:8]

    def denied(self, scheme, packed):
        """Whether the deny list in force holds this card; None where there is none. At most 8 reads of flash, usually 2."""
        if self._deny is None:
            return None
        shift, index, entries, last = self._deny
        wanted = self.fingerprint(scheme, packed)
        read = self.flash.readblocks
        # All that begin with the same bits lie one behind the other: the index says from where on, and how many.
        at = index + ((wanted[0] << 16 | wanted[1] << 8 | wanted[2]) >> shift << 2)
        entry = self._entry
        read(at // SECTOR_BYTES, entry, at % SECTOR_BYTES)
        at = entries + ((entry[0] | entry[1] << 8 | entry[2] << 16) << 3)
        end = min(at + (entry[3] << 3), last)  # in flash that has rotted the index may say anything
        window, view = self._window, self._view
        while at < end:
            skip = at % _WINDOW_BYTES
            at -= skip
            read(at // SECTOR_BYTES, window, at % SECTOR_BYTES)
            if wanted in window:  # found fast; but it may straddle two entries
                while skip < _WINDOW_BYTES and at + skip < end:
                    if view[skip : skip + 8] == wanted:
                        return True
                    skip += 8
            at += _WINDOW_BYTES
        return False

    def allowed(self, scheme, packed):
        """Whether the allow list in force holds this card; None where there is none. 3 reads of a byte.

        Never False for a card that is in it; True for one in 256 of those that are not.
        """
        if self._allow is None:
            return None
        shift, starts, seed, at = self._allow
        wanted = self.fingerprint(scheme, packed)
        word = wanted[0] << 8 | wanted[1]
        length = 1 << shift
        at += (word * starts >> 16) << shift
        rest = wanted[2] & 0xE0 | wanted[4] >> 5 << 2 | wanted[6] >> 6
        moved = (word + rest) * seed
        cell = self._cell
        for i in (2, 4, 6):
            place = at + ((wanted[i] << 8 | wanted[i + 1]) + moved & length - 1)
            self.flash.readblocks(place // SECTOR_BYTES, cell, place % SECTOR_BYTES)
            rest ^= cell[0]
            at += length
        return rest == 0
