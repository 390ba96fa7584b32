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
from uplink.http import BUFFER_BYTES, HttpError

_VERSION = b"\x01"
_PATH = "/v1/journal"
_HEAD_BYTES = const(53)
_PIECE_BYTES = const(44)
_MAC_BYTES = const(32)
_MAX_REQUEST_BYTES = const(65536)
_MAX_PIECES = const(32)  # a ring of sectors that power cuts closed early must not fill the heap with its plan
_MIN_REQUEST_BYTES = const(256)
_SENT_BYTES = const(8192)  # more than the chip takes before the other side has acknowledged any
_UNANSWERED = const(4)
_QUICK_MS = const(20000)  # a request that takes longer is not followed by a larger one
_TIMEOUT_MS = const(120000)  # a full request over the slowest link that a board is left on
_FIRST_BACKOFF_MS = const(1000)
_MAX_BACKOFF_MS = const(300000)
_GATHER_MS = const(500)  # let the beep end and a group's scans share a request
_LOOK_MS = const(1000)
_CALM_MS = const(5000)  # no card for so long: a TLS handshake may begin
_URGENT_BACKOFF_MS = const(10000)
_MAX_UNIX_MS = 1 << 46  # in the year 4199; a record holds no more than 2^63
_SOURCE = const(3)  # of a time, as a CLOCK record names it: the collector


class Shipper:
    """Sends what `ring` holds. `http` posts over `links`; `random(n)` gives bytes; `door` is the station: its event
    `recorded`, and silence_ms() since the last card; `report(line)` tells the centre what has kept it from being told.

    On a metered link records wait `metered_wait_ms` for others, unless urgent() has been called.
    """

    def __init__(self, ring, identity, http, links, clock, random, door, heartbeat_ms, metered_wait_ms, report):
        self.failures = 0
        self._online = False  # the last request was answered by the collector itself
        self._more = False  # the last plan left something out
        self._lost = 0  # sectors overwritten when it was made
        self._ring = ring
        self._http = http
        self._links = links
        self._clock = clock
        self._random = random
        self._door = door
        self._heartbeat_ms = heartbeat_ms
        self._metered_wait_ms = metered_wait_ms
        self._report = report
        self._told = []  # what has been reported since the last new key
        self._urgent = False  # something that must not wait has not been stored yet
        self._hurry = asyncio.Event()  # set when it came
        self._request_mac = seal.Mac(seal.hkdf(b"", identity.device_key, b"chot/1/request", 32))
        self._head = _VERSION + identity.device_id + hashlib.sha256(identity.collector_public).digest()[:4]
        self._epoch = None
        self._limit = _MAX_REQUEST_BYTES
        self._waits = []  # (nonce, epoch, pieces, ticks) of requests without an answer yet
        self._stored = None  # (generation, sequence, offset, key): all before this place in this sector is stored
        self._again = None  # (generation, sequence): released sectors from there on are wanted once more
        self._timeouts = 0
        self._began_ms = 0  # uptime when the last request began

    def new_epoch(self, epoch):
        self._epoch = epoch
        self._waits.clear()  # a boot's older epochs no longer vouch for anything
        self._told.clear()

    def online(self):
        """True while there is a link and the collector itself answers on it."""
        return self._online and self._links.up()

    def urgent(self):
        """What was just recorded goes out at once, whatever the link costs."""
        self._urgent = True
        self._hurry.set()
        self._door.recorded.set()

    # What to send

    def plan(self):
        """The pieces of the next request: (index, generation, sequence, key, offset, end, key at end)."""
        ring = self._ring
        pieces = []
        room = self._limit - _HEAD_BYTES - _MAC_BYTES
        generation = None
        again = False
        self._lost = ring.lost
        self._more = False
        for step in range(1, ring.sectors + 1):
            index = (ring.index(ring.sequence) + step) % ring.sectors if ring.sequence else step - 1
            state = ring.state[index]
            if state == journal.DAMAGED:
                piece = (index, ring.generation, 0, bytes(32), 0, journal.SECTOR_BYTES, None)
            elif state == journal.UNRELEASED:
                piece = self._piece(index)
            elif state == journal.RELEASED and self._wanted(index):
                piece = self._piece(index)
                if piece and piece[1] != ring.generation:
                    continue  # another generation's: it lies there and is not what is wanted
                again = True
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
        else:
            if not again:
                self._again = None  # all of them have gone out
        return pieces

    def _wanted(self, index):
        """True for a released sector that the collector wants once more."""
        ring = self._ring
        sequence = ring.sequence - (ring.index(ring.sequence) - index) % ring.sectors
        return self._again and sequence >= self._again[1] and ring.generation == self._again[0]

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
            self._whole(index, generation, sequence)
        return None

    def _whole(self, index, generation, sequence):
        """The collector has all of a closed sector."""
        ring = self._ring
        if ring.state[index] == journal.UNRELEASED:
            ring.release(index, sequence)
        elif self._again and self._again[0] == generation:
            self._again = (generation, max(self._again[1], sequence + 1))

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
        """Stream a request through the one buffer; its MAC is made on the way, so no more of it is ever in RAM."""
        mac = self._request_mac
        inner = mac.begin()
        chunk = self._http.buffer
        head = self._head + self._epoch.public + nonce
        chunk[:_HEAD_BYTES] = head
        fill = _HEAD_BYTES
        sent = 0
        for index, generation, sequence, key, offset, end, _ in pieces:
            head = struct.pack("<II32sHH", generation, sequence, key, offset, end - offset)
            at = 0
            while at < len(head) or offset < end:
                if fill == BUFFER_BYTES:
                    inner.update(chunk)
                    await write(chunk)
                    fill = 0
                    sent += BUFFER_BYTES
                    if sent >= _SENT_BYTES:
                        self._links.moving()
                if at < len(head):
                    n = min(BUFFER_BYTES - fill, len(head) - at)
                    chunk[fill : fill + n] = head[at : at + n]
                    at += n
                else:
                    n = min(BUFFER_BYTES - fill, end - offset)
                    self._ring.flash.readblocks(index, chunk[fill : fill + n], offset)
                    if self._lost != self._ring.lost or (sequence and not self._ring.holds(index, sequence)):
                        raise HttpError  # overwritten, or released and erased, while it was sent
                    offset += n
                fill += n
        inner.update(chunk[:fill])
        await write(chunk[:fill])
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

        self._links.asking()
        status, body = await asyncio.wait_for_ms(self._http.post(_PATH, length, send), _TIMEOUT_MS)
        if status == b"413":
            self._halve()
        stored = await self._accept(body)  # the body of anything but a 200 is empty
        if stored is None or (pieces and not stored):
            raise HttpError
        return self._more or stored < len(pieces) or self._again is not None

    async def _accept(self, body):
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
            again = members.get("resend")
        except (ValueError, KeyError, AttributeError, TypeError, RuntimeError, MemoryError):
            return None  # RuntimeError: nested too deep
        if not isinstance(stored, int) or stored is True or stored is False or not 0 <= stored <= len(pieces):
            return None
        for piece in pieces[:stored]:
            self._release(piece)
            await asyncio.sleep_ms(0)  # a release mark is a flash program: sixteen of them on end would keep a card waiting
        if isinstance(again, dict):
            self._resend(again.get("generation"), again.get("sequence"))
        if isinstance(now, int) and 0 < now < _MAX_UNIX_MS:
            half = time.ticks_diff(time.ticks_ms(), sent) // 2 + 1
            self._clock.reading(now + half, half, _SOURCE)
        return stored

    def _resend(self, generation, sequence):
        """The collector has lost what it had (it was restored from a backup): intact sectors go out again from there on."""
        if isinstance(generation, int) and isinstance(sequence, int) and sequence > 0:
            if self._again and self._again[0] == generation:
                sequence = min(sequence, self._again[1])
            self._again = (generation, sequence)
            if self._stored and self._stored[0] == generation and self._stored[1] >= sequence:
                self._stored = None

    def _release(self, piece):
        """Everything of this sector up to the piece's end is stored."""
        index, generation, sequence, _, _, end, key = piece
        ring = self._ring
        if sequence == 0:
            if ring.state[index] == journal.DAMAGED:
                ring.release(index, 0)
            return
        if ring.state[index] != journal.UNRELEASED and ring.state[index] != journal.RELEASED:
            return
        if ring.closed(index) and ring.end(index) <= end:  # a torn tail may read otherwise each time
            self._whole(index, generation, sequence)
        elif key is not None:
            place = (generation, sequence, end, key)
            if not self._stored or self._stored[:2] != place[:2] or end > self._stored[2]:
                self._stored = place

    def _halve(self):
        self._limit = max(_MIN_REQUEST_BYTES, self._limit // 2)

    async def run(self, pulse):
        """Send for ever: at once when something is recorded, a heartbeat otherwise, backing off while nobody answers."""
        backoff_ms = 0
        self._http.close()  # this task may have crashed within a request
        while True:
            pulse()
            if not self._may_send():
                await asyncio.sleep_ms(_LOOK_MS)
                continue
            if self._urgent:
                self._hurry.clear()
            self._door.recorded.clear()
            self._began_ms = self._clock.uptime_ms()
            try:
                more = await self.exchange()
            except (OSError, HttpError, asyncio.TimeoutError) as error:
                if self._failed(error):
                    continue
                backoff_ms = min(_MAX_BACKOFF_MS, max(_FIRST_BACKOFF_MS, backoff_ms * 2))
                if self._urgent:
                    backoff_ms = min(backoff_ms, _URGENT_BACKOFF_MS)
                spread = int.from_bytes(self._random(2), "little")
                await self._rest(pulse, backoff_ms // 2 + (backoff_ms * spread >> 17))
                continue
            backoff_ms = self._timeouts = 0
            if self._took_ms() < _QUICK_MS:
                self._limit = min(_MAX_REQUEST_BYTES, self._limit * 2)
            self._online = True
            self._http.proved()
            self._links.answered(self._bytes())
            if not more:
                self._urgent = self._hurry.is_set()  # one that came meanwhile
                if self._http.tls:
                    await self._http.tls.keep_time()
                await self._idle(pulse)

    def _may_send(self):
        """True when there is a link that may be used, and a TLS handshake, if one is due, does not meet a card."""
        if not self._links.up():
            self._online = False
            self._http.close()
            return False
        calm = self._urgent or self._door.silence_ms() >= _CALM_MS
        return self._links.allowed(self._urgent) and (calm or not self._http.tls or self._http.connected())

    def _bytes(self):
        """What went over the link since the last time somebody asked."""
        count, self._http.bytes = self._http.bytes, 0
        return count

    def _failed(self, error):
        """A request came to nothing; True when it is to be sent again at once, over a new connection."""
        timed_out = isinstance(error, asyncio.TimeoutError)
        # The other side had hung up since the last one, as it may.
        stale = self._http.kept and not timed_out and self._took_ms() < _QUICK_MS
        self._http.close()
        if stale:
            return True
        self.failures += 1
        self._online = False
        self._links.unanswered(self._bytes())
        why = error.args[0] if isinstance(error, HttpError) and error.args else ""
        if why and why not in self._told:
            self._told.append(why)
            self._report("uplink: " + why)
        self._timeouts = self._timeouts + 1 if timed_out else 0
        if self._timeouts >= 2 or self._took_ms() >= _QUICK_MS:
            self._halve()  # what is slow is to be answered before its link is taken for dead
        return False

    def _took_ms(self):
        """How long the last request has taken."""
        return self._clock.uptime_ms() - self._began_ms

    async def _rest(self, pulse, ms):
        """Back off: until something urgent comes, or the link wants a word."""
        while ms > 0 and not self._links.due():
            pulse()
            if await happens(self._hurry, min(ms, _LOOK_MS)):
                break
            ms -= _LOOK_MS

    async def _idle(self, pulse):
        """Wait until there is something to send, and for others to join; a heartbeat, or a word for the link, at the latest."""
        now = self._clock.uptime_ms
        start = now()
        first = None  # when the first record came
        while not self._hurry.is_set():
            pulse()
            if first is None and self._door.recorded.is_set():
                first = now()
            metered = self._links.metered()
            if first is not None and not metered:
                await happens(self._hurry, _GATHER_MS)
                return
            if first is not None and now() - first >= self._metered_wait_ms:
                return
            if now() - start >= self._heartbeat_ms or self._links.due() or not self._links.up():
                return
            await happens(self._hurry if first is not None else self._door.recorded, _LOOK_MS)
