"""A board as the collector's tests need one: it seals records into sectors and makes requests of them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from host_tools.formats import records
from host_tools.formats.keys import collector_key_id, collector_public, epoch_keys, request_key
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, epoch_frame, seal
from host_tools.formats.wire import Piece, build_request

COLLECTOR = bytes(range(32, 64))


@dataclass
class Board:
    """Appends records as a board does: one open sector, an epoch a boot. `pieces` is all it has, in order."""

    number: int = 1
    collector: bytes = COLLECTOR
    generation: int = 0xC0FFEE01
    sequence: int = 1
    uptime_ms: int = 0
    epochs: int = 0
    data: bytearray = field(default_factory=bytearray)
    done: list[Piece] = field(default_factory=list)
    lsns: list[int] = field(default_factory=list)
    epoch_public: bytes = b""

    def __post_init__(self) -> None:
        self.device_id = b"\0\0" + self.number.to_bytes(6, "big")
        self.device_key = hashlib.sha256(b"board %d" % self.number).digest()
        self.new_epoch()
        self.sector_key = self.epoch_public

    def new_epoch(self, cause: int | None = None, salt: bytes = b"") -> None:
        """Make a key pair; if records exist already, write its frame. With a cause, write the BOOT record too."""
        self.epochs += 1
        private = hashlib.sha256(b"epoch %d %d" % (self.number, self.epochs) + salt).digest()
        self.epoch_public = collector_public(private)
        self.keys = epoch_keys(self.device_key, self.collector, self.epoch_public)
        if self.data:
            self.data += epoch_frame(self.epoch_public)
        else:
            self.sector_key = self.epoch_public
        if cause is not None:
            if cause != records.CAUSE_NEW_KEY:
                self.uptime_ms = 0
            self.append(kind=records.BOOT, cause=cause, version="1.0.0", config=3)

    def next_sector(self, skip: int = 0) -> None:
        """Close the sector and open the next."""
        if self.data:
            self.done.append(self.piece())
        self.data = bytearray()
        self.sequence += 1 + skip
        self.sector_key = self.epoch_public

    def piece(self) -> Piece:
        """The open sector's bytes."""
        return Piece(self.generation, self.sequence, self.sector_key, HEADER_BYTES, bytes(self.data))

    def pieces(self) -> list[Piece]:
        """All that was written."""
        return [*self.done, self.piece()] if self.data else list(self.done)

    def raw(self) -> bytes:
        """The open sector whole."""
        head = Header(self.generation, self.sequence, self.device_id, self.sector_key).pack()
        return (head + self.data).ljust(SECTOR_BYTES, b"\xff")

    def append(self, *, after_ms: int = 0, **fields: object) -> int:
        """Seal a record; returns its lsn."""
        self.uptime_ms += after_ms
        return self.append_plaintext(records.encode({"uptime_ms": self.uptime_ms, **fields}))

    def append_plaintext(self, plaintext: bytes) -> int:
        """Seal a plaintext; returns its lsn."""
        if HEADER_BYTES + len(self.data) + len(plaintext) + 11 > SECTOR_BYTES:
            self.next_sector()
        offset = HEADER_BYTES + len(self.data)
        self.data += seal(self.keys, self.generation, self.sequence, offset, plaintext)
        self.lsns.append(self.sequence * SECTOR_BYTES + offset)
        return self.lsns[-1]

    def scan(
        self, card: str, *, after_ms: int = 1000, verdict: int = records.RECORDED, scheme: int = 1, reader: int = 0
    ) -> int:
        """Record a card."""
        return self.append(after_ms=after_ms, kind=records.SCAN, reader=reader, verdict=verdict, scheme=scheme, id=card)

    def clock(self, unix_ms: int, *, error_ms: int = 20, source: int = 3, after_ms: int = 0) -> int:
        """Record the time."""
        return self.append(
            after_ms=after_ms, kind=records.CLOCK, unix_ms=unix_ms, error_ms=error_ms, source=source
        )

    def request(self, pieces: list[Piece] | None = None, nonce: bytes | None = None) -> bytes:
        """A request of these pieces, or of all."""
        return build_request(
            self.device_id,
            collector_key_id(collector_public(self.collector)),
            self.epoch_public,
            nonce or os.urandom(8),
            self.pieces() if pieces is None else pieces,
            request_key(self.device_key),
        )
