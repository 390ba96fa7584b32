"""What the torture compares the journal with: plain lists of what was sealed, signalled and received, and what was done."""

from binascii import crc32

from journal import seal

_HEAD, _FRAME_OVERHEAD, _EPOCH_FRAME = 64, 11, 35
_ERASED = b"\xff" * 250


class Lost(Exception):
    """A promise of the journal was broken."""


class Sealed:
    """Every frame that was ever sealed: bytes -> (epoch, generation, sequence, offset, number or None)."""

    def __init__(self):
        self.frames = {}
        self.older = {}  # of the world that this one was forked from
        self.epochs = 0
        self.number = None
        self.plain = None
        self._lengths = bytearray(256)  # 1: frames with so many bytes of ciphertext were sealed
        self._ends = {}

    def fork(self):
        """For a world of its own: its epochs are nobody else's, and what was sealed before it is known to it."""
        other = Sealed()
        other.older = self.frames
        other._lengths = bytearray(self._lengths)
        other.epochs = self.epochs + 1_000_000
        return other

    def known(self, frame):
        return self.frames.get(frame) or self.older.get(frame)

    def epoch(self):
        """A new epoch whose seal() is watched; no position may be sealed twice under one key."""
        self.epochs += 1
        public = seal.Mac(b"public").of(self.epochs.to_bytes(4, "little"))
        epoch = seal.Epoch(public, bytearray(public + public + public)[:80])
        original = epoch.seal

        def watched(buffer, at, n, generation, sequence, offset):
            place = (public, generation, sequence)
            if offset < self._ends.get(place, _HEAD):
                raise Lost("a position sealed twice under one key: sequence %d offset %d" % (sequence, offset))
            self._ends[place] = offset + n + _FRAME_OVERHEAD
            number = self.number if bytes(buffer[at + 1 : at + 1 + n]) == self.plain else None
            self._lengths[n] = 1
            length = original(buffer, at, n, generation, sequence, offset)
            self.frames[bytes(buffer[at : at + length])] = (public, generation, sequence, offset, number)
            return length

        epoch.seal = watched
        return epoch

    def read(self, data, key, generation, sequence, offset):
        """The numbers in these bytes, in order, read as the collector does; the first lies at `offset` of its sector."""
        found = []
        at = 0
        stop = len(data.rstrip(b"\xff"))
        data = data + _ERASED  # a piece ends before the 0xFF that a last frame may end with
        while at < stop:
            n = data[at]
            if n == 0xFE and at + _EPOCH_FRAME <= len(data):
                end = at + _EPOCH_FRAME
                if crc32(data[at : end - 2]) & 0xFFFF == data[end - 2] | data[end - 1] << 8:
                    key = data[at + 1 : at + 33]
                    at = end
                    continue
            else:
                end = at + n + _FRAME_OVERHEAD
                known = self.known(data[at:end])
                if known and known[:4] == (key, generation, sequence, offset + at):
                    if known[4] is not None:
                        found.append(known[4])
                    at = end
                    continue
            at += 1
        return found

    def anywhere(self, data):
        """The numbers of all frames in these bytes, whatever stands around them: what a quarantined sector holds."""
        found = []
        lengths = self._lengths
        for at in range(_HEAD, len(data.rstrip(b"\xff"))):
            n = data[at]
            known = self.known(data[at : at + n + _FRAME_OVERHEAD]) if lengths[n] else None
            if known and known[4] is not None:
                found.append(known[4])
        return found


class Model:
    """The plain lists: what was signalled as recorded and must still be somewhere, what arrived, what was ever tried."""

    def __init__(self):
        self.kept = []  # signalled, in order; leaves only when it has arrived and is erased, or is overwritten
        self.arrived = set()
        self.next = 0
        self.overwritten = 0  # sectors with kept records that were dropped for newer ones

    def copy(self):
        other = Model()
        other.kept = list(self.kept)
        other.arrived = set(self.arrived)
        other.next = self.next
        return other

    def waiting(self, numbers):
        """Those of `numbers` that were signalled and that nobody but the board has."""
        return [number for number in self.kept if number in numbers and number not in self.arrived]

    def forget(self, numbers):
        """The sector that holds these is erased."""
        if numbers:
            self.kept = [number for number in self.kept if number not in numbers]


# The kinds of operation of a journal, in the order of the table. `*`: under `overwrite` only, `-`: under `refuse` only.
CARD, TELEMETRY, INCIDENT = "append: card", "append: note, clock", "append: incident, change"
FIRST, RENEWED = "append: first of a boot", "append: first under a new key"
READING, FULL = "append: while a request is read", "append: in a full ring"
HEADER, MARK = "sector change", "release mark"
REUSE, DROP, RESCUED, EMPTY = (
    "erase: released or blank", "* erase: unreleased, dropped", "erase: damaged", "erase: head without a frame"
)
FORMAT, BOOT = "format, sector by sector", "boot, recovery"
_CUT = (CARD, TELEMETRY, INCIDENT, FIRST, RENEWED, READING, FULL, HEADER, MARK, REUSE, DROP, RESCUED, EMPTY, FORMAT, BOOT)
# Nothing is programmed or erased in these, so there is nothing to cut.
RENEWAL, REFUSED = "epoch renewal", "- full ring: card refused"
STORED, UNHEARD, HALF = "request: stored, heard", "request: reply lost or late", "request: stored in part"
NOBODY, RAW, OVERTAKEN = "request: nobody there", "request: with a raw piece", "* request: overwritten meanwhile"
FAILED = "program or erase that fails"
UNDECIDED_BOOT, UNDECIDED_SEND = "undecided cells met in recovery", "undecided cells met by a request"
UNDECIDED_HEADER, UNDECIDED_MARK = "undecided cells left in a header", "undecided cells left in a mark"
BROWNOUTS = "brown-outs in the erase at boot"
_DONE = (
    RENEWAL, REFUSED, STORED, UNHEARD, HALF, NOBODY, RAW, OVERTAKEN, FAILED,
    UNDECIDED_BOOT, UNDECIDED_SEND, UNDECIDED_HEADER, UNDECIDED_MARK, BROWNOUTS,
)


class Tally:
    """How often each kind of operation was done and cut, in the workload and in what follows a cut."""

    WORKLOAD, AFTER_CUT = 0, 1

    def __init__(self):
        self.counts = {kind: [0, 0, 0, 0] for kind in _CUT + _DONE}

    def done(self, column, *kinds):
        for kind in kinds:
            self.counts[kind][column] += 1

    def cut(self, column, kinds):
        for kind in kinds:
            self.counts[kind][2 + column] += 1

    def table(self, overwrite):
        """The lines of the table, and the kinds that are missing: done too rarely, or never cut."""
        rows = ["%-34s %9s %9s %9s %9s" % ("", "workload", "after cut", "cut", "cut again")]
        missing = []
        for kind in _CUT + _DONE:
            if kind[0] == ("-" if overwrite else "*"):
                continue
            counts = self.counts[kind]
            rows.append("%-34s %9d %9d" % (kind, counts[0], counts[1]))
            if kind in _CUT:
                rows[-1] += " %9d %9d" % (counts[2], counts[3])
            if counts[0] + counts[1] < AT_LEAST or (kind in _CUT and not counts[2] + counts[3]):
                missing.append(kind)
        return rows, missing

    def operations(self):
        """Operations of the journal in the workload: appends, sectors opened, erased and marked, boots, new keys, requests."""
        kinds = (CARD, TELEMETRY, INCIDENT, HEADER, MARK, REUSE, DROP, RESCUED, EMPTY, FORMAT, BOOT, RENEWAL, REFUSED)
        return sum(self.counts[kind][0] for kind in kinds + (STORED, UNHEARD, HALF, NOBODY))


AT_LEAST = 3  # times that each kind must have been done
