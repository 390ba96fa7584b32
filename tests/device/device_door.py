"""The door inside MicroPython: who went through and who had scanned, bouncing switches, the relay, the voice's frames."""

import board as own_board
import records
from drivers import door as parts_of_a_door
from drivers.door import Doorway, Relay, Switch, make
from drivers.voice import Voice
from scanner import door, signals
from scanner.door import Door
from scanner.loudness import Loudness

LOOK_MS = 20


class Doors:
    """A doorway under the test's hand: `go` lets time pass with contact and beam as given."""

    def __init__(self, held_ms=30000, contact=True, beam=True):
        self.events = []
        self.blocked = 0
        self.now = 1000
        self.has = (contact, beam)
        self.open = False
        self.door = Door(self.events.append, self._blocked, held_ms)
        self.go(100)

    def _blocked(self):
        self.blocked += 1

    def go(self, ms, dark=False):
        end = self.now + ms
        while self.now < end:
            self.now += LOOK_MS
            self.door.look(self.now, self.open if self.has[0] else None, dark if self.has[1] else None)

    def scan(self, card):
        self.door.scanned(card, self.now)

    def opened(self, is_open=True):
        self.open = is_open
        self.go(200)

    def person(self, dark_ms=300, gap_ms=300):
        self.go(dark_ms, True)
        self.go(gap_ms)

    def told(self):
        told, self.events[:] = list(self.events), []
        return told


def test_one_who_scanned_and_one_who_did_not():
    d = Doors()
    d.scan(b"a")
    d.opened()
    d.person()
    d.opened(False)
    assert d.told() == [door.OPENED, door.PASSAGE, door.CLOSED]
    d.opened()
    d.person()
    d.opened(False)
    assert d.told() == [door.OPENED_WITHOUT_SCAN, door.PASSAGE_WITHOUT_SCAN, door.CLOSED]
    assert (d.door.passages, d.door.without_scan) == (2, 1)


def test_a_group_scans_first_and_goes_through_one_opening():
    d = Doors()
    for n in range(12):
        d.scan(b"%d" % n)
        d.go(2000)
    d.opened()
    for _ in range(12):
        d.person(280, 260)
    d.opened(False)
    assert d.told() == [door.OPENED] + [door.PASSAGE] * 12 + [door.CLOSED]


def test_tailgating():
    d = Doors()
    d.scan(b"a")
    d.opened()
    d.person(300, 170)
    d.person(260, 300)
    assert d.told() == [door.OPENED, door.PASSAGE, door.PASSAGE_WITHOUT_SCAN]


def test_the_same_card_twice_lets_one_person_through_and_again_later():
    d = Doors()
    d.scan(b"a")
    d.go(2000)
    d.scan(b"a")
    d.opened()
    d.person()
    d.person()
    assert d.told() == [door.OPENED, door.PASSAGE, door.PASSAGE_WITHOUT_SCAN]
    d.scan(b"a")
    d.person()
    assert d.told() == [door.PASSAGE], "re-entry with a scan of its own"


def test_a_scan_does_not_wait_for_ever():
    d = Doors()
    d.scan(b"turns back")
    d.go(31000)
    d.opened()
    d.person()
    assert d.told() == [door.OPENED_WITHOUT_SCAN, door.PASSAGE_WITHOUT_SCAN]


def test_never_more_than_so_many_wait():
    d = Doors()
    for n in range(100):
        d.scan(b"%d" % n)
    assert len(d.door._waiting) == 32
    d.scan(None)
    d.scan(None)
    assert len(d.door._waiting) == 32 and d.door._waiting[-2][0] is None, "two without a card are two persons"


def test_a_door_that_is_wedged_is_told_once_and_counts_on():
    d = Doors(held_ms=5000)
    d.scan(b"a")
    d.opened()
    d.go(20000)
    d.person()
    d.person()
    assert d.told() == [door.OPENED, door.HELD_OPEN, door.PASSAGE, door.PASSAGE_WITHOUT_SCAN]
    d.opened(False)
    d.opened()
    d.go(6000)
    assert d.told() == [door.CLOSED, door.OPENED_WITHOUT_SCAN, door.HELD_OPEN]


def test_bodies_of_every_kind_are_one_person_each():
    d = Doors()
    d.opened()
    for spells in ((80,), (60,), (300,), (60, 60, 300), (240, 60, 900, 80, 120), (400, 140, 300), (12000,)):
        before = d.door.passages
        for i, ms in enumerate(spells):
            d.go(ms, i % 2 == 0)
        d.go(300)
        assert d.door.passages == before + 1, spells
    assert not d.blocked


def test_a_beam_that_flickers_is_nobody():
    d = Doors(held_ms=3600000)
    d.opened()
    d.told()
    for i in range(500):
        d.go(20, True)
        d.go(40 + i % 9 * 40)
    assert d.door.passages == 0 and d.door.ignored > 0 and not d.told()
    d.opened(False)
    ignored = d.door.ignored
    d.person(300)
    assert d.door.passages == 0 and d.door.ignored == ignored + 1, "nobody goes through a shut door"


def test_a_blocked_beam_is_told_and_is_nobody():
    d = Doors()
    d.opened()
    d.go(90000, True)
    assert d.blocked == 1
    d.go(300)
    assert d.door.passages == 0 and d.door.ignored == 1
    d.person()
    assert d.door.passages == 1, "and it counts again"


def test_a_doorway_without_a_door_and_a_door_without_a_beam():
    d = Doors(contact=False)
    d.scan(b"a")
    d.person()
    d.person()
    assert d.told() == [door.PASSAGE, door.PASSAGE_WITHOUT_SCAN]
    d = Doors(beam=False)
    d.scan(b"a")
    d.go(1000)
    d.scan(b"b")
    d.opened()
    d.go(8000)
    d.scan(b"c")  # stands before it while it falls shut behind the others
    d.opened(False)
    d.opened()
    d.go(8000)
    d.opened(False)
    d.opened()
    assert d.told() == [door.OPENED, door.CLOSED, door.OPENED, door.CLOSED, door.OPENED_WITHOUT_SCAN]


def test_no_record_tells_how_the_door_was_at_boot():
    d = Doors()
    assert d.told() == []
    d = Door(d.events.append, None, 5000)
    d.look(1000, True, None)
    d.look(7000, True, None)


class Pin:
    IN, OUT, PULL_UP = 1, 3, 2

    def __init__(self, number=0, mode=-1, pull=-1, value=0):
        rest = 1 if number in (Board.BUTTON_HELP, Board.BUTTON_GUARD) else value
        self.number, self.mode, self.pull, self.level = number, mode, pull, rest
        self.log = [value]

    def value(self, level=None):
        if level is not None:
            self.level = level
            self.log.append(level)
        return self.level


class Machine:
    Pin = Pin


class Ticks:
    now = 0

    def uptime_ms(self):
        return self.now


class Board:
    CHIP = "esp32"
    RELAY_PIN, DOOR_CONTACT, DOOR_BEAM, BUTTON_HELP, BUTTON_GUARD, TAMPER_PIN = 23, 33, 13, 14, 4, 35


class Settings:
    lock = "fail-secure"
    lock_open_s = 4
    held_open_s = 30


class Station:
    takes = True

    def __init__(self):
        self.records, self.untold, self.extras = [], [], []
        self.hurries = 0

    def write(self, rank, kind, code):
        if self.takes:
            self.records.append((kind, code))
        return self.takes

    def tell(self, rank, encode, *fields):
        self.untold.append(fields)

    def urgent(self):
        self.hurries += 1


class Played:
    relay = None

    def __init__(self):
        self.signals = []

    def play(self, signal):
        self.signals.append(signal)

    remark = play


class Kept(Doorway):
    def __init__(self, station, *rest):
        super().__init__(station, *rest)
        station.doorway = self


parts_of_a_door.Doorway = Kept  # make() returns its task alone


class Fitted:
    """A Doorway made of a board's description; `look` lets time pass."""

    def __init__(self, parts=Board, settings=Settings):
        self.station, self.played, self.clock = Station(), Played(), Ticks()
        make(parts, Machine, self.station, self.played, None, self.clock, settings)
        self.doorway = self.station.doorway

    def press(self, switch, level):
        switch._pin.level = level
        self.look(100)

    def look(self, ms):
        for _ in range(ms // LOOK_MS):
            self.clock.now += LOOK_MS
            self.doorway.look()


def test_switches_bounce_for_nothing():
    pin = Pin()
    switch = Switch(pin, 0)
    for level in (1, 1, 0, 1, 0, 1, 1):
        pin.level = level
        assert not switch.changed()
    assert switch.changed() and switch.level == 1
    assert not switch.changed() and not Switch(None, 0).changed()


def test_buttons_and_tamper_are_incidents():
    f = Fitted()
    d = f.doorway
    f.look(200)
    assert f.station.records == [] and f.played.signals == []
    f.press(d._help, 0)
    f.press(d._help, 1)
    assert f.station.records == [(records.INCIDENT, 1)] and f.played.signals == [door.HELP]
    f.press(d._guard, 0)
    assert f.station.records[1:] == [(records.INCIDENT, 3)] and f.played.signals[1:] == [door.WAVED_IN]
    assert d.door._may_pass(f.clock.now), "and whoever he lets in is not counted a second time"
    f.press(d._tamper, 1)
    assert f.station.records[2:] == [(records.INCIDENT, 2)] and len(f.played.signals) == 2, "tampering is told without a sound"


def test_what_the_journal_does_not_take_is_counted_and_never_said_to_be_there():
    f = Fitted()
    f.station.takes = False
    f.press(f.doorway._help, 0)
    assert f.played.signals == [signals.FAULT] and f.station.untold == [(records.INCIDENT, 1)]
    f.press(f.doorway._contact, 1)
    assert f.doorway.lost == 1 and (43, 1) in f.station.extras[0]()


def test_a_door_that_is_opened_without_a_scan_is_urgent_where_a_lock_kept_it_shut():
    f = Fitted()
    f.press(f.doorway._contact, 1)
    assert f.station.records == [(records.DOOR, door.OPENED_WITHOUT_SCAN)] and f.station.hurries == 1
    f.doorway._relay = None
    f.press(f.doorway._contact, 0)
    f.press(f.doorway._contact, 1)
    assert f.station.records[2:] == [(records.DOOR, door.OPENED_WITHOUT_SCAN)] and f.station.hurries == 1


def test_pins_that_have_no_pull_up_are_asked_for_none():
    f = Fitted()
    assert f.doorway._tamper._pin.pull is None and f.doorway._help._pin.pull == Pin.PULL_UP

    class Other(Board):
        CHIP = "esp32s3"

    assert Fitted(Other).doorway._tamper._pin.pull == Pin.PULL_UP


def test_a_board_with_one_part_only():
    class One:
        CHIP = "esp32"
        BUTTON_HELP = 14

    f = Fitted(One)
    f.look(100)
    f.press(f.doorway._help, 0)
    assert f.station.records == [(records.INCIDENT, 1)] and f.played.relay is None


def test_the_relay_holds_for_its_time():
    pin = Pin()
    relay = Relay(pin, 0, 4000)
    assert pin.log[-1] == 0
    relay.open()
    relay.passed(3000)
    relay.open()
    relay.passed(3980)
    assert pin.level == 1, "counted from the last who may go on"
    relay.passed(20)
    assert pin.level == 0
    relay = Relay(pin, 1, 1000)
    assert pin.level == 1, "fail-safe: the coil holds the door"
    relay.open()
    assert pin.level == 0
    relay.passed(2000)
    assert pin.level == 1


def test_green_opens_and_nothing_else():
    class Quiet:
        def show(self, colour):
            pass

        def tone(self, freq_hz):
            pass

    class Lock:
        opened = 0

        def open(self):
            self.opened += 1

    every = [signals.RECORDED, signals.REPEAT, signals.NOT_A_CARD, signals.FAULT, signals.NO_ROOM, signals.STAFF]
    every += [signals.PLACE_FULL, signals.TRY_AGAIN, door.SCAN_FIRST, door.CLOSE_DOOR, door.HELP, door.WAVED_IN]
    opens = []
    for signal in every:
        s = signals.Signals(Quiet(), Quiet())
        s.relay = Lock()
        s.play(signal)
        if s.relay.opened:
            opens.append(signal)
    assert opens == [signals.RECORDED, signals.REPEAT, door.WAVED_IN]


def test_a_remark_gives_way():
    class Sounds:
        def __init__(self):
            self.log = []

        def show(self, colour):
            pass

        def tone(self, freq_hz):
            self.log.append(freq_hz)

    sounds = Sounds()
    s = signals.Signals(sounds, sounds)
    s.play(signals.RECORDED)
    s.remark(door.SCAN_FIRST)
    assert sounds.log == [2700], "a card's answer is not cut short"
    sounds = Sounds()
    s = signals.Signals(sounds, sounds)
    s.remark(door.SCAN_FIRST)
    s.play(signals.RECORDED)
    assert sounds.log == [1000, 2700], "and does not wait for it either"


class Port:
    def __init__(self):
        self.sent = b""

    def write(self, data):
        self.sent += bytes(data)


def test_frames_of_the_voice():
    port = Port()
    voice = Voice(port)
    voice.volume(100)
    assert port.sent == b"\x7e\xff\x06\x06\x00\x00\x1e\xfe\xd7\xef"
    port.sent = b""
    voice.say(1)
    assert port.sent == b"\x7e\xff\x06\x12\x00\x00\x01\xfe\xe8\xef"
    port.sent = b""
    voice.say(0x0C)
    frame = port.sent
    assert (sum(frame[1:7]) + (frame[7] << 8 | frame[8])) & 0xFFFF == 0


def test_quiet_hours():
    class Buzzer:
        def loudness(self, percent):
            self.percent = percent

    class Clock:
        is_known = False

        def known(self):
            return self.is_known

    class Quiet:
        is_open = True

        def open(self):
            return self.is_open

    buzzer, clock, quiet, port = Buzzer(), Clock(), Quiet(), Port()
    loudness = Loudness(buzzer, Voice(port), clock, quiet)
    loudness.set()
    assert buzzer.percent == 100 and port.sent[6] == 30, "while the time is not known"
    clock.is_known = True
    loudness.set()
    assert buzzer.percent == 30 and port.sent[16] == 9
    quiet.is_open = False
    loudness.set()
    assert buzzer.percent == 100


def test_the_records_bytes():
    buffer = bytearray(16)
    assert bytes(buffer[: records.event(buffer, 0, 300, 16, records.DOOR, 6)]) == b"\x04\xac\x02\x06"
    assert bytes(buffer[: records.event(buffer, 0, 0, 16, records.INCIDENT, 1)]) == b"\x05\x00\x01"


def test_this_board_has_none_of_it():
    assert own_board.PARTS == ()
