"""The flash of a board under torture, as the checks see it: what it holds, and whether an operation on it is allowed."""

import struct
from binascii import crc32

import plain_list
from plain_list import Lost, Tally
from torn import MARK, SECTOR

RELEASED, UNUSABLE = 2, 5  # states of a sector in the ring
HEAD_BYTES = 64
AHEAD_BYTES = 1024  # the next sector is erased when less than this is left of the head


class Watched:
    """Looks at every flash operation of `self.ring`, which a subclass makes, before it takes effect."""

    def __init__(self, flash, model, sealed, overwrite, tally=None, column=Tally.WORKLOAD):
        self.flash = flash
        self.model = model
        self.sealed = sealed
        self.overwrite = overwrite
        self.tally = tally or Tally()
        self.column = column
        self.formatting = False
        self.reading = False  # a request is being read
        self.fresh = None  # the kind of the first append of this boot or key, until it is made
        self.rank = None  # the kind of the append that is under way
        self.kinds = []  # of the last flash operation
        self.unmarked = 0  # sectors erased that bore no release mark
        self.on_operation = None
        flash.watch = self._watch

    def done(self, *kinds):
        self.tally.done(self.column, *kinds)

    def sector(self, index):
        data = bytearray(SECTOR)
        self.flash.readblocks(index, data, 0)
        return bytes(data)

    def named(self, index, data):
        """(sequence, generation, key) that this sector's header says, or None."""
        magic, generation, sequence, _, key, check = struct.unpack("<4sII8s32sI", data[:56])
        if magic == b"CHT1" and crc32(data[:52]) == check and (sequence - 1) % self.flash.sectors == index:
            return sequence, generation, key
        return None

    def contents(self):
        """[(sequence, generation, numbers)] of every sector with a valid header, in the order of the ring."""
        found = []
        for index in range(self.flash.sectors):
            data = self.sector(index)
            head = self.named(index, data)
            if head:
                sequence, generation, key = head
                found.append((sequence, generation, self.sealed.read(data[HEAD_BYTES:], key, generation, sequence, HEAD_BYTES)))
        return sorted(found)

    def holds(self, index):
        """The numbers in this sector, whatever its header says."""
        data = self.sector(index)
        head = self.named(index, data)
        if head:
            return set(self.sealed.read(data[HEAD_BYTES:], head[2], head[1], head[0], HEAD_BYTES))
        return set(self.sealed.anywhere(data))

    def check(self):
        """Nothing signalled is lost, nothing is invented or there twice, order is kept."""
        by_generation = {}
        there = set()
        for _, generation, numbers in self.contents():
            by_generation.setdefault(generation, []).extend(numbers)
            there.update(numbers)
        for numbers in by_generation.values():
            for before, after in zip(numbers, numbers[1:]):
                if before >= after:
                    raise Lost("order: %d before %d" % (before, after))
        for number in self.model.kept:
            if number not in there and number not in self.model.arrived:
                raise Lost("record %d was signalled and is nowhere" % number)
        return there

    def _watch(self, flash, index, data, offset):
        """Before each operation: may this sector be erased? Then whoever tears operations gets its turn."""
        self.kinds = self._kinds(index, data, offset)
        self.done(*self.kinds)
        if data is None and not self.formatting:
            self._may_erase(index)
        if self.on_operation:
            self.on_operation(self, index, data, offset)
        if data is None and not self.formatting:
            self.model.forget(self.holds(index))

    def _kinds(self, index, data, offset):
        """What a flash operation is to the journal."""
        if data is None:
            return [plain_list.FORMAT if self.formatting else self._erase_kind(index)]
        if offset == 0:
            return [plain_list.HEADER]
        if offset == MARK:
            return [plain_list.MARK]
        kinds = [self.rank]
        if self.fresh:
            kinds.append(self.fresh)
        if self.reading:
            kinds.append(plain_list.READING)
        ring = self.ring
        if ring.full() or (self.overwrite and ring.unreleased() >= ring.sectors - 1):
            kinds.append(plain_list.FULL)
        return kinds

    def _erase_kind(self, index):
        data = self.sector(index)
        head = self.named(index, data)
        if head is None:
            return plain_list.RESCUED if data[HEAD_BYTES:].rstrip(b"\xff") else plain_list.REUSE
        if data[MARK] == 0 or self.ring.state[index] == RELEASED:
            return plain_list.REUSE
        return plain_list.EMPTY if head[0] == self.ring.sequence else plain_list.DROP

    def _may_erase(self, index):
        """The firmware erases this sector; what goes with it must be allowed to go."""
        model, ring = self.model, self.ring
        data = self.sector(index)
        if data[MARK] or not self.named(index, data) or index in self.flash.loose:
            self.unmarked += 1
        numbers = self.holds(index)
        waiting = model.waiting(numbers)
        if not waiting:
            return
        if not self.overwrite:
            raise Lost("sector %d erased with %d records nobody has" % (index, len(waiting)))
        model.overwritten += 1
        if ring.offset <= SECTOR - AHEAD_BYTES:
            raise Lost("a sector dropped while %d bytes of the head are left" % (SECTOR - ring.offset))
        turn = ring.index(ring.sequence + 1)  # a sector's place follows from its number, so the ring takes them in turn
        while turn != index:
            if ring.state[turn] != UNUSABLE:
                raise Lost("sector %d dropped, sector %d is nearer: states %s" % (index, turn, list(ring.state)))
            turn = (turn + 1) % ring.sectors
        for sequence, generation, others in self.contents():
            older = set(others) - numbers
            if any(number < waiting[0] for number in model.waiting(older)):
                raise Lost("sector %d dropped before sequence %d, which is older" % (index, sequence))
