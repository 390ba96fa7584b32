"""The collector of the torture, as the shipper's Http sees it: it stores, or not, and while it listens cards are shown."""

import asyncio
import json
import struct

import plain_list
import uplink.shipper
from plain_list import Lost
from torn import SECTOR
from uplink.http import Http, HttpError

# What becomes of a request. While it is read: two cards come (`appending`), or a crowd (`flooded`).
ANSWERS = (None, "lost", "half", "appending", "unreachable", "flooded")
_FLOOD = 40  # cards that are enough for a sector change or two


class _Now:
    """asyncio for the shipper, without a loop: a fork of the world may send in the middle of another's request."""

    TimeoutError = OSError
    Event = asyncio.Event

    @staticmethod
    async def wait_for_ms(awaitable, timeout_ms):
        return await awaitable

    between = None  # what happens while sectors are released

    @staticmethod
    async def sleep_ms(ms):
        if _Now.between:
            _Now.between()


uplink.shipper.asyncio = _Now


def finish(coroutine):
    """Run a coroutine that waits for nothing; returns its value."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise Lost("the shipper waits for something")


class Way:
    """The links, which are up."""

    def asking(self):
        pass

    moving = asking


class Centre:
    """One request after the other, of the board of this world."""

    def __init__(self, world):
        self.world = world
        self.buffer = Http.buffer
        self.answer = None
        self.late = None  # a reply that has not come yet
        self._crowd = 0

    async def post(self, path, length, send):
        world = self.world
        request = bytearray()

        async def write(data):
            request.extend(data)
            while self._crowd and len(request) > 100:
                self._crowd -= 1
                lost = world.ring.lost
                if not world.scan() or world.ring.lost != lost:
                    self._crowd = 0
                if self.answer == "appending":
                    break

        self._crowd = {"appending": 2, "flooded": self._flood()}.get(self.answer, 0)
        cells, loose = bytes(world.flash.cells), set(world.flash.loose)
        world.reading = True
        try:
            await send(write)
        except HttpError:
            world.done(plain_list.OVERTAKEN)
            raise
        finally:
            world.reading = False
        if len(request) != length:
            raise Lost("announced %d bytes, sent %d" % (length, len(request)))
        if self.answer == "unreachable":
            world.done(plain_list.NOBODY)
            raise HttpError
        stored = self._store(bytes(request), cells, loose)
        body = b"\x01" + bytes(request[45:53]) + json.dumps({"stored": stored}).encode()
        body = bytearray(body + world.epoch.reply_mac.of(body))
        if self.answer == "lost":
            self.late = body
            world.done(plain_list.UNHEARD)
            return b"500", b""
        world.done(plain_list.HALF if self.answer == "half" else plain_list.STORED)
        return b"200", body

    def _flood(self):
        """Enough cards to overwrite a sector where the next one is not free and the head is nearly full, else few."""
        ring = self.world.ring
        full = self.world.overwrite and ring.unreleased() >= ring.sectors - 1
        return _FLOOD if full and ring.offset > 2800 else 3

    def _store(self, request, cells, loose):
        """Take in what was asked to, and compare it with what the flash held when the request was planned."""
        world = self.world
        at, pieces = 53, []
        while at < len(request) - 32:
            generation, sequence, key, offset, length = struct.unpack("<II32sHH", request[at : at + 44])
            pieces.append((generation, sequence, key, offset, request[at + 44 : at + 44 + length]))
            at += 44 + length
        if self.answer == "half":
            pieces = pieces[: len(pieces) // 2]
        for generation, sequence, key, offset, data in pieces:
            if not sequence:
                world.done(plain_list.RAW)
                world.model.arrived.update(world.sealed.anywhere(data))
                continue
            index = (sequence - 1) % world.flash.sectors
            start = index * SECTOR + offset
            if index not in loose and cells[start : start + len(data)] != data:
                raise Lost("a request carries what sequence %d does not hold" % sequence)
            world.model.arrived.update(world.sealed.read(data, key, generation, sequence, offset))
        return len(pieces)

    def exchange(self, shipper, answer):
        """One request; True while there is more to send."""
        self.answer = answer
        # A card comes between one release and the next as well.
        _Now.between = self.world.scan if answer == "appending" else None
        undecided = self.world.flash.undecided_reads
        try:
            more = finish(shipper.exchange())
        except HttpError:
            more = False
        finally:
            _Now.between = None
        if self.world.flash.undecided_reads != undecided:
            self.world.done(plain_list.UNDECIDED_SEND)
        return more

    def late_reply(self, shipper):
        if self.late:
            finish(shipper._accept(self.late))
            self.late = None
