"""Boot loops inside MicroPython: a supply that comes every ten seconds for thirty days wears out no sector."""

import records
from journal import ring as journal
from journal import seal
from journal.ring import Ring
from nor import Nor

DEVICE = b"\0\0\xa0\xb1\xc2\xd3\xe4\xf5"
SECTORS = 8
BOOTS = 30 * 86400 // 10 * SECTORS // 320  # as many a sector as the journal of a 4 MiB board would see
MOST_ERASES = 1000
# What a boot has to say before it ends: a card, what the centre's first answer brings, neither, or a bit of all.
SILENT, CARD, TOLD, MIXED = range(4)


class Loop:
    """Boots of one board; each does what Station.run() does with the journal until the supply goes."""

    def __init__(self, overwrite, says, answered):
        self.flash = Nor(SECTORS)
        self.overwrite = overwrite
        self.says = says
        self.answered = answered  # whether the collector takes what there is
        self.boots = self.kept = self.refused = 0
        self.plain = bytearray(240)

    def boot(self):
        self.boots += 1
        says = self.says if self.says != MIXED else self.boots % 3
        ring = Ring(self.flash, DEVICE, self.overwrite, lambda n: b"\1" * n)
        ring.recover()
        key = bytearray(80)
        key[0] = self.boots & 255
        epoch = seal.Epoch(self.boots.to_bytes(32, "big"), key)
        ring.begin_epoch(epoch, lambda buffer, at: records.boot(buffer, at, 5, 1, "a boot loop", 1))
        if ring.wants_erase():
            while ring.wants_erase():
                ring.prepare()
            self.append(ring, journal.EVENT, records.note, 239, records.INFO, "new sector")
        if says == CARD:
            if self.append(ring, journal.EVENT, records.scan, 0, 3, 1, records.id_digits(b"%018d" % self.boots)):
                self.kept += 1
            else:
                self.refused += 1
        elif says == TOLD:
            self.append(ring, journal.TELEMETRY, records.clock, 1_800_000_000_000 + self.boots, 20, 3)
            self.append(ring, journal.TELEMETRY, records.health, [(key, 12345) for key in range(1, 16)])
        if ring.wants_erase():  # a turn at the gate comes
            ring.prepare()
        if self.answered:
            for index in range(SECTORS):
                if ring.state[index] == journal.UNRELEASED and ring.closed(index):
                    ring.release(index, ring.header(index)[1])

    def append(self, ring, rank, encode, *fields):
        end = encode(self.plain, 0, 4500, *fields)
        return ring.append(memoryview(self.plain)[:end], rank)


def loop(overwrite, says, answered):
    """The most erases of a sector, and all of them, in the whole of a boot loop."""
    it = Loop(overwrite, says, answered)
    for _ in range(BOOTS):
        it.boot()
    erases = it.flash.erases
    print(
        "overwrite %d, says %d, answered %d: %d boots, %d cards kept, %d refused; erases of a sector %d at most"
        % (overwrite, says, answered, it.boots, it.kept, it.refused, max(erases))
    )
    assert max(erases) <= MOST_ERASES, erases
    return it


def test_boots_that_have_nothing_to_say():
    """Wherever the head stands, nearly full and in its last bytes too: at most one sector is made ready, and then used."""
    for overwrite in (False, True):
        for cards in (0, 5, 35, 38, 41, 44, 45, 46):
            it = Loop(overwrite, CARD, True)
            for _ in range(cards):
                it.boot()
            it.says = SILENT
            before = sum(it.flash.erases)
            for _ in range(BOOTS if cards == 41 else 100):
                it.boot()
            assert sum(it.flash.erases) - before <= 1, (cards, before, it.flash.erases)


def test_a_card_in_every_boot():
    it = loop(False, CARD, True)
    assert it.kept == BOOTS and it.refused == 0


def test_a_card_in_every_boot_while_nobody_answers():
    it = loop(False, CARD, False)
    assert it.refused > BOOTS // 2, "the ring is full for most of it"
    before = sum(it.flash.erases)
    for _ in range(50):
        it.boot()
    assert sum(it.flash.erases) == before, "a full ring erases nothing"
    assert loop(True, CARD, False).kept == BOOTS


def test_what_the_centre_tells_in_every_boot():
    loop(False, TOLD, True)
    loop(True, TOLD, False)


def test_boots_of_every_kind():
    loop(False, MIXED, True)
    loop(True, MIXED, False)
