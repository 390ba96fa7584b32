"""Keys of an epoch and the sealing of one frame (shared bytes: docs/formats.md, "Sealing")."""

import hashlib
import struct
from binascii import crc32

from cryptolib import aes
from journal import x25519
from micropython import const

_OVERHEAD_BYTES = const(11)
_EPOCH_MARK = const(0xFE)
_EPOCH_FRAME_BYTES = const(35)
_AES_ECB = const(1)


class SealError(Exception):
    """The collector's public key is not usable: the shared secret would be all zero."""


def _pad(key, value):
    """The 64-byte block that HMAC-SHA256 hashes first; hashlib here cannot copy a state, so it is hashed each time."""
    block = bytearray(bytes((value,)) * 64)
    for i, byte in enumerate(key):
        block[i] ^= byte
    return block


class Mac:
    """HMAC-SHA256 under one key of at most 64 bytes, the two key blocks prepared once."""

    def __init__(self, key):
        self._inner = _pad(key, 0x36)
        self._outer = _pad(key, 0x5C)

    def begin(self):
        """A hash to which the message is given by update(); end() turns it into the MAC."""
        return hashlib.sha256(self._inner)

    def end(self, inner):
        """The 32-byte MAC of the message that was given to `inner`."""
        outer = hashlib.sha256(self._outer)
        outer.update(inner.digest())
        return outer.digest()

    def of(self, message):
        inner = hashlib.sha256(self._inner)
        inner.update(message)
        return self.end(inner)

    def zero(self):
        for block in (self._inner, self._outer):
            for i in range(64):
                block[i] = 0


def equal(a, b):
    """Compare two byte strings in a time that does not depend on where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


def hkdf(salt, ikm, info, length):
    """HKDF-SHA256 (RFC 5869): `length` bytes, as a bytearray so that the caller can wipe it."""
    mac = Mac(Mac(salt).of(ikm))
    okm = bytearray()
    block = b""
    counter = 1
    while len(okm) < length:
        block = mac.of(block + info + bytes((counter,)))
        okm.extend(block)
        counter += 1
    mac.zero()
    return okm[:length]


class Epoch:
    """The keys of one epoch, in RAM alone. Made by `agree`; `zero` forgets them."""

    def __init__(self, public, okm):
        self.public = public  # 32 bytes, the epoch's name for ever
        self._aes = aes(bytes(okm[0:16]), _AES_ECB)
        self._mac = Mac(okm[16:48])
        self.reply_mac = Mac(okm[48:80])
        self._counters = bytearray(256)
        self._stream = bytearray(256)
        self._bound = bytearray(11)

    def seal(self, buffer, at, n, generation, sequence, offset):
        """Turn the n plaintext bytes at buffer[at + 1] into a whole frame at buffer[at] for this flash position.

        `offset` is the frame's offset in its sector. Returns the frame's length, n + 11.
        """
        first = (offset + 1) >> 4
        blocks = ((offset + n) >> 4) - first + 1
        counters = self._counters
        for i in range(blocks):
            struct.pack_into(">IIII", counters, i << 4, generation, sequence, 0, first + i)
        stream = self._stream
        used = blocks << 4
        self._aes.encrypt(memoryview(counters)[:used], memoryview(stream)[:used])
        skip = (offset + 1) & 15
        start = at + 1
        end = start + n
        mixed = int.from_bytes(memoryview(buffer)[start:end], "big") ^ int.from_bytes(stream[skip : skip + n], "big")
        buffer[at] = n
        buffer[start:end] = mixed.to_bytes(n, "big")
        bound = self._bound
        struct.pack_into("<IIHB", bound, 0, generation, sequence, offset, n)
        inner = self._mac.begin()
        inner.update(bound)
        inner.update(memoryview(buffer)[start:end])
        buffer[end : end + 8] = self._mac.end(inner)[:8]
        struct.pack_into("<H", buffer, end + 8, crc32(memoryview(buffer)[at : end + 8]) & 0xFFFF)
        return n + _OVERHEAD_BYTES

    def frame(self, buffer, at):
        """Write this epoch's own frame (its public key) at buffer[at]; returns its length, 35."""
        buffer[at] = _EPOCH_MARK
        buffer[at + 1 : at + 33] = self.public
        struct.pack_into("<H", buffer, at + 33, crc32(memoryview(buffer)[at : at + 33]) & 0xFFFF)
        return _EPOCH_FRAME_BYTES

    def zero(self):
        """Forget the keys: what is left of the cipher's own copy is overwritten by `app.scrub`."""
        self._mac.zero()
        self.reply_mac.zero()
        self._aes = None
        for i in range(256):
            self._stream[i] = 0


def private_key(random_64, device_key, ticks_us):
    """An epoch's private key: 64 random bytes, stirred with what only this board and this moment have."""
    h = hashlib.sha256(b"chot/1/private")
    h.update(random_64)
    h.update(device_key)
    h.update(struct.pack("<I", ticks_us & 0xFFFFFFFF))
    return h.digest()


def agree(private, device_key, collector_public):
    """Make an epoch: a generator that yields None between slices of work and, last, the `Epoch`.

    `private`, `device_key` and `collector_public` are 32 bytes each. Raises SealError on a refused collector key.
    """
    public = shared = b""
    for public in x25519.steps(private, x25519.BASE):
        yield None
    for shared in x25519.steps(private, collector_public):
        yield None
    if not any(shared):
        raise SealError("collector key refused: enrol this board again")
    okm = hkdf(device_key, shared, b"chot/1/epoch" + public + collector_public, 80)
    epoch = Epoch(public, okm)
    for i in range(80):
        okm[i] = 0
    yield epoch
