"""Takes a new list into the half that is not in force, across restarts; it comes into force once all of it reads back right."""

import hashlib
import struct
from binascii import crc32

from micropython import const
from scanner.lists import HEADER_BYTES, SECTOR_BYTES

# In the first sector of a half, behind the header: the header as it came, what was announced, and a byte a sector of the body.
_COPY = const(64)
_ANNOUNCED = const(128)
_DONE = const(512)
_CHUNK_BYTES = const(256)
_MOST_FAILURES = const(3)
_ERASE = const(6)  # ioctl operation of a MicroPython block device


class ListError(Exception):
    """One line: why this list is not taken. Nothing has changed: the list in force stays."""


class Writer:
    """One new list: `version`, `size` in bytes and SHA-256 (`digest`, 32 bytes) as the centre announced them.

    While `offset` < `size`: erase() through the flash gate whenever wants_erase(), else write() what the file has at `offset`.
    Then verify() until it says True. After a restart the same announcement goes on with the sector that was being written.
    """

    def __init__(self, lists, version, size, digest):
        if version <= lists.version:
            raise ListError("version %d is not above %d" % (version, lists.version))
        sectors = (size - HEADER_BYTES + SECTOR_BYTES - 1) // SECTOR_BYTES
        if not 0 < sectors < lists.half_sectors:
            raise ListError("%d bytes do not fit" % size)
        self.size = size
        self.offset = 0
        self._lists = lists
        self._flash = lists.flash
        self._version = version
        self._digest = digest
        self._first = lists.half_sectors if lists.half == 0 else 0  # sector that begins the half
        self._sectors = sectors
        self._header = bytearray(HEADER_BYTES)
        self._chunk = memoryview(bytearray(_CHUNK_BYTES))
        self._failures = 0
        self._verified = 0
        self._crc = 0
        self._sha = None
        announced = struct.pack("<II", version, size) + digest
        self._announced = announced + struct.pack("<I", crc32(announced))
        self._erased = -1  # sector of the half that is erased and takes bytes; -1: none has been, not even the first
        self._resume()

    def _read(self, n, sector, offset):
        chunk = self._chunk[:n]
        self._flash.readblocks(self._first + sector, chunk, offset)
        return chunk

    def _program(self, sector, data, offset):
        """Program bytes and read them back; True when they are there."""
        try:
            self._flash.writeblocks(self._first + sector, data, offset)
            for at in range(0, len(data), _CHUNK_BYTES):
                part = data[at : at + _CHUNK_BYTES]
                if self._read(len(part), sector, offset + at) != part:
                    return False
        except OSError:
            return False
        return True

    def _failed(self):
        self._failures += 1
        if self._failures > _MOST_FAILURES:
            raise ListError("flash does not keep it")

    def _resume(self):
        """Go on behind the last sector with a mark. Each is written after its sector has read back: even a torn one is true."""
        if self._read(len(self._announced), 0, _ANNOUNCED) != self._announced:
            return
        copy = self._read(HEADER_BYTES, 0, _COPY)
        if self._lists.checked(copy) != self._version:
            return
        self._header[:] = copy
        self._erased = done = 0
        for at in range(0, self._sectors, _CHUNK_BYTES):
            n = min(_CHUNK_BYTES, self._sectors - at)
            last = bytes(self._read(n, 0, _DONE + at)).rfind(b"\0")
            if last >= 0:
                done = at + last + 1
        self.offset = min(self.size, HEADER_BYTES + done * SECTOR_BYTES)

    def _sector(self):
        """The sector of the half in which `offset` lies."""
        return (self.offset - HEADER_BYTES) // SECTOR_BYTES + 1 if self.offset >= HEADER_BYTES else 0

    def wants_erase(self):
        """True when write() needs a sector erased first."""
        return self.offset < self.size and self._erased != self._sector()

    def erase(self):
        """Erase that sector (45 to 400 ms), and no other; only through the flash gate."""
        if not self.wants_erase():
            return
        sector = self._sector()
        try:
            if sector == 0:
                self._settle()
            self._flash.ioctl(_ERASE, self._first + sector)
            if sector == 0 and not self._announce():
                raise OSError
            self._erased = sector
        except OSError:
            self._failed()

    def _settle(self):
        """Program the header in force over itself: a power cut may have left cells of it that read right only sometimes."""
        lists = self._lists
        if lists.half >= 0:
            header = bytes(lists.header(lists.half))
            if lists.checked(header) != lists.version:
                raise OSError
            self._flash.writeblocks(lists.half * lists.half_sectors, header, 0)

    def _announce(self):
        for at in range(0, SECTOR_BYTES, _CHUNK_BYTES):
            if bytes(self._read(_CHUNK_BYTES, 0, at)).strip(b"\xff"):
                return False  # an erase that left something: perhaps the old header
        return self._program(0, self._announced, _ANNOUNCED)

    def write(self, data):
        """Take bytes of the file from `offset` on, up to the end of a sector; `offset` says then what is wanted next.

        That may be an earlier place: what does not read back is written anew. Raises ListError.
        """
        if self.wants_erase():
            return
        data = memoryview(data)[: self.size - self.offset]
        if self.offset < HEADER_BYTES:
            data = data[: HEADER_BYTES - self.offset]
            self._header[self.offset : self.offset + len(data)] = data
            self.offset += len(data)
            if self.offset == HEADER_BYTES:
                self._take_header()
            return
        sector = self._sector()
        at = (self.offset - HEADER_BYTES) % SECTOR_BYTES
        data = data[: SECTOR_BYTES - at]
        if not data:
            return
        if not self._program(sector, data, at):
            self.offset -= at
            self._erased = 0
            self._failed()
            return
        self.offset += len(data)
        if self.offset == self.size or sector != self._sector():
            self._program(0, b"\0", _DONE + sector - 1)  # where this fails, a restart writes the sector once more

    def _take_header(self):
        length = struct.unpack_from("<I", self._header, 12)[0]
        if self._lists.checked(self._header) != self._version or length + HEADER_BYTES != self.size:
            self.offset = 0
            raise ListError("not a list for this board")
        if not self._program(0, self._header, _COPY):
            self.offset = 0
            self._erased = -1
            self._failed()

    def verify(self):
        """Read back a sector of the whole: None while there are more, True when the list has come into force.

        Raises ListError where it is not what was announced; the next Writer then starts from the beginning.
        """
        if self.offset < self.size:
            return None
        if self._verified == 0:
            self._sha = hashlib.sha256(self._header)
            self._crc = 0
        left = min(SECTOR_BYTES, self.size - HEADER_BYTES - self._verified * SECTOR_BYTES)
        self._verified += 1
        for at in range(0, left, _CHUNK_BYTES):
            chunk = self._read(min(_CHUNK_BYTES, left - at), self._verified, at)
            self._sha.update(chunk)
            self._crc = crc32(chunk, self._crc)
        if self._verified < self._sectors:
            return None
        self._verified = 0
        if self._crc != struct.unpack_from("<I", self._header, 16)[0] or self._sha.digest() != self._digest:
            self._spoil("not what was announced")
        # Where a power cut tore this before, the same bytes once more leave no cell undecided.
        if not self._program(0, self._header, 0):
            self._spoil("flash does not keep it")
        self._lists.load()
        return True

    def _spoil(self, why):
        """Nothing of this is to be gone on with."""
        self._program(0, bytes(len(self._announced)), _ANNOUNCED)
        raise ListError(why)
