"""The SSI driver inside MicroPython: packets cut anywhere, spoilt, doubled, long; each acknowledged once it is dealt with."""

import random

from drivers.ssi import Ssi, packet

# Bytes of the hardware notes (1.5).
ACK = b"\x04\xd0\x04\x00\xff\x28"
MODULE_ACK = b"\x04\xd0\x00\x00\xff\x2c"
RESEND = b"\x05\xd1\x04\x00\x01\xff\x25"
NATIONAL = b"001093029317|NGUYEN VAN A|1987-01-18|0|162979388586171100|<1<00<0123232422"


class Uart:
    """A UART that keeps what is written, and in what order to everything else."""

    def __init__(self, events):
        self.events = events

    def init(self, **options):
        pass

    def any(self):
        return 0

    def write(self, data):
        self.events.append(bytes(data))


def checksummed(body):
    total = 0x10000 - sum(body)
    return body + bytes((total >> 8 & 255, total & 255))


def code(payload, status=0):
    """As the module sends it: short, or long with its length in two bytes."""
    rest = bytes((0, status, 0xF1)) + payload
    if len(rest) + 2 < 255:
        return checksummed(bytes((len(rest) + 2, 0xF3)) + rest)
    n = len(rest) + 5
    return checksummed(bytes((255, 0xF4, n >> 8, n & 255, 0xF4)) + rest)


def driver():
    events = []
    reader = Ssi(Uart(events), lambda payload: events.append(("code", bytes(payload))))
    reader.state = 5
    return reader, events


def codes(events):
    return [event[1] for event in events if event[0] == "code"]


def test_packets_of_the_notes():
    assert packet(0xD0) == ACK
    assert packet(0xD1, 0, b"\x01") == RESEND
    assert packet(0xC6, 8, b"\x00\x8a\x04") == b"\x07\xc6\x04\x08\x00\x8a\x04\xfe\x99"


def test_a_code_is_acknowledged_after_it_has_been_dealt_with():
    reader, events = driver()
    reader.feed(code(NATIONAL))
    assert events == [("code", NATIONAL), ACK]
    assert not reader.partial() and reader.dropped == 0


def test_packets_cut_anywhere():
    sent = [NATIONAL, b"x", b"y" * 249, b"y" * 250, bytes(range(256)) * 4, b"z" * 2953]
    stream = b"".join(code(payload) for payload in sent)
    for size in (1, 3, 7, 64, 120, 255):
        reader, events = driver()
        for at in range(0, len(stream), size):
            reader.feed(stream[at : at + size])
        assert codes(events) == sent, size
        assert reader.dropped == 0


def test_a_spoilt_packet_is_asked_for_again_and_gives_no_code():
    whole = code(NATIONAL)
    for at in range(len(whole)):
        reader, events = driver()
        reader.feed(whole[:at] + bytes((whole[at] ^ 0x10,)) + whole[at + 1 :])
        reader.gap()
        assert codes(events) == [], at
        assert events == [RESEND], at
        assert reader.dropped == 1 and not reader.partial()
        reader.feed(code(NATIONAL, 1))
        assert codes(events) == [NATIONAL], "the one that is sent again counts where the first did not"


def test_half_a_packet_and_silence():
    whole = code(NATIONAL)
    for kept in range(1, len(whole)):
        reader, events = driver()
        reader.feed(whole[:kept])
        reader.gap()
        assert events == [RESEND] and not reader.partial(), kept
        reader.feed(code(b"next"))
        assert codes(events) == [b"next"]


def test_a_code_that_is_sent_again_counts_once():
    reader, events = driver()
    reader.feed(code(NATIONAL) + code(NATIONAL, 1) + code(NATIONAL, 1))
    assert events == [("code", NATIONAL), ACK, ACK, ACK]
    reader.feed(code(NATIONAL))
    assert codes(events) == [NATIONAL, NATIONAL], "shown once more is another matter"
    reader.feed(code(b"other", 1))
    assert codes(events)[-1] == b"other"


def test_replies_are_no_codes():
    reader, events = driver()
    reader.feed(MODULE_ACK)
    assert reader._reply == 0xD0 and events == []
    reader.feed(b"\x05\xd1\x00\x00\x06\xff\x24")
    assert reader._reply == 0xD1 and events == []


def test_a_module_that_cannot_read_says_so():
    told = []
    reader = Ssi(Uart([]), lambda payload: None, lambda: told.append(1))
    reader.state = 5
    reader.feed(code(b"NR"))
    assert told == [1] and reader.failed == 1


def test_random_streams_never_raise_and_never_invent():
    random.seed(11)
    for _ in range(200):
        sent = []
        reader, events = driver()
        for _ in range(12):
            kind = random.randint(0, 4)
            if kind == 0:
                reader.feed(bytes(random.getrandbits(8) for _ in range(random.randint(1, 40))))
                reader.gap()
            elif kind == 1:
                reader.feed(code(NATIONAL)[: random.randint(1, 70)])
                reader.gap()
            else:
                payload = b"card %d" % random.getrandbits(20)
                sent.append(payload)
                stream = code(payload)
                at = random.randint(0, len(stream))
                reader.feed(stream[:at])
                reader.feed(stream[at:])
        assert codes(events) == sent


def test_before_it_reads_nothing_is_asked_for_again():
    reader, events = driver()
    reader.state = 0
    reader.feed(b"\xffgarbage of another rate")
    reader.gap()
    assert events == []


def test_a_code_in_several_packets_is_dropped_and_counted():
    """How its parts join is not documented; half of a pass must never be a pass."""
    reader, events = driver()
    reader.feed(code(b"HC1:" + b"A" * 240, status=2))
    reader.feed(code(b"B" * 200))
    assert codes(events) == [] and reader.dropped == 1 and events.count(ACK) == 2
    reader.feed(code(NATIONAL))
    assert codes(events) == [NATIONAL]
    reader.feed(code(b""))
    assert codes(events) == [NATIONAL], "no code without a byte"
