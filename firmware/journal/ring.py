"""The ring of flash sectors: recovery at boot, append with read-back, erase ahead of need, release (docs/formats.md)."""

import struct
from binascii import crc32

from micropython import const

SECTOR_BYTES = const(4096)
HEADER_BYTES = const(64)
_SEQUENCE_OFFSET = const(8)
_RELEASE_OFFSET = const(56)
_EPOCH_MARK = const(0xFE)  # frames: see seal.py
_EPOCH_FRAME_BYTES = const(35)
_OVERHEAD_BYTES = const(11)
_MAX_PLAINTEXT_BYTES = const(239)
_AHEAD_BYTES = const(1024)  # the next sector is erased when less than this is left of the head
_LONGEST_SCAN_BYTES = const(78)  # kind, uptime, reader and verdict, scheme, 65 bytes of id
_LONGEST_BOOT_BYTES = const(64)
_CHUNK_BYTES = const(504)  # eight of them, and a sector is read
_TAIL_READS = const(8)  # cells touched by a power cut may read as blank once and not again
# State of a sector.
_FREE = const(0)
UNRELEASED = const(1)
RELEASED = const(2)
DAMAGED = const(3)  # programmed, but its header does not check: goes out once, raw
_DAMAGED_SENT = const(4)
_UNUSABLE = const(5)

# Rank of a record: what it may displace when the ring is full.
TELEMETRY = const(0)  # HEALTH, NOTE, CLOCK: never displaces unreleased data
EVENT = const(1)  # SCAN and what else people do
INCIDENT = const(2)  # INCIDENT and CHANGE: one sector is kept for them under the policy `refuse`

_MAGIC = b"CHT1"
# The CRC of bytes that end with their own CRC is one number: compared with it, no big integer is made for each header.
_CRC_OF_WHOLE = const(0x2144DF1C)
_CRC_BYTE_2 = const(0xD9)  # of it, where only the lower half of the CRC stands behind the bytes
_CRC_BYTE_3 = const(0x41)
_BLANK = memoryview(b"\xff" * _CHUNK_BYTES)
_HEADER = "<4sII8s32s"
_ERASE = const(6)  # ioctl operations of a MicroPython block device
_COUNT = const(4)


class Ring:
    """The journal partition as a ring.

    `flash` is an esp32.Partition (blocks of 4096 bytes); `device_id` 8 bytes; `overwrite` the operator's choice for a
    full ring (else refuse); `random` gives n random bytes. Call recover(), then begin_epoch(), then append().
    """

    def __init__(self, flash, device_id, overwrite, random):
        self.flash = flash
        self.sectors = flash.ioctl(_COUNT, 0)
        self.state = bytearray(self.sectors)
        self.generation = 0
        self.sequence = 0  # of the head; 0: no sector has been opened yet
        self.offset = SECTOR_BYTES  # append position in the head; 4096: the head is closed
        self.key = None  # public key in force at the append position
        self.lost = 0  # sectors overwritten before they were released; whoever streams one starts over when this changes
        self.unusable = 0
        self._device_id = device_id
        self._overwrite = overwrite
        self._random = random
        self._reopen = 0  # sequence of a head that holds nothing and is to be erased and opened again
        self._ready = 0  # sequence whose sector this boot has erased
        self.epoch = None
        self._intro = None
        self._frames = bytearray(_EPOCH_FRAME_BYTES + 2 * (_OVERHEAD_BYTES + _MAX_PLAINTEXT_BYTES))
        # Views made once: recovery reads thousands of times, and must not fill the heap with slices.
        self._back = memoryview(bytearray(len(self._frames)))
        self._first = self._frame = self._back[:1]
        self._sum = bytearray(4)
        self._head = self._back[:HEADER_BYTES]
        self._magic = self._back[:4]
        self._checked = self._back[:56]

    # Reading

    def index(self, sequence):
        return (sequence - 1) % self.sectors

    def _sequence(self, index):
        """Sequence of a sector, whose header lies in the read buffer then; 0 where no header checks."""
        head = self._head
        self.flash.readblocks(index, head, 0)
        sequence = head[8] | head[9] << 8 | head[10] << 16 | head[11] << 24
        if self._magic != _MAGIC or crc32(self._checked) != _CRC_OF_WHOLE or self.index(sequence) != index:
            return 0
        return sequence

    def header(self, index):
        """(generation, sequence, released, public key) of a sector, or None where no header checks."""
        sequence = self._sequence(index)
        if not sequence:
            return None
        head = self._head
        return struct.unpack_from("<I", head, 4)[0], sequence, head[_RELEASE_OFFSET] == 0, head[20:52]

    def _blank(self, index, start):
        """True when every byte of the sector from `start` on reads 0xFF."""
        while start < SECTOR_BYTES:
            n = min(_CHUNK_BYTES, SECTOR_BYTES - start)
            chunk = self._back[:n]
            self.flash.readblocks(index, chunk, start)
            if chunk != _BLANK[:n]:
                return False
            start += n
        return True

    def holds(self, index, sequence):
        """True while this sector has not been erased for another sequence."""
        self.flash.readblocks(index, self._sum, _SEQUENCE_OFFSET)
        return self._sum == sequence.to_bytes(4, "little")

    def end(self, index):
        """Offset behind the last programmed byte of a sector; of the head, the append position."""
        if self.sequence and index == self.index(self.sequence) and self.offset < SECTOR_BYTES:
            return self.offset
        return self._programmed(index)

    def _programmed(self, index):
        stop = SECTOR_BYTES
        chunk = self._back
        while stop > HEADER_BYTES:
            start = max(HEADER_BYTES, stop - 256)
            n = stop - start
            self.flash.readblocks(index, chunk[:n], start)
            used = len(bytes(chunk[:n]).rstrip(b"\xff"))
            if used:
                return start + used
            stop = start
        return HEADER_BYTES

    def frame_at(self, index, offset):
        """Length of the valid frame at this place (it lies in the read buffer then), 0 where it is blank, -1 where broken."""
        if offset >= SECTOR_BYTES:
            return 0  # full to its last byte: behind the partition's last sector nothing can be read
        self.flash.readblocks(index, self._first, offset)
        n = self._first[0]
        if n == 0xFF:
            return 0
        length = _EPOCH_FRAME_BYTES if n == _EPOCH_MARK else n + _OVERHEAD_BYTES
        if n == 0 or _MAX_PLAINTEXT_BYTES < n < _EPOCH_MARK or offset + length > SECTOR_BYTES:
            return -1
        frame = self._frame
        if len(frame) != length:
            frame = self._frame = self._back[:length]
        self.flash.readblocks(index, frame, offset)
        struct.pack_into("<I", self._sum, 0, crc32(frame))
        return length if self._sum[2] == _CRC_BYTE_2 and self._sum[3] == _CRC_BYTE_3 else -1

    def walk(self, index, offset, key, limit):
        """Follow whole frames from `offset` while they end at or before `limit`.

        Returns (offset, key in force there); the first frame is taken whatever its length, so a caller moves on.
        """
        start = offset
        while True:
            length = self.frame_at(index, offset)
            if length <= 0 or (offset > start and offset + length > limit):
                return offset, key
            if self._back[0] == _EPOCH_MARK:
                key = bytes(self._back[1:33])
            offset += length

    # Recovery

    def recover(self):
        """Read every header, find the head and the place where append goes on. Writes nothing."""
        best = 0
        for index in range(self.sectors):
            sequence = self._sequence(index)
            if sequence:
                self.state[index] = UNRELEASED if self._head[_RELEASE_OFFSET] else RELEASED
                best = max(best, sequence)
            else:
                # A header alone, cut while it was programmed, is not data; anything behind it is.
                self.state[index] = _FREE if self._blank(index, HEADER_BYTES) else DAMAGED
        self.sequence = best
        if best:
            found = self.header(self.index(best))
            if found is None:
                self.recover()  # cells touched by a power cut read otherwise now: this header is none
                return
            self.generation = found[0]
            self.key = bytes(found[3])
            self._recover_head(self.index(best))

    def _recover_head(self, index):
        self.offset, self.key = self.walk(index, HEADER_BYTES, self.key, SECTOR_BYTES)
        if self.offset == HEADER_BYTES and not any(
            self.frame_at(index, at) > 0 for at in range(HEADER_BYTES, self._programmed(index))
        ):
            # No valid frame at all, behind a broken first one neither: opened again under its own number, so that a
            # brown-out loop does not eat the ring.
            self._reopen = self.sequence
            self.state[index] = _FREE
            self.offset = SECTOR_BYTES
            return
        # What is appended behind a release mark would never be sent: it must read blank as often as the tail.
        opened = self.state[index] != RELEASED
        for _ in range(_TAIL_READS):
            unmarked = self._sequence(index) and self._head[_RELEASE_OFFSET] == 0xFF
            opened = opened and unmarked and self._blank(index, self.offset)
        if not opened:
            self.offset = SECTOR_BYTES

    # Writing

    def begin_epoch(self, epoch, intro):
        """Seal with `epoch` from now on. `intro(buffer, at)` writes the BOOT record's plaintext and returns its end."""
        self.epoch = epoch
        self._intro = intro

    def _following(self, sequence):
        """(sequence, index) of the next sector that may be opened after `sequence`, or (0, …).

        A damaged sector that was sent (under `overwrite`, any) is passed over while a free or released one comes before
        the oldest unreleased one. Else it is taken: so a brown-out in each boot's erase tears the same sector again, and
        no further one.
        """
        spare = 0
        for _ in range(self.sectors):
            sequence += 1
            index = self.index(sequence)
            state = self.state[index]
            if state == _DAMAGED_SENT or (state == DAMAGED and self._overwrite):
                spare = spare or sequence
            elif state == UNRELEASED and spare:
                break
            elif state <= RELEASED and self.closed(index):
                return sequence, index
        return spare, self.index(spare)

    def _next(self):
        """(sequence, index) of the sector to open next, or (0, …) when none will do."""
        if self._reopen and self.state[self.index(self._reopen)] == _FREE:
            return self._reopen, self.index(self._reopen)
        return self._following(self.sequence)

    def _spare(self, sequence):
        """True when a sector can be opened after `sequence` without losing unreleased data."""
        sequence, index = self._following(sequence)
        return sequence != 0 and self._unsent(index) is False

    def _unsent(self, index):
        return self.state[index] == UNRELEASED or self.state[index] == DAMAGED

    def _allowed(self, sequence, rank):
        """May a record of this rank be written into the sector `sequence`?"""
        if rank == INCIDENT or (rank == EVENT and self._overwrite):
            return True
        return self._spare(sequence)

    def _need(self, n):
        """Bytes that a record of n plaintext bytes takes, its epoch's introduction included where that is still due."""
        need = n + _OVERHEAD_BYTES
        if self._intro:
            need += _LONGEST_BOOT_BYTES + _OVERHEAD_BYTES
        if self.key != self.epoch.public:
            need += _EPOCH_FRAME_BYTES
        return need

    def accepts(self, n, rank):
        """True when append() of n plaintext bytes at this rank needs no erase and is allowed."""
        if self.epoch is None:
            return False
        if self.offset + self._need(n) <= SECTOR_BYTES:
            return self._allowed(self.sequence, rank)
        return self._ready != 0 and self._allowed(self._ready, rank)

    def full(self):
        """True when the policy `refuse` turns scans away for want of a released sector."""
        if self._overwrite:
            return False
        sequence = self.sequence
        if self.offset + self._need(_LONGEST_SCAN_BYTES) > SECTOR_BYTES:
            sequence = self._ready or self._next()[0]
            if sequence == 0 or self._unsent(self.index(sequence)):
                return True
        return not self._spare(sequence)

    def wants_erase(self, rank=EVENT):
        """True when prepare() has something to erase for records of this rank: the caller then asks for the flash gate."""
        if self._ready or self.epoch is None or self.offset <= SECTOR_BYTES - _AHEAD_BYTES:
            return False
        sequence, index = self._next()
        if sequence == 0 or (self._unsent(index) and not self._overwrite):
            return False
        if self._intro:
            # Nothing said since boot: a loop of boots must not wear out a sector that is not needed, or takes nothing.
            room = self.offset + self._need(_LONGEST_SCAN_BYTES) <= SECTOR_BYTES
            return not room and self._allowed(sequence, rank)
        return True

    def prepare(self, rank=EVENT):
        """Erase the sector that comes next (45 to 400 ms); only through the flash gate. True when one is ready.

        One erase a call: a sector that fails is given up, and the next one waits for its own turn at the gate.
        """
        if self.wants_erase(rank):
            sequence, index = self._next()
            if self._unsent(index):
                self.lost += 1
            try:
                self.flash.ioctl(_ERASE, index)
                self.state[index] = _FREE
                self._ready = sequence
            except OSError:
                self._give_up(index)
        return self._ready != 0

    def _give_up(self, index):
        self.state[index] = _UNUSABLE
        self.unusable += 1

    def _write(self, index, data, offset):
        """Program bytes and read them back; True when they are there."""
        back = self._back[: len(data)]
        try:
            self.flash.writeblocks(index, data, offset)
            self.flash.readblocks(index, back, offset)
        except OSError:
            return False
        return back == data

    def _open(self):
        """Program the header of the sector that prepare() has erased; False when it will not take it."""
        sequence = self._ready
        self._ready = 0
        index = self.index(sequence)
        if not self.sequence:
            self.generation = int.from_bytes(self._random(4), "little")
        header = bytearray(b"\xff" * HEADER_BYTES)  # all of it is read back: an erase may have failed and left a release mark
        struct.pack_into(
            _HEADER, header, 0, _MAGIC, self.generation, sequence, self._device_id, self.epoch.public
        )
        struct.pack_into("<I", header, 52, crc32(memoryview(header)[:52]))
        self._reopen = 0
        for passed in range(self.sequence + 1, sequence):
            if self.state[self.index(passed)] == _DAMAGED_SENT:
                self.state[self.index(passed)] = _FREE
        self.sequence = sequence
        if not self._write(index, header, 0):
            self._give_up(index)
            self.offset = SECTOR_BYTES
            return False
        self.state[index] = UNRELEASED
        self.offset = HEADER_BYTES
        self.key = self.epoch.public
        return True

    def append(self, plaintext, rank):
        """Seal `plaintext` (1 to 239 bytes), program it and read it back. True: it is recorded and may be signalled.

        False: nothing may be signalled as recorded; a sector that failed is closed, and prepare() finds another.
        """
        n = len(plaintext)
        while self.accepts(n, rank):
            if self.offset + self._need(n) > SECTOR_BYTES and not self._open():
                continue
            epoch = self.epoch
            frames = self._frames
            at = 0
            if self.key != epoch.public:
                at = epoch.frame(frames, 0)
            if self._intro:
                intro = self._intro(frames, at + 1) - at - 1
                at += epoch.seal(frames, at, intro, self.generation, self.sequence, self.offset + at)
            frames[at + 1 : at + 1 + n] = plaintext
            at += epoch.seal(frames, at, n, self.generation, self.sequence, self.offset + at)
            if self._write(self.index(self.sequence), memoryview(frames)[:at], self.offset):
                self.offset += at
                self.key = epoch.public
                self._intro = None
                return True
            self.offset = SECTOR_BYTES  # burnt: closed, and sealed anew in the next
        return False

    # Release

    def closed(self, index):
        return self.offset == SECTOR_BYTES or index != self.index(self.sequence)

    def release(self, index, sequence):
        """The collector has every programmed byte of this closed sector (sequence 0: of a damaged one)."""
        if sequence == 0:
            self.state[index] = _DAMAGED_SENT
            return
        found = self.header(index)
        if found is None or found[1] != sequence or not self.closed(index):
            return
        # A mark that does not take is no loss: the sector is sent again after the next boot.
        self._write(index, b"\0", _RELEASE_OFFSET)
        self.state[index] = RELEASED

    def unreleased(self):
        """Number of sectors that hold data the collector has not confirmed."""
        return self.state.count(b"\x01") + self.state.count(b"\x03")  # UNRELEASED, DAMAGED
