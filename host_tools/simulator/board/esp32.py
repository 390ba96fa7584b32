"""`esp32` of the chip: Partition over the flash image (reads go straight to the file) and a small NVS."""

import struct

import _chip
import _ops

_flash = None
# Sectors with cells that a power cut left undecided; reads of these are the world's to answer.
_unstable = set()
_SECTOR = 4096
_WRONG_SIZE = -260


class Partition:
    """A row of the partition table in the image; block size 4096."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, ident, block_size=_SECTOR):
        if block_size != _SECTOR:
            raise ValueError("block_size")
        if isinstance(ident, tuple):
            rows = [ident]
        elif isinstance(ident, str):
            rows = [row for row in _table() if row[4] == ident]
        else:
            rows = [row for row in _table() if row[0] == 0][:1]
        if not rows:
            raise OSError(2)
        self._row = rows[0]

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=_SECTOR):
        found = []
        for row in _table():
            if row[0] == type and subtype in (0xFF, row[1]) and label in (None, row[4]):
                found.append(Partition(row))
        return found

    def info(self):
        return self._row

    def _place(self, block, offset, size):
        at = block * _SECTOR + offset
        if block < 0 or offset < 0 or at + size > self._row[3]:
            raise OSError(_WRONG_SIZE, "ESP_ERR_INVALID_SIZE")
        return self._row[2] + at

    def readblocks(self, block, buf, offset=0):
        at = self._place(block, offset, len(buf))
        _chip.now_us += _chip.FLASH_READ_US + len(buf) // _chip.FLASH_READ_BYTES_PER_US
        if _unstable:
            for sector in range(at // _SECTOR, (at + len(buf) - 1) // _SECTOR + 1):
                if sector in _unstable:
                    buf[:] = _chip.call(_ops.OP_FLASH_READ, struct.pack("<II", at, len(buf)))[1]
                    return
        _flash.seek(at)
        _flash.readinto(buf)

    def writeblocks(self, block, buf, offset=None):
        at = self._place(block, offset or 0, len(buf))
        if offset is None:
            self._erase(at, -(-len(buf) // _SECTOR) * _SECTOR)
        self._check(_chip.call(_ops.OP_FLASH_PROGRAM, struct.pack("<I", at) + bytes(buf))[0])

    def _erase(self, at, size):
        self._check(_chip.call(_ops.OP_FLASH_ERASE, struct.pack("<II", at, size))[0])
        for sector in range(at // _SECTOR, (at + size) // _SECTOR):
            _unstable.discard(sector)

    def _check(self, code):
        if code:
            raise OSError(-code, "ESP_ERR_FLASH_OP_FAIL")

    def ioctl(self, op, arg):
        if op == 4:
            return self._row[3] // _SECTOR
        if op == 5:
            return _SECTOR
        if op == 6:
            self._erase(self._place(arg, 0, _SECTOR), _SECTOR)
        return 0 if op < 7 else None

    def __eq__(self, other):
        return isinstance(other, Partition) and self._row == other._row


def _table():
    rows = []
    row = bytearray(32)
    for at in range(0x8000, 0x8C00, 32):
        _flash.seek(at)
        _flash.readinto(row)
        magic, kind, subtype, offset, size, label, flags = struct.unpack("<HBBII16sI", row)
        if magic != 0x50AA:
            break
        rows.append((kind, subtype, offset, size, label.rstrip(b"\0").decode(), bool(flags & 1)))
    return rows


class NVS:
    """Key-value store: values reach the store at commit()."""

    def __init__(self, namespace):
        self._space = namespace
        self._fresh = {}

    def _put(self, key, value):
        self._fresh[key] = value

    def _get(self, key):
        if key in self._fresh:
            found = self._fresh[key]
            if found is None:
                raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
            return found
        there, data = _chip.call(_ops.OP_NVS_GET, (self._space + "\0" + key).encode())
        if not there:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return bytes(data)

    def set_i32(self, key, value):
        self._put(key, struct.pack("<i", value))

    def get_i32(self, key):
        return struct.unpack("<i", self._get(key))[0]

    def set_blob(self, key, value):
        self._put(key, bytes(value))

    def get_blob(self, key, buf):
        data = self._get(key)
        buf[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        self._get(key)
        self._put(key, None)

    def commit(self):
        for key, value in self._fresh.items():
            name = (self._space + "\0" + key + "\0").encode()
            _chip.post(_ops.POST_NVS_SET, bytes((value is not None,)) + name + (value or b""))
        self._fresh.clear()


def raw_temperature():
    return 128
