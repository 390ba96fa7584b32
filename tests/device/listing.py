"""List files for device tests, written down anew from docs/formats.md, and a host that sends them to the board's writer."""

import hashlib
import struct
from binascii import crc32

import records

KEY = bytes(range(64, 96))
HEADER = 64
SECTOR = 4096


def hmac(key, message):
    pads = [bytes(byte ^ value for byte in key + bytes(64 - len(key))) for value in (0x36, 0x5C)]
    return hashlib.sha256(pads[1] + hashlib.sha256(pads[0] + message).digest()).digest()


def card(number):
    """(scheme, packed id) of an identity card."""
    return 2, records.id_digits(b"%012d" % number)


def fingerprint(number, key=KEY):
    scheme, packed = card(number)
    return hmac(key, bytes((scheme,)) + packed)[:8]


def padded(data):
    return data + b"\xff" * (-len(data) % 256)


def deny_section(prints, bits=6):
    prints = sorted(prints)
    index = bytearray()
    first = 0
    for bucket in range(1 << bits):
        size = len([one for one in prints if (one[0] << 16 | one[1] << 8 | one[2]) >> 24 - bits == bucket])
        index.extend(bytes((first & 255, first >> 8, 0, size)))
        first += size
    return padded(bytes(index) + b"".join(prints)), (1, bits, 0, len(prints))


def header(version, body, sections, key=KEY, date=20261126, magic=b"CHL1"):
    """The 64 bytes; `sections` as ((kind, shift, seed, count), size) in the order of the body."""
    head = struct.pack("<4sIIII", magic, version, date, len(body), crc32(body)) + hmac(key, b"chot/1/lists")[:8]
    start = 0
    for (kind, shift, seed, count), size in sections:
        head += struct.pack("<4B3I", kind, shift, seed, 0, count, start, size)
        start += size
    head += bytes(60 - len(head))
    return head + struct.pack("<I", crc32(head))


def deny_file(version, numbers, key=KEY, bits=6):
    body, section = deny_section([fingerprint(number, key) for number in numbers], bits)
    return header(version, body, ((section, len(body)),), key) + body


class Sent:
    """A list as the centre announces it: its file, version, size and SHA-256."""

    def __init__(self, version, file):
        self.version = version
        self.file = file
        self.digest = hashlib.sha256(file).digest()
        self.bytes_sent = 0

    def to(self, writer, piece=1024):
        """Send until the writer has the list in force; the gate lets one erase through at a time."""
        while writer.offset < writer.size:
            if writer.wants_erase():
                writer.erase()
            else:
                part = self.file[writer.offset : writer.offset + piece]
                self.bytes_sent += len(part)
                writer.write(part)
        while writer.verify() is None:
            pass


def place(flash, half, file):
    """Put a file into a half as `chot build` would."""
    start = half * (flash.sectors // 2) * SECTOR
    flash.data[start : start + HEADER] = file[:HEADER]
    flash.data[start + SECTOR : start + SECTOR + len(file) - HEADER] = file[HEADER:]
