"""Lists inside MicroPython: lookups, headers of every kind of wrong, a new list across power cuts and failing sectors."""

import json
import os
import random
import struct

import listing
from binascii import crc32, unhexlify
from listing import KEY, Sent, card, deny_file, fingerprint, place
from nor import Nor
from scanner import lists as module
from scanner.lists import Lists
from scanner.listwriter import ListError, Writer
from torn import ERASE_FAILS, ERASE_LEAVES, PROGRAM_FAILS, PROGRAM_LEAVES, PowerCut, TornNor, points

SECTORS = 6  # two halves of a header and two sectors each
CARDS = 520  # just above what one sector takes
_NOTES_BYTES = 1024  # of the first sector of a half: what may be programmed over what a power cut left there


class ListNor(TornNor):
    """The flash of the torture, as a lists partition."""

    def again(self, index, offset):
        return index % (SECTORS // 2) == 0 and offset < _NOTES_BYTES


def flash_with(*files):
    flash = Nor(8)
    for half, file in enumerate(files):
        if file:
            place(flash, half, file)
    return flash


def refused(flash, sent):
    try:
        Writer(Lists(flash, KEY), sent.version, len(sent.file), sent.digest)
    except ListError as error:
        return str(error)
    raise AssertionError("taken")


# Lookups


def test_what_stands_for_a_card():
    found = Lists(Nor(8), KEY).fingerprint(2, b"\x0c\x0a\xb8\x1e\xf6\x40")
    assert found == listing.hmac(KEY, b"\x02\x0c\x0a\xb8\x1e\xf6\x40")[:8] and len(found) == 8


def test_no_list_says_neither_yes_nor_no():
    lists = Lists(Nor(8), KEY)
    assert (lists.version, lists.count, lists.kind, lists.half) == (0, 0, 0, -1)
    assert lists.denied(*card(1)) is None and lists.allowed(*card(1)) is None


def test_deny_is_exact():
    flash = flash_with(deny_file(3, range(100, 500)))
    lists = Lists(flash, KEY)
    assert (lists.version, lists.count, lists.kind, lists.half) == (3, 400, module.DENY, 0)
    for number in range(700):
        assert lists.denied(*card(number)) is (100 <= number < 500), number
    assert lists.denied(1, card(200)[1]) is False, "the same number in another scheme is another card"
    assert lists.allowed(*card(200)) is None
    assert Lists(flash_with(deny_file(1, [])), KEY).denied(*card(1)) is False, "an empty list denies nobody"


def test_every_bucket_boundary():
    """A bucket may begin and end anywhere in a window: crowded ones span several, and each entry is found."""
    lists = Lists(Nor(8), KEY)
    rest = [bytes((first, 1)) + os.urandom(6) for first in range(0, 256, 3)]
    crowd = [bytes((77, 2)) + os.urandom(6) for _ in range(193 - 2)]
    body, section = listing.deny_section(rest + crowd)
    place(lists.flash, 0, listing.header(1, body, ((section, len(body)),)) + body)
    lists.load()
    reads = Reads(lists.flash)
    lists.flash = reads
    for wanted in rest + crowd + [bytes((first, 0)) + b"abcdef" for first in range(256)]:
        lists.fingerprint = lambda scheme, packed, wanted=wanted: wanted
        reads.count = 0
        assert lists.denied(0, b"") is (wanted in rest or wanted in crowd)
        assert reads.count <= 8, reads.count


def test_bytes_across_two_entries_are_nobodys():
    """The search may find them in the window: only what stands in an entry's own place counts."""
    pair = [b"\x4d\1aaa\x4d\x4d\1", b"\x4d\1bbbbbb"]
    across = (pair[0] + pair[1])[6:14]
    assert across[0] == pair[0][0], "of the same bucket"
    body, section = listing.deny_section(pair)
    lists = Lists(flash_with(listing.header(1, body, ((section, len(body)),)) + body), KEY)
    for wanted, found in ((pair[0], True), (across, False), (pair[1], True)):
        lists.fingerprint = lambda scheme, packed, wanted=wanted: wanted
        assert lists.denied(0, b"") is found


class Reads:
    """A flash that counts reads."""

    def __init__(self, flash):
        self.flash = flash
        self.count = 0

    def readblocks(self, block, buffer, offset=0):
        self.count += 1
        assert offset + len(buffer) <= 4096, "a read over the end of a sector"
        self.flash.readblocks(block, buffer, offset)


def test_allow_and_deny_in_one_file():
    """A filter worked out by hand: one card, so two of its bytes are 0 and the third is the card's check byte."""
    deny, deny_fields = listing.deny_section([fingerprint(5)])
    wanted = fingerprint(7)
    words = struct.unpack(">4H", wanted)
    check = wanted[2] & 0xE0 | (wanted[4] & 0xE0) >> 3 | wanted[6] >> 6
    for seed in (0, 1, 255):
        cells = bytearray(5 << 8)
        place_2 = (words[0] * 3 >> 16) + 1 << 8 | words[2] + (words[0] + check) * seed & 0xFF
        cells[place_2] = check
        body = deny + bytes(cells)
        sections = ((deny_fields, len(deny)), ((2, 8, seed, 1), len(cells)))
        lists = Lists(flash_with(listing.header(9, body, sections) + body), KEY)
        assert (lists.version, lists.count, lists.kind) == (9, 2, module.DENY | module.ALLOW)
        assert lists.allowed(*card(7)) is True and lists.denied(*card(7)) is False
        assert lists.denied(*card(5)) is True
        others = [lists.allowed(*card(number)) for number in range(1000, 1400)]
        assert True not in others[:20] and others.count(True) < 12, "an empty place matches one check byte in 256"


def test_a_lookup_takes_next_to_nothing_of_the_heap():
    import gc

    lists = Lists(flash_with(deny_file(3, range(300))), KEY)
    scheme, packed = card(12)
    lists.denied(scheme, packed)
    gc.collect()
    before = gc.mem_alloc()
    lists.denied(scheme, packed)
    assert gc.mem_alloc() - before < 1500, gc.mem_alloc() - before


def test_the_golden_file():
    """The host's file, with what it says of each card written down: every scheme, and cards that the filter takes wrongly."""
    files = listing.__file__.rsplit("/", 2)[0] + "/formats/golden/lists-v1."
    with open(files + "txt") as file:
        cells = b"".join(unhexlify(line.split()[1]) for line in file)
    with open(files + "json") as file:
        wanted = json.load(file)
    lists = Lists(flash_with(None, cells), unhexlify(wanted["list_key"]))
    assert (lists.version, lists.kind, lists.half) == (wanted["version"], module.DENY | module.ALLOW, 1)
    for one in wanted["cards"]:
        card_ = one["scheme"], unhexlify(one["id"])
        assert lists.fingerprint(*card_) == unhexlify(one["fingerprint"])
        assert lists.denied(*card_) is one["denied"] and lists.allowed(*card_) is one["allowed"], one
    assert len(wanted["cards"]) > 80


# Headers


def test_the_newer_half_is_in_force():
    for files, half, version in (
        ((deny_file(3, [1]), deny_file(4, [2])), 1, 4),
        ((deny_file(5, [1]), deny_file(4, [2])), 0, 5),
        ((None, deny_file(4, [2])), 1, 4),
    ):
        lists = Lists(flash_with(*files), KEY)
        assert (lists.half, lists.version) == (half, version)
        assert lists.denied(*card(2)) is (half == 1)


def test_a_foreign_key_a_wrong_kind_a_damaged_header():
    other = bytes(reversed(KEY))
    assert Lists(flash_with(deny_file(3, [1], other)), KEY).version == 0
    assert Lists(flash_with(deny_file(3, [1], other)), other).version == 3
    body, fields = listing.deny_section([fingerprint(1)])
    for name, section, size in (
        ("kind 3", (3, 6, 0, 1), len(body)),
        ("kind 0 that holds something", (0, 6, 0, 1), len(body)),
        ("index of 32", (1, 5, 0, 1), len(body)),
        ("index too long", (1, 19, 0, 1), len(body)),
        ("more cards than bytes", (1, 6, 0, 33), len(body)),
        ("segments too short", (2, 7, 0, 1), len(body)),
        ("segments too long", (2, 14, 0, 1), len(body)),
        ("two segments", (2, 8, 0, 1), len(body)),
        ("size is not whole windows", fields, len(body) - 8),
        ("shorter than the body", fields, len(body) - 256),
    ):
        file = listing.header(3, body, ((section, size),)) + body
        assert Lists(flash_with(file), KEY).version == 0, name
    file = listing.header(3, body + body, ((fields, len(body)), (fields, len(body)))) + body + body
    assert Lists(flash_with(file), KEY).version == 0, "two deny lists"
    for version in (0, 1 << 30, 0xFFFFFFFF):
        assert Lists(flash_with(listing.header(version, body, ((fields, len(body)),)) + body), KEY).version == 0
    long = body + bytes(4096 * 3)
    assert Lists(flash_with(listing.header(3, long, ((fields, len(long)),))), KEY).version == 0, "longer than its half"
    file = deny_file(3, [1])
    for bit in range(8 * 64):
        flipped = bytearray(file)
        flipped[bit // 8] ^= 1 << bit % 8
        assert Lists(flash_with(flipped), KEY).version == 0, bit


def test_header_fuzz():
    """Garbage with a CRC that holds, garbage behind a good header: never an exception, never more than eight reads."""
    flash = Nor(8, seed=11)
    base = deny_file(3, range(50))
    believed = 0
    for turn in range(3000):
        file = bytearray(base)
        for _ in range(random.randrange(1, 4)):
            # Every byte of the header; then those that may be anything; then the list behind it.
            at = random.choice((random.randrange(60), random.choice((4, 5, 8, 9, 16, 31, 32)), random.randrange(64, len(file))))
            file[at] = random.choice((0, 1, 2, 6, 8, 13, 255, random.getrandbits(8)))
        file[60:64] = struct.pack("<I", crc32(file[:60]))
        place(flash, 0, file)
        lists = Lists(flash, KEY)
        believed += lists.version > 0
        reads = lists.flash = Reads(lists.flash)
        for number in (7, 1000):
            reads.count = 0
            assert lists.denied(*card(number)) in (True, False, None)
            assert lists.allowed(*card(number)) in (True, False, None)
            assert reads.count <= 8
    assert 300 < believed < 2700, believed
    for _ in range(300):
        flash = Nor(2)
        flash.data[:64] = flash.data[4096:4160] = os.urandom(64)
        assert Lists(flash, KEY).version == 0


# A new list


def old_and_new(seed=1, kind=ListNor):
    """A torn flash on which version 1 has come into force as a board takes it, and version 2, to be sent."""
    random.seed(seed)
    flash = kind(SECTORS)
    for index in range(SECTORS):  # what earlier lists left
        flash._program(index, bytes(random.getrandbits(8) for _ in range(4096)), 0)
    first = Sent(1, deny_file(1, range(CARDS)))
    first.to(Writer(Lists(flash, KEY), 1, len(first.file), first.digest))
    return flash, first, Sent(2, deny_file(2, range(1000, 1000 + CARDS)))


def in_force(flash, *sent):
    """The version in force, the bytes of its whole body being those of the file: never a mixture."""
    lists = Lists(flash, KEY)
    for one in sent:
        if one.version == lists.version:
            body = bytearray(len(one.file) - 64)
            view = memoryview(body)
            for at in range(0, len(body), 256):
                place_ = (lists.half * SECTORS // 2 + 1) * 4096 + at
                flash.readblocks(place_ // 4096, view[at : at + 256], place_ % 4096)
            assert body == one.file[64:], "version %d is not whole" % one.version
            first = 0 if one.version == 1 else (one.version - 1) * 1000
            assert lists.denied(*card(first + 7)) is True and lists.denied(*card(first + 999)) is False
            return one.version
    raise AssertionError("no list is in force: version %d" % lists.version)


def send(flash, sent):
    sent.bytes_sent = 0
    sent.to(Writer(Lists(flash, KEY), sent.version, len(sent.file), sent.digest))


def test_a_new_list_takes_the_other_half():
    flash, first, second = old_and_new()
    third = Sent(3, deny_file(3, range(2000, 2000 + CARDS)))
    assert in_force(flash, first) == 1
    lists = Lists(flash, KEY)
    half = lists.half
    watched = []
    flash.watch = lambda flash, index, data, offset: watched.append((index, data))
    second.to(Writer(lists, 2, len(second.file), second.digest))
    assert lists.version == 2 and lists.half == 1 - half, "the board's own view has switched, too"
    assert in_force(flash, first, second) == 2
    touched = {index // 3 for index, data in watched if data is None}
    assert touched == {1 - half}, "only the other half is erased"
    assert len([1 for index, data in watched if data is None]) == 3, "each of its sectors once"
    send(flash, third)
    assert in_force(flash, first, second, third) == 3


def test_only_erase_erases_and_one_sector_a_turn():
    flash, first, second = old_and_new()
    writer = Writer(Lists(flash, KEY), 2, len(second.file), second.digest)
    erased = []
    flash.watch = lambda flash, index, data, offset: data is None and erased.append(index)
    while writer.offset < writer.size:
        if writer.wants_erase():
            at = writer.offset
            writer.write(second.file[at : at + 64])
            assert writer.offset == at and not erased, "nothing is taken before the erase"
            writer.erase()
            assert len(erased) == 1
            writer.erase()
            assert len(erased) == 1 and not writer.wants_erase(), "one a turn"
            del erased[:]
        else:
            writer.write(second.file[writer.offset : writer.offset + 700])
            assert not erased
    while writer.verify() is None:
        assert not erased
    assert not erased


def test_what_is_not_taken():
    flash, first, second = old_and_new()
    operations = flash.operations
    assert "not above" in refused(flash, Sent(1, first.file))
    assert "not above" in refused(flash, Sent(0, first.file))
    assert "do not fit" in refused(flash, Sent(2, bytes(64)))
    assert "do not fit" in refused(flash, Sent(2, bytes(64 + 2 * 4096 + 1)))
    assert flash.operations == operations
    foreign = Sent(2, deny_file(2, range(CARDS), bytes(32)))
    wrong_version = Sent(2, deny_file(3, range(CARDS)))
    longer = Sent(2, second.file + bytes(256))
    for sent in (foreign, wrong_version, longer, Sent(2, os.urandom(5000))):
        try:
            send(flash, sent)
        except ListError as error:
            assert str(error) == "not a list for this board"
        else:
            raise AssertionError
        assert in_force(flash, first) == 1
    send(flash, second)
    assert in_force(flash, second) == 2


def test_other_bytes_than_announced():
    """Whole by its own CRC or not: what the centre did not announce does not come into force, and is not gone on with."""
    flash, first, second = old_and_new()
    other = Sent(2, deny_file(2, range(1000, 1000 + CARDS - 1)))
    assert len(other.file) == len(second.file)
    damaged = bytearray(second.file)
    damaged[-300] ^= 4
    for file in (other.file, bytes(damaged)):
        second.file, good = file, second.file
        try:
            send(flash, second)
        except ListError as error:
            assert str(error) == "not what was announced"
        else:
            raise AssertionError
        second.file = good
        assert in_force(flash, first) == 1
        assert Writer(Lists(flash, KEY), 2, len(good), second.digest).offset == 0
    announced = Sent(2, bytes(damaged))  # announced as it is, but its own CRC does not hold
    try:
        send(flash, announced)
    except ListError:
        pass
    else:
        raise AssertionError
    send(flash, second)
    assert in_force(flash, first, second) == 2


def test_a_restart_goes_on_where_it_was():
    flash, first, second = old_and_new()
    size = len(second.file)
    for stop in (0, 10, 64, 65, 4000, 4160, 4200, size - 1):
        writer = Writer(Lists(flash, KEY), 2, size, second.digest)
        assert writer.offset <= stop or stop < 64
        while writer.offset < stop:
            if writer.wants_erase():
                writer.erase()
            else:
                writer.write(second.file[writer.offset : min(stop, writer.offset + 512)])
        assert in_force(flash, first) == 1
    writer = Writer(Lists(flash, KEY), 2, size, second.digest)
    assert writer.offset == 64 + 4096, "the sector that was under way is written anew"
    other = Sent(3, deny_file(3, range(2000, 2000 + CARDS)))
    assert Writer(Lists(flash, KEY), 3, len(other.file), other.digest).offset == 0, "another list starts over"
    second.bytes_sent = 0
    second.to(writer)
    assert second.bytes_sent == size - 64 - 4096
    assert in_force(flash, first, second) == 2


def cuts(seed):
    """Cut the second list's way into flash at every point of every operation; each fork recovers, goes on, and is cut again."""
    flash, first, second = old_and_new(seed)
    third = Sent(3, deny_file(3, range(2000, 2000 + CARDS)))
    forks = []
    operations = [0]

    def watch(flash, index, data, offset):
        for point in points(data, offset):
            fork = flash.copy()
            fork.watch = None
            random.seed(seed * 10_000 + len(forks))
            fork.tear(index, data, offset, point)
            forks.append((operations[0], point, fork))
        operations[0] += 1

    flash.watch = watch
    second.to(Writer(Lists(flash, KEY), 2, len(second.file), second.digest))
    flash.watch = None
    outcomes = {1: 0, 2: 0}
    for operation, point, fork in forks:
        try:
            outcomes[after_a_cut(fork, first, second, third)] += 1
        except Exception as error:
            print("seed %d, operation %d, %s" % (seed, operation, point))
            raise error
    assert operations[0] >= 13 and len(forks) > 4 * operations[0] and all(outcomes.values())


def after_a_cut(flash, first, second, third):
    for _ in range(8):  # undecided cells: whatever is read, a list is in force, and whole
        version = in_force(flash, first, second)
    newest = second if random.randrange(3) else third  # the same list again, or already a newer one
    for turn in range(3):  # and again in the dark
        flash.cut_in = random.randrange(20)
        flash.cut_place = random.randrange(16)
        try:
            send(flash, newest)
        except PowerCut:
            pass
        except ListError as error:
            assert "not above" in str(error), error  # it is in force already, read by read
        flash.cut_in = None
        for _ in range(4):
            in_force(flash, first, second, third)
    for _ in range(9):  # a header that reads right only sometimes may be refused once as not newer
        try:
            send(flash, newest)
        except ListError as error:
            assert "not above" in str(error), error
    assert in_force(flash, newest) == newest.version
    last = Sent(4, deny_file(4, range(3000, 3000 + CARDS)))
    send(flash, last)
    assert in_force(flash, last) == 4
    return version


def test_power_cuts_at_every_operation():
    """CHOT_TORTURE=full: 25 times, with other torn bits, other lists and other second cuts."""
    for seed in range(25 if os.getenv("CHOT_TORTURE") == "full" else 3):
        cuts(seed)


def test_a_header_that_reads_right_only_sometimes():
    """What it put into force is not to be gone once the other half, whole until then, is given up for a newer list."""
    flash, first, second = old_and_new()
    lists = Lists(flash, KEY)
    second.to(Writer(lists, 2, len(second.file), second.digest))
    start = 3 * lists.half
    clear = ~second.file[20] & 0xFF
    flash.loose[start] = {20: clear & -clear}  # one cell that a torn program left undecided
    read = [Lists(flash, KEY).version for _ in range(30)]
    assert 1 in read and 2 in read
    while lists.version != 2:
        lists.load()
    third = Sent(3, deny_file(3, range(2000, 2000 + CARDS)))
    writer = Writer(lists, 3, len(third.file), third.digest)
    writer.erase()
    for _ in range(100):
        assert in_force(flash, second) == 2


class Sticky(ListNor):
    """Keeps the first 64 bytes of a sector that is erased, and says nothing."""

    sticky = False

    def _erase(self, index):
        kept = bytes(self.cells[index * 4096 : index * 4096 + 64])
        super()._erase(index)
        if self.sticky:
            self.cells[index * 4096 : index * 4096 + 64] = kept


def test_an_old_header_that_will_not_go():
    """It would claim a body that is being written: nothing else of that half is touched before it has gone."""
    flash, first, second = old_and_new(1, Sticky)
    send(flash, second)
    flash.sticky = True
    third = Sent(3, deny_file(3, range(2000, 2000 + CARDS)))
    lists = Lists(flash, KEY)
    touched = []
    flash.watch = lambda flash, index, data, offset: touched.append((index, data))
    try:
        third.to(Writer(lists, 3, len(third.file), third.digest))
    except ListError as error:
        assert str(error) == "flash does not keep it"
    else:
        raise AssertionError
    assert {index for index, data in touched if data is None} == {0 if lists.half else 3}
    assert in_force(flash, second) == 2


def test_failing_sectors():
    for fault in (ERASE_FAILS, ERASE_LEAVES, PROGRAM_FAILS, PROGRAM_LEAVES):
        for sector in (0, 1, 2):
            flash, first, second = old_and_new(7)
            lists = Lists(flash, KEY)
            bad = (0 if lists.half else SECTORS // 2) + sector
            flash.faults[bad] = fault
            try:
                send(flash, second)
                assert fault == ERASE_LEAVES, "taken by a sector that fails"  # it may leave nothing that matters
                assert in_force(flash, first, second) == 2
            except ListError as error:
                assert str(error) == "flash does not keep it", error
                assert in_force(flash, first) == 1
            del flash.faults[bad]
            if in_force(flash, first, second) == 1:
                send(flash, second)
            assert in_force(flash, second) == 2


class Weakens:
    """Makes one program fail in silence: the one that is this many programs away."""

    def __init__(self, turn):
        self.turn = turn

    def operation(self, flash, index, data, offset):
        if data is not None:
            self.turn -= 1
            flash.weak = 1 if self.turn == 0 else 0


def test_one_program_that_fails_is_written_anew():
    flash, first, second = old_and_new(3)
    for turn in range(2, 14):
        fork = flash.copy()
        fork.watch = Weakens(turn).operation
        try:
            send(fork, second)
        except ListError:
            assert in_force(fork, first) == 1
            fork.watch = None
            send(fork, second)
        fork.watch = None
        assert in_force(fork, second) == 2, turn
