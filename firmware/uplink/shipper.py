"""The shipper: raw journal bytes to the collector, and nothing released but on its authentic word (docs/formats.md, "Wire")."""

import asyncio
import hashlib
import json
import struct
import time

from clock import happens
from journal import ring as journal
from journal import seal
from micropython import const
from uplink.http import HttpError

_VERSION = b"\x01"
_PATH = "/v1/journal"
_TYPE = "application/x-chot"
_HEAD_BYTES = const(53)
_PIECE_BYTES = const(44)
_MAC_BYTES = const(32)
_MAX_REQUEST_BYTES = const(65536)
_MAX_PIECES = const(32)  # a ring of sectors that power cuts closed early must not fill the heap with its plan
_MIN_REQUEST_BYTES = const(256)
_CHUNK_BYTES = const(512)
_UNANSWERED = const(4)
_TIMEOUT_MS = const(30000)
_FIRST_BACKOFF_MS = const(1000)
_MAX_BACKOFF_MS = const(300000)
_GATHER_MS = const(500)  # let the beep end and a group's scans share a request
_LINK_LOOK_MS = const(1000)
_SOURCE = const(3)  # of a time, as a CLOCK record names it: the collector


class Shipper:
    """Sends what `ring` holds. `http` posts; `link_up()` tells whether there is a network; `random(n)` gives bytes."""

    def __init__(self, ring, identity, http, link_up, clock, random, recorded, heartbeat_ms):
        self.failures = 0
        self._online = False  # the last request was answered by the collector itself
        self._more = False  # the last plan left something out
        self._lost = 0  # sectors overwritten when it was made
        self._ring = ring
        self._http = http
        self._link_up = link_up
        self._clock = clock
        self._random = random
        self._recorded = recorded
        self._heartbeat_ms = heartbeat_ms
        self._request_mac = seal.Mac(seal.hkdf(b"", identity.device_key, b"chot/1/request", 32))
        self._head = _VERSION + identity.device_id + hashlib.sha256(identity.collector_public).digest()[:4]
        self._epoch = None
        self._limit = _MAX_REQUEST_BYTES
        self._waits = []  # (nonce, epoch, pieces, ticks) of requests without an answer yet
        self._stored = None  # (generation, sequence, offset, key): all before this place in this sector is stored
        self._chunk = bytearray(_CHUNK_BYTES)
        self._timeouts = 0

    def new_epoch(self, epoch):
        self._epoch = epoch
        self._waits.clear()  # a boot's older epochs no longer vouch for anything

    def online(self):
        """True while there is a link and the collector itself answers on it."""
        return self._online and self._link_up()

    # What to send

    def plan(self):
        """The pieces of the next request: (index, generation, sequence, key, offset, end, key at end)."""
        ring = self._ring
        pieces = []
        room = self._limit - _HEAD_BYTES - _MAC_BYTES
        generation = None
        self._lost = ring.lost
        self._more = False
        for step in range(1, ring.sectors + 1):
            index = (ring.index(ring.sequence) + step) % ring.sectors if ring.sequence else step - 1
            state = ring.state[index]
            if state == journal.DAMAGED:
                piece = (index, ring.generation, 0, bytes(32), 0, journal.SECTOR_BYTES, None)
            elif state == journal.UNRELEASED:
                piece = self._piece(index)
            else:
                continue
            if piece is None:
                continue
            if piece[2]:
                if generation is not None and piece[1] != generation:
                    self._more = True
                    break
                generation = piece[1]
            size = _PIECE_BYTES + piece[5] - piece[4]
            if size > room or len(pieces) == _MAX_PIECES:
                self._more = True
                if not pieces:
                    pieces.append(self._cut(piece, room - _PIECE_BYTES))
                break
            room -= size
            pieces.append(piece)
        return pieces

    def _piece(self, index):
        """What is left to send of an intact sector, or None; a closed sector with nothing left is released."""
        ring = self._ring
        found = ring.header(index)
        if found is None:
            if ring.closed(index):
                ring.state[index] = journal.DAMAGED  # its header has rotted since: what is left goes out raw
            return None
        generation, sequence, _, key = found
        key = bytes(key)
        offset = journal.HEADER_BYTES
        if self._stored and self._stored[:2] == (generation, sequence):
            offset, key = self._stored[2:]
        end = ring.end(index)
        if end > offset:
            return (index, generation, sequence, key, offset, end, None if ring.closed(index) else ring.key)
        if ring.closed(index):
            ring.release(index, sequence)
        return None

    def _cut(self, piece, room):
        """The part of a piece that ends with a whole frame and fits; all of it where its frames cannot be followed."""
        index, generation, sequence, key, offset, end, _ = piece
        if sequence == 0:
            return piece
        stop, key_there = self._ring.walk(index, offset, key, offset + room)
        if stop == offset or stop >= end:
            return piece
        return (index, generation, sequence, key, offset, stop, key_there)

    # One request

    async def _send(self, write, nonce, pieces):
        """Stream a request; its MAC is made on the way, so no more than a chunk of it is ever in RAM."""
        mac = self._request_mac
        inner = mac.begin()
        head = self._head + self._epoch.public + nonce
        inner.update(head)
        await write(head)
        for index, generation, sequence, key, offset, end, _ in pieces:
            head = struct.pack("<II32sHH", generation, sequence, key, offset, end - offset)
            inner.update(head)
            await write(head)
            while offset < end:
                chunk = memoryview(self._chunk)[: min(_CHUNK_BYTES, end - offset)]
                self._ring.flash.readblocks(index, chunk, offset)
                if self._lost != self._ring.lost:
                    raise HttpError  # overwritten while it was sent
                inner.update(chunk)
                await write(chunk)
                offset += len(chunk)
        await write(mac.end(inner))

    async def exchange(self):
        """Send one request and act on the reply; True when more may be waiting, False when all is sent.

        Raises OSError, HttpError or asyncio.TimeoutError.
        """
        pieces = self.plan()
        nonce = self._random(8)
        length = _HEAD_BYTES + _MAC_BYTES
        for piece in pieces:
            length += _PIECE_BYTES + piece[5] - piece[4]
        self._waits.append((nonce, self._epoch, pieces, time.ticks_ms()))
        del self._waits[:-_UNANSWERED]

        async def send(write):
            await self._send(write, nonce, pieces)

        status, body = await asyncio.wait_for_ms(self._http.post(_PATH, _TYPE, length, send), _TIMEOUT_MS)
        if status == b"413":
            self._halve()
        stored = self._accept(body)  # the body of anything but a 200 is empty
        if stored is None or (pieces and not stored):
            raise HttpError
        return self._more or stored < len(pieces)

    def _accept(self, body):
        """Act on a reply if it is authentic; the number of pieces it says are stored, or None."""
        if len(body) < 9 + _MAC_BYTES or body[:1] != _VERSION:
            return None
        for i, (nonce, epoch, pieces, sent) in enumerate(self._waits):
            if nonce == body[1:9]:
                break
        else:
            return None
        if not seal.equal(epoch.reply_mac.of(memoryview(body)[:-_MAC_BYTES]), body[-_MAC_BYTES:]):
            return None
        del self._waits[i]
        try:
            members = json.loads(bytes(body[9:-_MAC_BYTES]))
            stored = members["stored"]
            now = members.get("now")
        except (ValueError, KeyError, AttributeError, TypeError):
            return None
        if not isinstance(stored, int) or stored is True or stored is False or not 0 <= stored <= len(pieces):
            return None
        for piece in pieces[:stored]:
            self._release(piece)
        if isinstance(now, int) and now > 0:
            half = time.ticks_diff(time.ticks_ms(), sent) // 2 + 1
            self._clock.reading(now + half, half, _SOURCE)
        return stored

    def _release(self, piece):
        """Everything of this sector up to the piece's end is stored."""
        index, generation, sequence, _, _, end, key = piece
        ring = self._ring
        if sequence == 0:
            if ring.state[index] == journal.DAMAGED:
                ring.release(index, 0)
            return
        if ring.state[index] != journal.UNRELEASED:
            return
        if ring.closed(index) and ring.end(index) <= end:  # a torn tail may read otherwise each time
            ring.release(index, sequence)
        elif key is not None:
            place = (generation, sequence, end, key)
            if not self._stored or self._stored[:2] != place[:2] or end > self._stored[2]:
                self._stored = place

    def _halve(self):
        self._limit = max(_MIN_REQUEST_BYTES, self._limit // 2)

    async def run(self, pulse):
        """Send for ever: at once when something is recorded, a heartbeat otherwise, backing off while nobody answers."""
        backoff_ms = 0
        while True:
            pulse()
            if not self._link_up():
                self._online = False
                self._http.close()
                await asyncio.sleep_ms(_LINK_LOOK_MS)
                continue
            try:
                more = await self.exchange()
            except (OSError, HttpError, asyncio.TimeoutError) as error:
                self._http.close()
                self.failures += 1
                self._online = False
                self._timeouts = self._timeouts + 1 if isinstance(error, asyncio.TimeoutError) else 0
                if self._timeouts >= 2:
                    self._halve()
                backoff_ms = min(_MAX_BACKOFF_MS, max(_FIRST_BACKOFF_MS, backoff_ms * 2))
                spread = int.from_bytes(self._random(2), "little")
                await asyncio.sleep_ms(backoff_ms // 2 + (backoff_ms * spread >> 17))
                continue
            backoff_ms = self._timeouts = 0
            self._limit = min(_MAX_REQUEST_BYTES, self._limit * 2)
            self._online = True
            if not more:
                await self._idle(pulse)

    async def _idle(self, pulse):
        """Wait for a record or the next heartbeat, then a moment for others to join."""
        if await happens(self._recorded, self._heartbeat_ms):
            pulse()
            await asyncio.sleep_ms(_GATHER_MS)
            self._recorded.clear()
