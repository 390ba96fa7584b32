"""Mutants of valid payloads, the same ones from a seed on CPython and on MicroPython, and what a door makes of them there."""

import hashlib
import sys

BLOCK = 1000
_SIGNS = b"|<*$-/:0129\0\4\r\n \"{}AaZ\x80\xbf\xc3\xe1\xed\xf0\xff"


class Chance:
    """A linear congruential generator: random enough, and no runtime's own."""

    def __init__(self, seed):
        self._state = seed & 0x7FFFFFFF
        for _ in range(4):
            self.below(2)

    def below(self, limit):
        """A number from 0 to limit - 1; 0 where there is none."""
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % limit if limit else 0


def load(path):
    """The payloads of a file, one a line in hex."""
    with open(path) as file:
        return [bytes.fromhex(line.strip()) for line in file]


def _like(sign, chance):
    """Another sign of the same sort, so that shapes survive."""
    if 48 <= sign < 58:
        return 48 + chance.below(10)
    if 65 <= sign < 91:
        return 65 + chance.below(26)
    if 97 <= sign < 103:
        return 97 + chance.below(6)
    return sign ^ 1


def _fields(payload, kind, chance):
    """A field emptied, left out, written twice, or exchanged with another."""
    fields = payload.split(b"|")
    at = chance.below(len(fields))
    if kind == 0:
        fields[at] = b""
    elif kind == 1:
        del fields[at]
    elif kind == 2:
        fields.insert(at, fields[at])
    else:
        other = chance.below(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    return b"|".join(fields)


def _once(payload, corpus, chance):
    """One mutation."""
    kind = chance.below(16)
    at = chance.below(len(payload))
    head, tail = payload[:at], payload[at:]
    if kind < 4:
        return head + (bytes((_like(tail[0], chance),)) + tail[1:] if tail else b"")
    if kind < 6:
        return head + bytes((chance.below(256),)) + tail[1:]
    if kind == 6:
        return head + _SIGNS[chance.below(len(_SIGNS)) :][:1] + tail[1:]
    if kind == 7:
        return head + _SIGNS[chance.below(len(_SIGNS)) :][:1] + tail
    if kind == 8:
        return head + tail[1 + chance.below(9) :]
    if kind == 9:
        return head + tail[: 1 + chance.below(9)] + tail
    if kind == 10:
        return head
    if kind == 11:
        other = corpus[chance.below(len(corpus))]
        return head + other[chance.below(len(other)) :]
    if kind == 12:
        return payload + (b"\0", b"\r\n", b" ", b"|x", b"|$")[chance.below(5)]
    if kind == 13:
        return (payload.upper(), payload.lower(), b" " + payload, payload + payload)[chance.below(4)]
    return _fields(payload, chance.below(4), chance)


def _crc(data):
    """CRC-16/CCITT-FALSE, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def mutant(corpus, chance):
    """A payload of the corpus after one to three mutations; of payment codes, half get a CRC that is right again."""
    payload = corpus[chance.below(len(corpus))]
    for _ in range(1 + chance.below(3)):
        payload = _once(payload, corpus, chance)
    if payload[:6] == b"000201" and chance.below(2):
        payload = payload[:-8] + b"6304"
        payload += b"%04X" % _crc(payload)
    return payload


def outcomes(identify, corpus, seed, count):
    """For each block of mutants: (hash of every scheme and id in it, how many are of a scheme other than 0)."""
    chance = Chance(seed)
    for _ in range(count // BLOCK):
        block, known = hashlib.sha256(), 0
        for _ in range(BLOCK):
            payload = mutant(corpus, chance)
            scheme, packed = identify(payload)
            block.update(bytes((scheme, len(packed))) + packed)
            known += scheme != 0
        yield block.digest().hex(), known


def fuzz(names, path, seed, count):
    """Inside MicroPython: print the outcome of each block."""
    from scanner.cards import Cards

    for digest, known in outcomes(Cards(names).identify, load(path), seed, count):
        print(digest, known)


def serve(names):
    """Inside MicroPython: for each line of input, a payload in hex, print its scheme and packed id."""
    from scanner.cards import Cards

    identify = Cards(names).identify
    for line in sys.stdin:
        scheme, packed = identify(bytes.fromhex(line.strip()))
        print(scheme, packed.hex())
