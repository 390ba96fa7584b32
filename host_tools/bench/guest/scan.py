"""The path of a scan on the firmware's own parts, wired as app.py wires them: bytes into feed(), a record, a beep."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import standins

standins.install()

from clock import Clock  # noqa: E402 - they import what the stand-ins provide
from config import Config  # noqa: E402
from drivers.buzzer import Buzzer  # noqa: E402
from drivers.gm65 import Gm65  # noqa: E402
from drivers.lamp import Lamp  # noqa: E402
from journal import seal  # noqa: E402
from journal.ring import Ring  # noqa: E402
from scanner.cards import Cards  # noqa: E402
from scanner.signals import Signals  # noqa: E402
from scanner.station import Station  # noqa: E402
from scanner.verdict import Rules  # noqa: E402

settings = Config({})
flash = standins.Partition(SECTORS)
pwm = standins.Pwm(flash.operations)
signals = Signals(Lamp([standins.Pin(), standins.Pin(), standins.Pin()]), Buzzer(pwm))
clock = Clock()
# The clock of this runtime stands still; uptime is put where it costs most.
clock._uptime_ms = UPTIME_MS
ring = Ring(flash, bytes(8), False, bytes)
ring.recover()
rules = Rules(settings.repeat_window_s * 1000, True)
station = Station(ring, Cards(settings.cards), rules, signals, clock, settings, (1, "0.1.0 micropython 1.28.0 esp32"))
epoch = seal.Epoch(bytes(range(32)), bytes(range(80)))
station.begin(epoch, 1)
reader = Gm65(None, station.on_payload)
reader.state = 1  # framed output, by its number in HEALTH
ring.prepare()
station.ready = True


def frame(payload):
    return bytes((4, len(payload) >> 8, len(payload) & 255)) + payload


def scan(label, payload, piece):
    """Feed one card in pieces of that many bytes, the first mark before the first byte; report what it did to flash."""
    data = memoryview(frame(payload))
    pieces = []
    for at in range(0, len(data), piece):
        pieces.append(data[at : at + piece])
    del flash.operations[:]
    signals._began_ms = None  # the signal before it is long over; this runtime's clock does not move
    scans = station.scans
    started, ended = "feed " + label, "end " + label
    level()
    mark(started)
    for part in pieces:
        reader.feed(part)
    mark(ended)
    cells = bytes(flash.cells[ring.index(ring.sequence) * 4096 :][: ring.offset])
    report(
        {
            "label": label,
            "scans": station.scans - scans,
            "operations": flash.operations,
            # With a keystream of zeros the plaintext stands in the cells.
            "record": "".join("%02x" % byte for byte in cells[-CARD_BYTES:]),
        }
    )


def card(number):
    """A national card with a number of its own."""
    return b"001093029317|NGUYEN VAN A|1987-01-18|0|%018d|<1<00<0123232422" % (100000000000000000 + number)


def crowd(first, count):
    for number in range(first, first + count):
        ring.prepare()
        reader.feed(frame(card(number)))


def nearly_full():
    return ring.offset + CARD_BYTES > 4096


def fill(first, count):
    """Up to `count` more cards, none of which opens a sector."""
    for number in range(first, first + count):
        if nearly_full():
            return
        reader.feed(frame(card(number)))


gc.collect()
scan("first", card(0), 4096)
# More cards than the repeat window remembers: its table is full, the longest search.
crowd(1, 35)
gc.collect()
crowd(36, 35)
gc.collect()
scan("qrqg", QRQG, 4096)
gc.collect()
for number in range(MORE):
    scan("more %d" % number, card(200 + number), 4096)
gc.collect()
scan("qrqg pieces", card(72), 16)
gc.collect()
scan("cccd", CCCD, 4096)
gc.collect()
scan("bhyt", BHYT, 4096)
gc.collect()
ring.prepare()
fill(73, 30)
gc.collect()
ring.prepare()
fill(103, 30)
gc.collect()
ring.prepare()
fill(133, 30)
gc.collect()
ring.prepare()
report(nearly_full())
scan("opens a sector", card(163), 4096)
gc.collect()

# What the stand-ins on the path cost here, each as the path calls it; the board's own cost is flash time, or nothing.
index = ring.index(ring.sequence)
back = memoryview(bytearray(28))
data = memoryview(bytes(28))
block = bytearray(256)
level()
mark("readblocks")
flash.readblocks(index, back, 64)
mark("end readblocks")
level()
mark("writeblocks")
flash.writeblocks(index, data, 2048)
mark("end writeblocks")
level()
mark("encrypt")
epoch._aes.encrypt(block, block)
mark("end encrypt")
level()
mark("freq")
pwm.freq(2700)
mark("end freq")
level()
mark("duty_u16")
pwm.duty_u16(32768)
mark("end duty_u16")
level()
mark("event")
station.recorded.set()
mark("end event")
