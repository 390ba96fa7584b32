"""The firmware's side of ../shared/vectors/journal-v1.json, byte for byte, inside MicroPython."""

import asyncio
import json
import os
from binascii import unhexlify as bytes_of

import records
from journal import seal, x25519
from journal.ring import Ring
from nor import Nor
from uplink.http import Http
from uplink.shipper import Shipper


def load():
    with open(os.getenv("CHOT_VECTORS")) as file:
        return json.load(file)


def last(generator):
    value = None
    for value in generator:
        pass
    return value


def multiply(scalar, point):
    return last(x25519.steps(scalar, point))


def epochs(v):
    key, public = bytes_of(v["device_key"]), bytes_of(v["collector_public"])
    return [last(seal.agree(bytes_of(e["private"]), key, public)) for e in v["epochs"]]


def test_x25519():
    v = load()
    assert multiply(bytes_of(v["collector_private"]), x25519.BASE) == bytes_of(v["collector_public"])
    for e in v["epochs"]:
        private = bytes_of(e["private"])
        assert multiply(private, x25519.BASE) == bytes_of(e["public"])
        assert multiply(private, bytes_of(v["collector_public"])) == bytes_of(e["shared"])


def test_x25519_rfc7748():
    k = u = x25519.BASE
    for _ in range(20):
        k, u = multiply(k, u), k
    one = multiply(x25519.BASE, x25519.BASE)
    assert one == bytes_of("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    scalar = bytes_of("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes_of("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert multiply(scalar, point) == bytes_of("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    scalar = bytes_of("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d")
    point = bytes_of("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")
    assert multiply(scalar, point) == bytes_of("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")


def test_epoch_keys():
    v = load()
    for e in v["epochs"]:
        info = b"chot/1/epoch" + bytes_of(e["public"]) + bytes_of(v["collector_public"])
        okm = seal.hkdf(bytes_of(v["device_key"]), bytes_of(e["shared"]), info, 80)
        assert okm == bytes_of(e["enc_key"]) + bytes_of(e["mac_key"]) + bytes_of(e["reply_key"])


def test_refused_collector_keys():
    v = load()
    for public in v["refused_epoch_publics"]:
        try:
            last(seal.agree(bytes_of(v["epochs"][0]["private"]), bytes_of(v["device_key"]), bytes_of(public)))
        except seal.SealError:
            continue
        raise AssertionError(public)


def plaintext(d):
    """Encode a decoded record of the vectors."""
    b = bytearray(260)
    kind, up = d["kind"], d["uptime_ms"]
    if kind == 1:
        n = records.boot(b, 0, up, d["cause"], d["version"], d["config"])
    elif kind == 2:
        n = records.clock(b, 0, up, d["unix_ms"], d["error_ms"], d["source"])
    elif kind == 3:
        if d["scheme"] == 4:
            packed = records.id_digest(bytes_of(d["id"]))
        elif d["id"].isdigit():
            packed = records.id_digits(d["id"].encode())
        else:
            packed = records.id_text(d["id"].encode())
        n = records.scan(b, 0, up, d["reader"], d["verdict"], d["scheme"], packed)
    elif kind == 6:
        n = records.health(b, 0, up, d["health"])
    elif kind == 7:
        n = records.note(b, 0, up, 239, d["level"], d["text"])
    elif kind == 8:
        n = records.change(b, 0, up, 239, d["what"], d["version"], d["outcome"], d["reason"])
    else:
        return None  # DOOR and INCIDENT: no part of this build writes them
    return bytes(b[:n])


def test_records():
    for frame in load()["frames"]:
        if "decoded" in frame:
            made = plaintext(frame["decoded"])
            assert made is None or made == bytes_of(frame["plaintext"]), frame


def test_ids():
    for entry in load()["ids"]:
        text = entry["text"].encode()
        digits = text.isdigit() and len(text) <= 38
        packed = records.id_digits(text) if digits else records.id_text(text)
        assert packed == bytes_of(entry["packed"]), entry


def ring_of_vectors(v, sectors=8):
    """A ring driven through the records of the vectors: its flash must then hold their sector."""
    flash = Nor(sectors)
    ring = Ring(flash, bytes_of(v["device_id"]), False, None)
    ring.recover()
    ring.generation = v["generation"]
    ring.sequence = v["sector_sequence"] - 1
    first, second = epochs(v)
    frames = v["frames"]
    cut = [i for i, f in enumerate(frames) if "epoch_public" in f][0]

    def intro_of(frame):
        def intro(buffer, at):
            data = bytes_of(frame["plaintext"])
            buffer[at : at + len(data)] = data
            return at + len(data)

        return intro

    ring.begin_epoch(first, intro_of(frames[0]))
    assert ring.prepare()
    for frame in frames[1:cut]:
        assert ring.append(bytes_of(frame["plaintext"]), 2)
    ring.begin_epoch(second, intro_of(frames[cut + 1]))
    for frame in frames[cut + 2 :]:
        assert ring.append(bytes_of(frame["plaintext"]), 2)
    return ring, flash, second


def test_sector():
    v = load()
    ring, flash, _ = ring_of_vectors(v)
    start = ring.index(v["sector_sequence"]) * 4096
    sector = bytes_of(v["sector"])
    assert bytes(flash.data[start : start + 4096]) == sector
    assert sector[:64] == bytes_of(v["header"])
    assert ring.offset == v["used"]
    for frame in v["frames"]:
        whole = bytes_of(frame["frame"])
        assert sector[frame["offset"] : frame["offset"] + len(whole)] == whole


def test_recovery_of_sector():
    v = load()
    flash = Nor(8)
    flash.data[6 * 4096 : 7 * 4096] = bytes_of(v["sector"])
    ring = Ring(flash, bytes_of(v["device_id"]), False, None)
    ring.recover()
    assert (ring.generation, ring.sequence, ring.offset) == (v["generation"], v["sector_sequence"], v["used"])
    assert ring.key == bytes_of(v["epochs"][1]["public"])
    # One flipped bit in a frame closes the sector: nothing is appended behind what cannot be followed.
    flash.data[6 * 4096 : 7 * 4096] = bytes_of(v["damaged"]["sector"])
    ring = Ring(flash, bytes_of(v["device_id"]), False, None)
    ring.recover()
    assert ring.sequence == v["sector_sequence"] and ring.offset == 4096
    assert v["frames"][1]["offset"] == v["damaged"]["unreadable_offset"]
    assert ring.end(6) == v["used"]


class Identity:
    def __init__(self, v):
        self.device_id = bytes_of(v["device_id"])
        self.device_key = bytes_of(v["device_key"])
        self.collector_public = bytes_of(v["collector_public"])


class Clock:
    taken = None

    def reading(self, unix_ms, error_ms, source):
        self.taken = (unix_ms, error_ms, source)


def shipper_of_vectors(v):
    ring, flash, epoch = ring_of_vectors(v)
    clock = Clock()
    shipper = Shipper(ring, Identity(v), Http, None, clock, lambda n: bytes_of(v["nonce"])[:n], None, 60000, 0, None)
    shipper.new_epoch(epoch)
    return ring, shipper, clock


def request(shipper, pieces, nonce):
    """The bytes that the shipper streams for these pieces."""
    sent = bytearray()

    async def write(data):
        sent.extend(data)

    try:
        shipper._send(write, nonce, pieces).send(None)
    except StopIteration:
        pass
    return bytes(sent)


def vector_pieces(v, ring, shipper):
    """The vectors' two pieces: up to behind the epoch frame, and from there on."""
    import struct

    pieces = []
    for raw in v["pieces"]:
        raw = bytes_of(raw)
        generation, sequence, key, offset, length = struct.unpack("<II32sHH", raw[:44])
        pieces.append((ring.index(sequence), generation, sequence, key, offset, offset + length, key))
    return pieces


def test_request():
    v = load()
    ring, shipper, _ = shipper_of_vectors(v)
    whole = bytes_of(v["request"])
    pieces = vector_pieces(v, ring, shipper)
    assert request(shipper, pieces, bytes_of(v["nonce"])) == whole
    assert seal.Mac(bytes_of(v["request_key"])).of(whole[:-32]) == whole[-32:]
    for raw in v["pieces"]:
        assert bytes_of(raw) in whole
    # What the shipper plans by itself is the same bytes in one piece.
    plan = shipper.plan()
    assert [p[1:6] for p in plan] == [(pieces[0][1], pieces[0][2], pieces[0][3], 64, v["used"])]
    # Cut behind the epoch frame, the next piece starts under the new key.
    shipper._limit = 53 + 32 + 44 + pieces[0][5] - 64
    first = shipper.plan()
    assert [p[1:6] for p in first] == [pieces[0][1:6]] and first[0][6] == pieces[1][3]
    shipper._release(first[0])
    shipper._limit = 65536
    assert [p[1:6] for p in shipper.plan()] == [pieces[1][1:6]]


def test_reply():
    import time

    v = load()
    ring, shipper, clock = shipper_of_vectors(v)
    pieces = vector_pieces(v, ring, shipper)
    reply = bytes_of(v["reply"])
    assert reply[9:-32].decode() == v["reply_body"]
    wait = (bytes_of(v["nonce"]), shipper._epoch, pieces, time.ticks_ms())
    for i in range(len(reply)):
        shipper._waits = [wait]
        wrong = bytearray(reply)
        wrong[i] ^= 1 << (i & 7)
        assert asyncio.run(shipper._accept(wrong)) is None, i
        assert asyncio.run(shipper._accept(reply[:i])) is None, i
    assert clock.taken is None and shipper._stored is None
    shipper._waits = [wait]
    assert asyncio.run(shipper._accept(bytearray(reply))) == 2
    assert clock.taken[2] == 3 and abs(clock.taken[0] - 1637222400123) < 1000
    assert shipper.plan() == []
    assert asyncio.run(shipper._accept(bytearray(reply))) is None, "a reply counts once"
