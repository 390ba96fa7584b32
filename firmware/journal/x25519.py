"""X25519 (RFC 7748) in integers, resumable in slices so that a key can be made while the door is in use."""

from micropython import const

_SLICE_BITS = const(5)  # ladder steps between two yields: about 5 ms of an ESP32

_P = (1 << 255) - 19
_MASK = (1 << 255) - 1


def _fold(n):
    """n modulo 2^255 - 19, below 2^256 for any product here: 2^255 is 19, and folding twice costs half a division."""
    n = (n & _MASK) + (n >> 255) * 19
    return (n & _MASK) + (n >> 255) * 19


def steps(scalar, point):
    """Multiply: a generator that yields None between slices and, last, the 32-byte result.

    `scalar` and `point` are 32 bytes. The result is not checked for all zero: the caller refuses that.
    """
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    x1 = int.from_bytes(point, "little") & _MASK
    x2, z2, x3, z3, swapped = 1, 0, x1, 1, 0
    mask = _MASK
    for t in range(254, -1, -1):
        bit = k[t >> 3] >> (t & 7) & 1
        if bit != swapped:
            x2, x3, z2, z3 = x3, x2, z3, z2
            swapped = bit
        # One fold leaves a product of two b-bit numbers some 2 * (b - 255) + 5 bits too long. That is harmless for a
        # few products on end, so only what goes round (x2, z2, x3, z3) is folded a second time.
        a = x2 + z2
        b = x2 - z2
        n = (x3 - z3) * a
        da = (n & mask) + (n >> 255) * 19
        n = (x3 + z3) * b
        cb = (n & mask) + (n >> 255) * 19
        n = a * a
        aa = (n & mask) + (n >> 255) * 19
        n = b * b
        bb = (n & mask) + (n >> 255) * 19
        a = da + cb
        x3 = _fold(a * a)
        b = da - cb
        n = b * b
        n = ((n & mask) + (n >> 255) * 19) * x1
        z3 = _fold(n)
        x2 = _fold(aa * bb)
        a = aa - bb
        z2 = _fold(a * (aa + 121665 * a))
        if t % _SLICE_BITS == 0:
            yield None
    if swapped:
        x2, z2 = x3, z3
    # x2 / z2 = x2 * z2^(p - 2), and p - 2 = 2^255 - 21 is all ones but for two bits.
    n = 1
    for t in range(254, -1, -1):
        n = _fold(n * n)
        if t > 4 or 11 >> t & 1:
            n = _fold(n * z2)
        if t % _SLICE_BITS == 0:
            yield None
    yield (x2 * n % _P).to_bytes(32, "little")


BASE = b"\x09" + bytes(31)
