"""The station inside MicroPython: record first, then the beep; what the lamp says; the chores; the next day's key."""

import asyncio

import records
from clock import Clock
from device_ring import Boot, decode, epoch_of
from journal import ring as journal
from nor import Nor
from scanner import door, signals
from scanner.cards import Cards
from scanner.signals import Signals
from scanner.station import Station
from scanner.verdict import Rules

NATIONAL = b"001093029317|NGUYEN VAN A|1987-01-18|0|%018d|<1<00<0123232422"


class Played:
    """Signals that remember what was played, and what the flash held at that moment."""

    def __init__(self, flash):
        self.flash = flash
        self.state = None
        self.names = []
        self.programmed = []

    def play(self, signal):
        names = ("RECORDED", "REPEAT", "NOT_A_CARD", "FAULT", "NO_ROOM", "TRY_AGAIN", "STAFF", "PLACE_FULL")
        name = [n for n in names if getattr(signals, n) is signal][0]
        self.names.append(name)
        self.programmed.append(self.flash.programmed_bytes)


class Config:
    version = 1
    record_repeats = False
    health_s = 900


class Reader:
    dropped = 3
    restarts = failed = 0
    state = 1
    alive = True

    def reading(self):
        return self.alive

    def silent(self):
        return not self.alive

    confirms = True  # that it has stopped
    rests = True

    def __init__(self):
        self.stopped = 0
        self.log = []

    def partial(self):
        return False

    def unsaved(self):
        return False

    async def stop(self):
        self.stopped += 1
        self.log.append("stop")
        return self.confirms

    async def go(self):
        self.log.append("go")


class Shipper:
    failures = 2
    is_online = True
    epochs = 0
    hurries = 0

    def urgent(self):
        self.hurries += 1

    def online(self):
        return self.is_online

    def new_epoch(self, epoch):
        self.epochs += 1


class Wire:
    kind = 1

    def rssi(self):
        return -60


class Watch:
    longest_loop_ms = 7


class Door:
    """A station with everything around it under the test's hand."""

    def __init__(self, sectors=6, overwrite=False, ring=None, rules=None, readers=1):
        self.flash = Nor(sectors)
        boot = Boot(self.flash, 1, overwrite)
        self.ring = ring or boot.ring
        self.epochs = {boot.epoch.public: boot.epoch}
        self.played = Played(self.flash)
        self.config = Config()
        self.clock = Clock()
        self.station = Station(
            self.ring, Cards(["qrqg"]), rules or Rules(60000, True), self.played, self.clock, self.config, (1, "test")
        )
        self.station.begin(boot.epoch, 1)
        self.readers, self.shipper = [Reader() for _ in range(readers)], Shipper()
        self.reader = self.readers[0]
        self.station.connect(self.readers, self.shipper, Watch(), Wire())

    def open(self):
        self.ring.prepare()
        self.station._show_state()
        return self

    def show(self, n, reader=0):
        self.station.on_payload(memoryview(NATIONAL % n), reader)
        return self.played.names[-1]

    def scans(self):
        return decode(self.flash, self.epochs)


def test_recorded_before_the_beep():
    door = Door().open()
    before = door.flash.programmed_bytes
    assert door.show(1) == "RECORDED"
    assert door.played.programmed[0] > before, "the flash was programmed when the buzzer sounded"
    assert door.scans() == [1]
    assert door.station.scans == 1 and door.station.recorded.is_set()


def test_repeat_is_signalled_and_not_recorded():
    door = Door().open()
    assert [door.show(1), door.show(1), door.show(2)] == ["RECORDED", "REPEAT", "RECORDED"]
    assert door.scans() == [1, 2]
    door.config.record_repeats = True
    assert door.show(1) == "REPEAT"
    assert door.scans() == [1, 2, 1]


def test_payment_and_link_are_no_cards():
    door = Door().open()
    payment = b"00020101021138510010A00000072701210006999999010700000010208QRIBFTTA53037045802VN62150811MUA RAU CHO6304F86F"
    for payload in (b"https://example.vn", payment):
        door.station.on_payload(memoryview(payload))
        assert door.played.names[-1] == "NOT_A_CARD"
    assert door.station.scans == 2


def test_no_card_before_a_beep_can_be_kept():
    door = Door()
    assert not door.station.ready
    assert door.show(1) == "FAULT" and door.scans() == [] and door.station.not_ready == 1
    door.open()
    assert door.show(1) == "RECORDED", "what was refused counts as not shown"


def test_a_flash_that_fails_is_never_silence():
    door = Door().open()
    assert door.show(1) == "RECORDED"
    for sector in range(door.flash.sectors):
        door.flash.worn.add(sector)
    assert door.show(2) == "FAULT"
    assert not door.station.ready and door.show(3) == "FAULT"
    door.flash.worn.clear()
    door.ring.prepare()
    door.station._show_state()
    assert door.show(2) == "RECORDED"
    assert door.scans() == [1, 2]


def test_the_lamp():
    door = Door(sectors=24)
    say = lambda: (door.station._show_state(), door.played.state)[1]  # noqa: E731
    assert say() is signals.STARTING
    door.reader.alive = False
    assert say() is signals.BROKEN
    door.reader.alive = True
    door.ring.prepare()
    assert say() is signals.READY
    door.shipper.is_online = False
    assert say() is signals.OFFLINE
    n = 0
    while door.ring.unreleased() <= 4:
        door.ring.prepare()
        door.station._show_state()
        assert door.show(n) == "RECORDED"
        n += 1
    assert say() is signals.BACKLOG
    warned = []
    while door.show(n) == "RECORDED":
        n += 1
        door.ring.prepare()
        if say() not in warned:
            warned.append(say())
            print(door.ring.unreleased(), "sectors:", warned[-1])
        percent = door.ring.unreleased() * 100 // 24
        assert (say() is signals.FILLING) == (80 <= percent < 95), percent
        assert (say() is signals.ALMOST_FULL) == (percent >= 95) or say() is signals.FULL
    assert warned == [signals.BACKLOG, signals.FILLING, signals.ALMOST_FULL, signals.FULL]
    assert say() is signals.FULL
    assert not door.station.ready and door.show(n) == "NO_ROOM"
    door.reader.alive = False
    assert say() is signals.FULL, "full is said first: the guard can do something about it"
    for sequence in range(1, 20):
        door.ring.release(door.ring.index(sequence), sequence)
    assert say() is signals.BROKEN
    door.reader.alive = True
    door.ring.prepare()
    assert say() is signals.OFFLINE or say() is signals.BACKLOG


def test_signals_differ_in_two_of_colour_rhythm_and_pitch():
    every = [signals.RECORDED, signals.REPEAT, signals.NOT_A_CARD, signals.FAULT, signals.NO_ROOM, signals.TRY_AGAIN]
    every += [signals.STAFF, signals.PLACE_FULL, door.SCAN_FIRST, door.CLOSE_DOOR, door.HELP, door.WAVED_IN]
    assert all(sum(ms for _, ms in steps) <= 1000 for _, steps, _ in every), "over before the next code can come"
    assert sorted(prompt for _, _, prompt in every) == list(range(1, 13))
    for i, (colour, steps, _) in enumerate(every):
        for other_colour, other_steps, _ in every[i + 1 :]:
            rhythm = [ms for _, ms in steps] != [ms for _, ms in other_steps]
            pitch = steps[0][0] != other_steps[0][0]
            assert rhythm + pitch + (colour != other_colour) >= 2
    states = [signals.STARTING, signals.READY, signals.OFFLINE, signals.BACKLOG, signals.FULL, signals.BROKEN]
    states += [signals.FILLING, signals.ALMOST_FULL]
    assert len(set(states)) == len(states)


def test_signals_play_to_their_end_and_the_newest_wins():
    shown, tones = [], []

    class Lamp:
        def show(self, colour):
            shown.append(colour)

    class Buzzer:
        def tone(self, freq_hz):
            tones.append(freq_hz)

    async def scenario():
        s = Signals(Lamp(), Buzzer())
        task = asyncio.create_task(s.run(lambda: None))
        await asyncio.sleep_ms(5)
        assert shown[-1] == signals.STARTING[0]
        s.play(signals.RECORDED)
        assert tones == [2700] and shown[-1] == signals.RECORDED[0], "on when play() returns"
        await asyncio.sleep_ms(5)
        s.play(signals.REPEAT)
        assert tones == [2700], "both readers at once: the first is heard before the second"
        while len(tones) < 3:
            await asyncio.sleep_ms(1)
        assert tones == [2700, 0, 2000], "and a silence between"
        await asyncio.sleep_ms(100)
        assert tones == [2700, 0, 2000, 0], "silent after its time"
        await asyncio.sleep_ms(300)
        s.play(signals.STAFF)
        await asyncio.sleep_ms(150)
        s.play(signals.RECORDED)
        assert tones[-2:] == [500, 2700], "the newest wins"
        await asyncio.sleep_ms(1000)
        assert shown[-1] in (signals.STARTING[0], signals.STARTING[2])
        task.cancel()

    asyncio.run(scenario())


def test_what_is_to_be_told_waits_for_a_sector():
    door = Door()
    door.station.tell(journal.INCIDENT, records.change, 1, 9, 2, "wifi[0].ssid: empty")
    door.station._write_untold()
    assert door.flash.programmed_bytes == 0 and len(door.station._untold) == 1
    door.open()
    door.station._write_untold()
    assert door.flash.programmed_bytes > 0 and not door.station._untold
    for i in range(10):
        door.station.tell(journal.TELEMETRY, records.note, 3, "crash %d" % i)
    assert len(door.station._untold) == 8 and door.station.let_go == 2


def test_what_people_did_is_told_before_what_the_board_says_of_itself():
    """A full journal after a restart: the note in front is refused, the incident behind it goes into the sector kept for it."""
    door = Door().open()
    door.station.tell(journal.INCIDENT, records.change, 1, 9, 2, "first")
    for i in range(12):
        door.station.tell(journal.TELEMETRY, records.note, 3, "note %d" % i)
    assert door.station._untold[0][0] == journal.INCIDENT and door.station.let_go == 5
    append, asked = door.ring.append, []

    def full(plaintext, rank):
        asked.append(rank)
        return rank == journal.INCIDENT and append(plaintext, rank)

    door.ring.append = full
    door.station._write_untold()
    assert asked[0] == journal.INCIDENT and len(door.station._untold) == 7


def test_the_gate_and_a_hold_keep_out_of_each_others_way():
    door = Door().open()
    order = []

    async def handshake():
        order.append("begins")
        await asyncio.sleep_ms(50)
        order.append("ends")

    async def scenario():
        task = asyncio.create_task(door.station.hold(handshake))
        await asyncio.sleep_ms(10)
        await door.station._gate(2, lambda: order.append("erase"))
        assert door.reader.log == ["stop"], "the module stays stopped for whoever has it"
        await task
        await door.station._gate(2, lambda: order.append("erase"))

    asyncio.run(scenario())
    assert order == ["begins", "ends", "erase"]


def test_health_and_clock_are_written_once_known():
    door = Door().open()
    door.station._write_clock()
    door.station._write_health()
    assert door.flash.programmed_bytes == 0, "a boot alone writes nothing"
    door.clock.reading(1_700_000_000_000, 40, 3)
    door.station._write_clock()
    clock_bytes = door.flash.programmed_bytes
    assert clock_bytes > 0
    door.station._write_health()
    assert door.flash.programmed_bytes > clock_bytes
    after = door.flash.programmed_bytes
    door.station._write_clock()
    door.station._write_health()
    assert door.flash.programmed_bytes == after, "and then only when due"


def test_a_warning_is_told_at_once():
    door = Door(sectors=20).open()
    door.clock.reading(1_700_000_000_000, 40, 3)
    door.station._write_health()
    n, told = 0, []
    while len(told) < 2:
        door.ring.prepare()
        door.station._show_state()
        before = door.flash.programmed_bytes
        door.station._write_health()
        if door.flash.programmed_bytes > before:
            told.append(door.ring.unreleased() * 100 // 20)
        assert door.show(n) == "RECORDED"
        n += 1
    assert told == [80, 95]


def test_a_card_that_cannot_be_read_is_answered():
    door = Door()
    door.station.on_fail()
    assert door.played.names == [], "not before cards are taken"
    door.open()
    door.station.on_fail()
    assert door.played.names == ["TRY_AGAIN"] and door.scans() == []


def gate(door, turn):
    """What the readers were told, and whether it was erased between."""
    for reader in door.readers:
        reader.log.clear()
    erased = []
    asyncio.run(door.station._gate(turn, lambda: erased.append([list(reader.log) for reader in door.readers])))
    return erased, [reader.log for reader in door.readers]


def test_the_flash_gate_stops_the_module_in_silence():
    door = Door().open()
    assert gate(door, 1) == ([[[]]], [[]]), "after a verdict the module pauses by itself"
    assert gate(door, 2) == ([[["stop"]]], [["stop", "go"]])
    door.reader.confirms = False
    assert gate(door, 2) == ([], [["stop", "go"]]), "one that does not confirm may be reading"


def test_the_flash_gate_stops_a_module_that_reads_on_after_a_code():
    door = Door().open()
    door.reader.rests = False
    assert gate(door, 1) == ([[["stop"]]], [["stop", "go"]])


def test_a_heap_that_has_no_room_is_an_answer():
    door = Door().open()

    def full(payload):
        raise MemoryError

    identify, door.station._cards.identify = door.station._cards.identify, full
    assert door.show(1) == "FAULT" and door.scans() == [] and door.station.not_ready == 1
    door.station._cards.identify = identify
    assert door.show(1) == "RECORDED" and door.scans() == [1]


def test_the_flash_gate_stops_the_other_module_in_the_pause_of_one():
    door = Door(readers=2).open()
    stop, go = ["stop"], ["stop", "go"]
    assert gate(door, 2) == ([[stop, stop]], [go, go])
    door.show(1, reader=0)
    door.station._verdict.clear()
    assert gate(door, 1) == ([[[], stop]], [[], go])
    door.show(2, reader=1)
    door.station._verdict.clear()
    assert gate(door, 1) == ([[stop, []]], [go, []])
    door.show(3, reader=0)
    assert gate(door, 1) == ([], [[], go]), "a card came meanwhile: its beep first"
    door.station._verdict.clear()
    door.readers[1].confirms = False
    assert gate(door, 1) == ([], [[], go])


def test_the_flash_gate_closes_when_stopping_takes_too_long():
    door = Door(readers=2).open()
    door.show(1)
    door.station._verdict.clear()

    async def slow():
        door.clock._uptime_ms += 600
        return True

    door.readers[1].stop = slow
    assert gate(door, 1)[0] == [], "the first module reads again before the erase is over"


def test_one_of_two_modules_is_enough_for_the_door():
    door = Door(readers=2).open()
    door.readers[1].alive = False
    door.station._show_state()
    assert door.station.ready and door.played.state is signals.BROKEN, "cards are taken, and the lamp says what is wrong"
    assert door.show(1) == "RECORDED"
    door.readers[0].alive = False
    door.station._show_state()
    assert door.show(2) == "FAULT"


def test_readers_are_told_apart():
    door = Door(readers=2).open()
    assert [door.show(1, 0), door.show(1, 0), door.show(1, 1), door.show(1, 1), door.show(1, 0)] == [
        "RECORDED", "REPEAT", "RECORDED", "REPEAT", "RECORDED"
    ]
    assert door.scans() == [1, 1, 1]
    assert door.station._rules.inside == 1


def test_refused_cards_look_alike_and_are_recorded_once():
    seven, eight = [records.id_digits(b"%018d" % n) for n in (7, 8)]
    rules = Rules(60000, True, None, lambda scheme, packed: packed == seven, lambda scheme, packed: packed != eight)
    door = Door(rules=rules).open()
    assert [door.show(1), door.show(7), door.show(7), door.show(8), door.show(8), door.show(1)] == [
        "RECORDED", "STAFF", "STAFF", "STAFF", "STAFF", "REPEAT"
    ]
    assert door.scans() == [1, 7, 8], "a card that is held is refused again and again, and recorded once"
    assert door.station._shipper.hurries == 1, "only the one on the deny list is urgent"


def test_nothing_is_kept_of_what_is_no_card():
    door = Door(rules=Rules(60000, False)).open()
    before = door.flash.programmed_bytes
    door.station.on_payload(memoryview(b"nguyen van a, 18/1/1987, hue"))
    assert door.played.names == ["NOT_A_CARD"] and door.flash.programmed_bytes > before
    assert b"nguyen" not in bytes(door.station._plain[:12])
    assert door.scans() == [None] or door.station.scans == 1


def test_the_next_days_key_is_made_in_slices():
    door = Door().open()
    door.show(1)
    second = epoch_of(2)
    door.epochs[second.public] = second
    slices = [0]

    def new_epoch():
        for _ in range(5):
            slices[0] += 1
            yield None
        yield second

    assert door.station._renew(new_epoch) is None and slices[0] == 0
    door.clock._uptime_ms += 24 * 3600 * 1000
    old = door.ring.epoch
    for _ in range(100):
        if door.station._renew(new_epoch):
            break
    assert door.ring.epoch is second and door.shipper.epochs == 1 and slices[0] == 5
    assert not any(old._mac._inner), "the old key is forgotten"
    assert door.show(2) == "RECORDED"
    head = door.ring.index(door.ring.sequence)
    offset, kinds = 64, []
    while True:
        length = door.ring.frame_at(head, offset)
        if length <= 0:
            break
        kinds.append(door.ring._back[0] == 0xFE)
        offset += length
    assert kinds == [False, False, True, False, False], "BOOT, scan, epoch frame, BOOT, scan"
