"""The scan module's driver inside MicroPython: bytes cut anywhere, noise, half frames, and never a wrong card."""

import asyncio
import random
import time

from drivers.gm65 import Gm65, crc16

NATIONAL = b"001093029317|NGUYEN VAN A|1987-01-18|0|162979388586171100|<1<00<0123232422"
ACK = b"\x02\x00\x00\x01\x00\x33\x31"


class Uart:
    """A UART nobody talks to; feed() is called directly."""

    def init(self, **options):
        pass

    def any(self):
        return 0


def frame(payload):
    """As the module's manual has it: 04, length high byte first, payload."""
    return b"\x04" + bytes((len(payload) >> 8, len(payload) & 0xFF)) + payload


def driver(state=1):
    got = []
    reader = Gm65(Uart(), lambda payload: got.append(bytes(payload)))
    reader.state = state
    return reader, got


def lines():
    reader, got = driver(2)
    reader._suffix = b"\r"
    return reader, got


def test_crc_of_the_manual():
    assert crc16(b"\x09\x01\x00\x00\x00") == 0xDEC8
    assert crc16(b"\x00\x01\x00") == 0x3331
    assert crc16(b"\x07\x01\x00\x2a\x02") == 0xD80F
    assert crc16(b"\x08\x01\x00\x02\x01") == 0x02DA
    assert crc16(b"\x00\x01\x3e") == 0xE4AC


def test_frames_cut_anywhere():
    stream = frame(NATIONAL) + frame(b"x") + frame(b"y" * 300)
    for size in (1, 2, 3, 7, 64, 120, 1000):
        reader, got = driver()
        for at in range(0, len(stream), size):
            reader.feed(stream[at : at + size])
        assert got == [NATIONAL, b"x", b"y" * 300], size
        assert reader.dropped == 0 and not reader.partial()


def test_any_bytes_inside_a_frame():
    payloads = [
        ACK,
        b"\x7e\x00\x08\x01",
        b"\x00",
        b"\r\n",
        b"\x04\x00\x05",
        b"\x02",
        bytes(range(256)),
        b"\xff\xfe\xc0\x80",
        b"z" * 2953,
        b"\x04" * 3000,
    ]
    reader, got = driver()
    for payload in payloads:
        reader.feed(frame(payload))
    assert got == payloads
    assert reader.dropped == 0


def test_two_scans_and_an_acknowledgement_in_one_read():
    reader, got = driver()
    reader.feed(ACK + frame(b"one") + ACK + frame(b"two") + ACK)
    assert got == [b"one", b"two"]
    assert reader._reply == b"\x00"


def test_noise_before_a_frame_loses_nothing():
    reader, got = driver()
    reader.feed(b"\x00\xff\x31garbage" + frame(NATIONAL))
    assert got == [NATIONAL]
    assert reader.dropped == 1, "a burst of noise counts once"
    reader.feed(b"\x55")
    assert reader.dropped == 2


def test_noise_that_looks_like_a_header():
    reader, got = driver()
    reader.feed(b"\x04\x01\x00" + frame(NATIONAL))
    assert got == []
    reader.gap()
    assert got == [NATIONAL] and not reader.partial()


def test_half_frame_then_silence():
    for kept in range(1, len(frame(NATIONAL))):
        reader, got = driver()
        reader.feed(frame(NATIONAL)[:kept])
        reader.gap()
        assert got == [], kept
        assert not reader.partial() and reader.dropped == 1
        reader.feed(frame(b"next"))
        assert got == [b"next"]


def test_half_frame_swallows_no_card():
    """Bytes lost inside one frame, the next one right behind: the first is dropped, the second counts."""
    other = NATIONAL.replace(b"00171100", b"00999999").replace(b"171100", b"999999")
    for kept in range(4, len(NATIONAL)):
        reader, got = driver()
        reader.feed(frame(NATIONAL)[:kept] + frame(other))
        reader.gap()
        assert got == [other], (kept, got)
        assert reader.dropped >= 1


def test_impossible_lengths():
    reader, got = driver()
    reader.feed(b"\x04\x00\x00" + b"\x04\xff\xff" + frame(b"ok"))
    reader.gap()
    assert got == [b"ok"]


def test_runaway_noise_does_not_grow():
    import gc

    reader, got = driver()
    reader._on_payload = lambda payload: None
    gc.collect()
    before = gc.mem_alloc()
    for i in range(3000):
        reader.feed(b"\x04\x0b\xff" + bytes((i & 255,)) * 61)
    reader.gap()
    gc.collect()
    assert gc.mem_alloc() - before < 1024
    reader._on_payload = lambda payload: got.append(bytes(payload))
    reader.feed(frame(b"still here"))
    reader.gap()
    assert got[-1] == b"still here"
    assert reader.dropped > 0


def test_random_streams_never_raise_and_never_invent():
    random.seed(7)
    for _ in range(300):
        sent = []
        reader, got = driver()
        for _ in range(12):
            kind = random.randint(0, 5)
            if kind == 0:
                reader.feed(bytes(random.getrandbits(8) for _ in range(random.randint(1, 40))))
                reader.gap()
            elif kind == 1:
                reader.feed(frame(NATIONAL)[: random.randint(1, 70)])
                reader.gap()
            else:
                payload = b"card %d" % random.getrandbits(20)
                sent.append(payload)
                stream = frame(payload)
                at = random.randint(0, len(stream))
                reader.feed(stream[:at])
                reader.feed(stream[at:])
        assert [card for card in got if card.startswith(b"card")] == sent
        assert not [card for card in got if card.startswith(b"0010930")]


def test_a_reply_is_short():
    """What only looks like a long reply is not waited for, nor checked byte by byte."""
    reader, got = driver()
    reader.feed(b"\x02\x00" * 1500 + frame(b"ok"))
    reader.gap()
    assert got == [b"ok"]


def test_noise_makes_the_driver_ask():
    """Garbage that never stops short of silence: after it the module is asked at once, and each burst counts."""
    reader, _ = driver()
    reader.feed(b"\xf0\x0f\x80")
    assert reader._noisy and reader.dropped == 1
    crc = crc16(b"\x00\x01\x16")
    reader.feed(b"\x02\x00\x00\x01\x16" + bytes((crc >> 8, crc & 255)))
    assert not reader._noisy, "a good reply ends the burst"
    reader.feed(b"\xf0")
    assert reader.dropped == 2


def test_lines():
    reader, got = lines()
    reader.feed(NATIONAL[:20])
    reader.feed(NATIONAL[20:] + b"\r")
    assert got == [], "a line ends with silence: a code may hold a line end"
    reader.gap()
    assert got == [NATIONAL]
    reader.feed(b"next\r\n")
    reader.gap()
    reader.feed(b"\r\n")
    reader.gap()
    assert got == [NATIONAL, b"next\r\n"[:-2]] or got == [NATIONAL]


def test_half_a_line_is_no_card():
    for kept in range(1, len(NATIONAL)):
        reader, got = lines()
        reader.feed(NATIONAL[:kept])
        reader.gap()
        assert got == [] and reader.dropped == 1


def test_acknowledgements_at_the_start_of_a_line():
    reader, got = lines()
    reader.feed(ACK + ACK + b"card\r")
    reader.gap()
    assert got == [b"card"]
    reader.feed(ACK)
    reader.gap()
    assert got == [b"card"], "a payload that equals an acknowledgement is none"


def test_two_codes_in_one_line_are_not_guessed():
    reader, got = lines()
    reader.feed(b"one\rtwo\r")
    reader.gap()
    assert got == [] and reader.dropped == 1


def test_long_line_is_dropped_and_counted():
    reader, got = lines()
    for _ in range(20):
        reader.feed(b"x" * 256)
    reader.gap()
    assert got == [] and reader.dropped >= 1
    reader.feed(b"ok\r")
    reader.gap()
    assert got == [b"ok"]


class Module:
    """A UART whose other end acknowledges each command; round the first acknowledgement it sends `before` and `after`."""

    def __init__(self, before=b"", after=b""):
        self.sent = []
        self.before, self.after = before, after
        self.out = b""

    def any(self):
        return len(self.out)

    def readinto(self, buffer):
        n = min(len(buffer), len(self.out))
        buffer[:n] = self.out[:n]
        self.out = self.out[n:]
        return n

    def write(self, data):
        self.sent.append(bytes(data[6:-2]))
        self.out += self.before + ACK + self.after
        self.before = self.after = b""


def hold(module):
    """What the driver had sent and read when the work was done, or None where it was not."""
    got, done = [], []
    reader = Gm65(module, lambda payload: got.append(bytes(payload)))
    reader.state = 1

    async def held():
        if await reader.stop():
            done.append((list(module.sent), list(got)))
        await reader.go()

    asyncio.run(held())
    assert module.sent[-1] == b"\x16", "the module reads again"
    assert not reader._talking and not reader._held
    return done[0] if done else None


def test_the_module_is_held_while_the_cpu_stands_still():
    assert hold(Module()) == ([b"\x15"], [])
    assert hold(Module(frame(NATIONAL))) == ([b"\x15"], [NATIONAL]), "a code on its way comes first"
    assert hold(Module(b"", frame(NATIONAL)[:9])) is None, "no work while half a code waits for its rest"


def test_what_comes_faster_than_a_module_can_is_nobodys():
    """Noise every 0.6 s, or the same frame, with nobody there: chatter, though there is a rest after each."""
    for burst in (b"\xff\xff\xff\xff", frame(NATIONAL)):
        got = []
        reader = Gm65(Module(), got.append)
        reader.state = 1
        for n in range(40):
            reader._heard_ms = reader._came_ms = time.ticks_add(time.ticks_ms(), -600)
            reader._busy_ms = reader._heard_ms
            reader._noisy = False
            reader.feed(burst)
            if n == 10:
                assert not reader._chattering(), "a few of them may be people"
        assert reader._chattering()
        reader._came_ms = time.ticks_add(time.ticks_ms(), -1000)
        assert not reader._chattering(), "silence is none"
