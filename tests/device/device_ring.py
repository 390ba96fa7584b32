"""The ring inside MicroPython: full rings, failing sectors, strangers' bytes; power cuts are in device_torture.py."""

import random

import records
from binascii import unhexlify
from journal import seal
from journal import ring as journal
from journal.ring import Ring
from nor import Nor

DEVICE = b"\0\0\xa0\xb1\xc2\xd3\xe4\xf5"
DEVICE_KEY = bytes(range(32))
# The collector's key pair is the vectors'; here only its public half is needed.
COLLECTOR = unhexlify("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254")


def epoch_of(number):
    """An epoch without the cost of a key agreement: its name and keys are drawn from its number."""
    public = seal.Mac(b"public").of(bytes((number & 255, number >> 8)))
    return seal.Epoch(public, seal.hkdf(b"", public, b"keys", 80))


def random_bytes(n):
    return bytes(random.getrandbits(8) for _ in range(n))


class Boot:
    """One boot of a board on this flash."""

    def __init__(self, flash, number, overwrite=False):
        self.epoch = epoch_of(number)
        self.ring = Ring(flash, DEVICE, overwrite, random_bytes)
        self.ring.recover()
        self.ring.begin_epoch(self.epoch, self.intro)

    def intro(self, buffer, at):
        return records.boot(buffer, at, 5, 1, "test", 1)

    def scan(self, n):
        """Append scan number n as the station would; True when it may be signalled."""
        plain = bytearray(80)
        end = records.scan(plain, 0, n, 0, 3, 1, records.id_digits(b"%018d" % n))
        if not self.ring.accepts(80, journal.EVENT):
            self.ring.prepare()
        return self.ring.append(memoryview(plain)[:end], journal.EVENT)


def decode(flash, epochs):
    """Every scan number that opens, in the order of the ring, by walking frames as a collector would."""
    found = []
    order = []
    for index in range(flash.sectors):
        ring = Ring(flash, DEVICE, False, None)
        head = ring.header(index)
        if head:
            order.append((head[1], index, bytes(head[3])))
    for sequence, index, key in sorted(order):
        offset = 64
        while offset < 4096:
            length = ring.frame_at(index, offset)
            if length <= 0:
                offset += 1  # a burnt frame: the collector tries each next offset
                continue
            frame = bytes(ring._back[:length])
            if frame[0] == 0xFE:
                key = frame[1:33]
            elif key in epochs:
                n = frame[0]
                check = bytearray(frame)
                generation = ring.header(index)[0]
                # Sealing is its own inverse but for the tag: decrypt, seal again, compare.
                epochs[key].seal(check, 0, n, generation, sequence, offset)
                plain = bytes(check[1 : 1 + n])
                again = bytearray(frame)
                again[1 : 1 + n] = plain
                epochs[key].seal(again, 0, n, generation, sequence, offset)
                if bytes(again) == frame and plain[0] == 3:
                    found.append(number_of(plain))
                elif bytes(again) != frame:
                    offset += 1
                    continue
            offset += length
    return found


def number_of(plain):
    at = 1
    while plain[at] & 128:
        at += 1
    return int.from_bytes(plain[at + 4 :], "big")


def test_a_head_full_to_its_last_byte_at_the_end_of_the_partition():
    flash = Nor(2)
    ring = Boot(flash, 1).ring
    while ring.sequence < 2 or ring.offset < 4096 - 250:
        ring.prepare()
        assert ring.append(b"\x07" * 60, journal.INCIDENT)
    assert ring.append(b"\x07" * (4096 - ring.offset - 11), journal.INCIDENT) and ring.offset == 4096
    again = Boot(flash, 2).ring
    assert again.sequence == 2 and again.offset == 4096


def test_full_ring_refuse_keeps_one_sector_for_incidents():
    flash = Nor(4)
    boot = Boot(flash, 1)
    n = 0
    while boot.scan(n):
        n += 1
    ring = boot.ring
    assert ring.full()
    before = bytes(flash.data)
    assert not boot.scan(n), "a full ring takes no scan"
    assert bytes(flash.data) == before, "nothing is erased for it"
    assert not ring.append(b"\x07\x01\x01note", journal.TELEMETRY)
    ring.prepare()
    assert ring.append(b"\x08\x01\x01\x01\x01", journal.INCIDENT)
    first = ring.header(0)
    ring.release(0, first[1])
    ring.release(1, 2)
    assert boot.scan(n), "released space is used again"
    assert ring.lost == 0


def test_full_ring_overwrite_drops_the_oldest_and_counts():
    flash = Nor(4)
    boot = Boot(flash, 1, overwrite=True)
    for n in range(900):
        assert boot.scan(n)
    ring = boot.ring
    assert ring.lost == ring.sequence - 4 or ring.lost == ring.sequence - 3
    assert not ring.append(b"\x07\x01\x01" + b"n" * 230, journal.TELEMETRY) or ring.offset < 4096
    found = decode(flash, {boot.epoch.public: boot.epoch})
    assert found == list(range(found[0], 900))
    assert not ring.full()


def test_telemetry_never_displaces():
    flash = Nor(3)
    boot = Boot(flash, 1, overwrite=True)
    n = 0
    while boot.ring.sequence < 3:
        boot.scan(n)
        n += 1
    kept = len(decode(flash, {boot.epoch.public: boot.epoch}))
    for _ in range(100):
        boot.ring.append(b"\x07\x01\x01" + b"n" * 200, journal.TELEMETRY)
        assert boot.ring.lost == 0
    assert len(decode(flash, {boot.epoch.public: boot.epoch})) == kept


def test_boot_alone_writes_nothing():
    flash = Nor(4)
    for n in range(30):
        boot = Boot(flash, n)
        if boot.ring.wants_erase() and boot.ring.offset == 4096 and flash.programmed_bytes:
            raise AssertionError("a boot with room in the head wants an erase")
    assert flash.programmed_bytes == 0


def test_failing_program_is_never_signalled():
    """A sector that stops taking programs: the record goes into the next, or is refused."""
    flash = Nor(6)
    boot = Boot(flash, 1)
    for n in range(100):
        assert boot.scan(n)
    flash.worn.add(boot.ring.index(boot.ring.sequence))
    beeped = list(range(100))
    for n in range(100, 130):
        if boot.scan(n):
            beeped.append(n)
    assert len(beeped) > 120
    assert decode(flash, {boot.epoch.public: boot.epoch}) == beeped


def test_sector_that_does_not_erase_is_skipped():
    flash = Nor(4)
    flash.worn.add(1)
    boot = Boot(flash, 1)
    beeped = [n for n in range(300) if boot.scan(n)]
    assert beeped and boot.ring.unusable == 1
    assert decode(flash, {boot.epoch.public: boot.epoch}) == beeped


def test_silent_program_failure():
    """The chip says nothing, but the bytes are not there: read-back notices."""

    class Silent(Nor):
        broken = False

        def writeblocks(self, block, buffer, offset=None):
            if not self.broken:
                Nor.writeblocks(self, block, buffer, offset)

    flash = Silent(4)
    boot = Boot(flash, 1)
    assert boot.scan(1)
    flash.broken = True
    assert not boot.scan(2)
    flash.broken = False
    assert boot.scan(3)
    assert decode(flash, {boot.epoch.public: boot.epoch}) == [1, 3]


def test_random_bytes_everywhere():
    flash = Nor(5)
    for i in range(len(flash.data)):
        flash.data[i] = (i * 7919 >> 3) & 0xFF
    boot = Boot(flash, 1)
    ring = boot.ring
    assert bytes(ring.state) == bytes((journal.DAMAGED,)) * 5
    assert not boot.scan(1), "data nobody has seen is not erased under refuse"
    for index in range(5):
        ring.release(index, 0)
    assert boot.scan(1)


def test_cut_header_is_not_data():
    """A header cut while it was programmed, nothing behind it: its sector is free, and its number is used."""
    flash = Nor(4)
    boot = Boot(flash, 1)
    for n in range(140):
        boot.scan(n)
    sequence = boot.ring.sequence
    assert sequence == 1 or sequence == 2
    index = boot.ring.index(sequence + 1)
    flash.data[index * 4096 : index * 4096 + 20] = b"CHT1" + bytes(16)
    again = Boot(flash, 2)
    assert again.ring.sequence == sequence
    assert again.ring.state[index] == 0


def test_damaged_sector_keeps_its_number():
    flash = Nor(5)
    boot = Boot(flash, 1)
    n = 0
    while boot.ring.sequence < 3:
        boot.scan(n)
        n += 1
    flash.data[2 * 4096 + 4] ^= 1  # the head's header rots
    again = Boot(flash, 2)
    assert again.ring.sequence == 2 and again.ring.state[2] == journal.DAMAGED
    while again.ring.sequence == 2:
        assert again.scan(n)
        n += 1
    assert again.ring.sequence == 4, "number 3 is never used twice"


def test_no_position_twice():
    """Over boots and sector changes, no (epoch, generation, sequence, offset) is ever sealed twice."""
    flash = Nor(4)
    seen = set()
    for number in range(6):
        boot = Boot(flash, number, overwrite=True)
        original = boot.epoch.seal

        def watched(buffer, at, n, generation, sequence, offset, original=original, public=boot.epoch.public):
            for o in range(offset + 1, offset + 1 + n):
                place = (public[:4], generation, sequence, o)
                assert place not in seen, place
            seen.add((public[:4], generation, sequence, offset + 1))
            return original(buffer, at, n, generation, sequence, offset)

        boot.epoch.seal = watched
        for n in range(60):
            assert boot.scan(n)


def test_recovery_reads_little_of_a_full_journal():
    class Counting(Nor):
        read_bytes = 0

        def readblocks(self, block, buffer, offset=0):
            self.read_bytes += len(buffer)
            Nor.readblocks(self, block, buffer, offset)

    flash = Counting(8)
    boot = Boot(flash, 1, overwrite=True)
    while boot.ring.lost < 3:
        boot.scan(1)
    flash.read_bytes = 0
    ring = Ring(flash, DEVICE, True, None)
    ring.recover()
    assert flash.read_bytes <= 8 * 64 + 5 * 4096, flash.read_bytes


def test_a_broken_first_frame_hides_nothing_behind_it():
    """A head whose first frame no longer checks is no head without frames: what beeped behind it must stay."""
    flash = Nor(4)
    boot = Boot(flash, 1)
    for n in range(60):
        assert boot.scan(n)
    flash.data[70] ^= 1
    again = Boot(flash, 2)
    assert again.ring.sequence == 1 and again.ring.offset == 4096, "closed, not opened anew"
    assert again.scan(1000)
    found = decode(flash, {boot.epoch.public: boot.epoch, again.epoch.public: again.epoch})
    assert found == list(range(60)) + [1000]


def test_an_open_head_is_never_the_next_sector():
    """With nothing else left but damaged sectors, the head itself is not what gets erased."""
    for overwrite in (False, True):
        flash = Nor(4)
        boot = Boot(flash, 1, overwrite)
        assert boot.scan(1)
        for index in (1, 2, 3):
            boot.ring.state[index] = journal.DAMAGED if overwrite else 4
        beeped = [1]
        for n in range(2, 260):
            if boot.scan(n):
                beeped.append(n)
        assert len(beeped) > 200, "the space of damaged sectors serves again"
        found = decode(flash, {boot.epoch.public: boot.epoch})
        assert found == beeped


def test_what_is_asked_every_second_allocates_next_to_nothing():
    """8 MiB of journal: a copy of its states each second is what a fragmented heap cannot give."""
    import gc

    boot = Boot(Nor(4), 1)
    boot.ring.state = bytearray(2048)
    boot.ring.state[7] = journal.UNRELEASED
    boot.ring.state[9] = journal.DAMAGED
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    assert boot.ring.unreleased() == 2 and not boot.ring.full()
    assert gc.mem_alloc() - before < 512, gc.mem_alloc() - before
    gc.enable()
