"""The uplink inside MicroPython: hostile answers, forged and late replies, and what gets released on whose word."""

import asyncio
import json
import random
import time

from device_ring import Boot, DEVICE, DEVICE_KEY, COLLECTOR
from journal import ring as journal
from journal import seal
from nor import Nor
from uplink.http import Http, HttpError
from uplink.shipper import Shipper


class Stream:
    """One connection: takes what is written, gives `answer` in pieces of `size`."""

    def __init__(self, answer, size=1000):
        self.answer = answer
        self.size = size
        self.sent = bytearray()
        self.out_buf = b""
        self.closed = 0
        self.s = self  # asyncio's Stream closes nothing but by its socket

    async def drain(self):
        self.sent.extend(self.out_buf)
        self.out_buf = b""

    async def readinto(self, buffer):
        n = min(len(buffer), len(self.answer), self.size)
        buffer[:n] = self.answer[:n]
        self.answer = self.answer[n:]
        return n

    def close(self):
        self.closed += 1


class Client(Http):
    """Http over given streams, one a connection."""

    def __init__(self, *streams, url="http://127.0.0.1:8080"):
        super().__init__(url, Way(), None)
        self.streams = list(streams)

    async def _open(self):
        self._stream = self._socket = self.streams.pop(0)


class Way:
    """The links, as shipper and client see them; it writes down what it is told."""

    def __init__(self, metered=False):
        self.is_metered = metered
        self.is_up = True
        self.permits = True
        self.wants = False
        self.heard = []

    def up(self):
        return self.is_up

    def metered(self):
        return self.is_metered

    def server(self):
        return "127.0.0.1"

    def allowed(self, urgent):
        return self.permits or urgent

    def due(self):
        return self.wants

    def asking(self):
        self.wants = False
        self.heard.append("asking")

    def moving(self):
        self.heard.append("moving")

    def answered(self, count):
        self.heard.append(("answered", count))

    def unanswered(self, count):
        self.heard.append(("unanswered", count))


def post(answer, size=1000, url="http://127.0.0.1:8080"):
    """(status, body, stream) of one POST answered like this; HttpError when it is refused."""
    stream = Stream(answer, size)
    client = Client(stream, url=url)

    async def send(write):
        await write(b"body")

    status, body = asyncio.run(client.post("/v1/journal", 4, send))
    return status, bytes(body), stream


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\nContent-Length: 5\r\n\r\nhello"


def test_answers():
    for size in (1, 2, 3, 5, 1000):
        status, body, stream = post(OK, size)
        assert (status, body) == (b"200", b"hello") and not stream.closed
    assert bytes(stream.sent) == (
        b"POST /v1/journal HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/x-chot\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )
    status, body, stream = post(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
    assert (status, body, stream.closed > 0) == (b"413", b"", True), "only the body of a 200 counts"
    assert post(OK.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n"))[2].closed
    assert post(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:0\r\ncontent-type:application/x-chot\r\n\r\n")[1] == b""
    local = post(OK, url="http://127.0.0.1")[2].sent
    assert local.startswith(b"POST /v1/journal HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    for head in (b"Transfer-Encoding: chunked", b"Content-Length: 123456", b"X: y"):
        assert post(b"HTTP/1.1 413 Too Large\r\n" + head + b"\r\n\r\n")[0] == b"413", "a proxy's own 413 counts too"


def refused(answer):
    try:
        post(answer)
    except HttpError:
        return True
    return False


def test_hostile_answers():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\n"
    for answer in (
        b"",
        b"garbage",
        b"\r\n\r\n",
        head + b"\r\n",
        head + b"Content-Length: 4097\r\n\r\n" + b"x" * 4097,
        head + b"Content-Length: 1000000000\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n",
        head + b"Content-Length: 5x\r\n\r\nhello",
        head + b"Content-Length: \r\n\r\nhello",
        head + b"Content-Length: 10\r\n\r\nshort",
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        head + b"X: " + b"y" * 5000,
        b"HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"SSH-2.0-OpenSSH\r\nContent-Length: 5\r\n\r\nhello",
        head + b"A: b\r\n" * 2000,
    ):
        assert refused(answer), answer[:60]


def test_random_answers_never_do_more_than_fail():
    random.seed(3)
    for _ in range(400):
        answer = bytearray(OK)
        for _ in range(random.randint(1, 5)):
            answer[random.randint(0, len(answer) - 1)] = random.getrandbits(8)
        try:
            post(bytes(answer))
        except HttpError:
            pass


def reason(answer=None, url="http://127.0.0.1:8080"):
    try:
        post(answer or OK, url=url)
    except HttpError as error:
        return error.args[0]
    return None


def test_redirects_and_captive_portals_are_told_apart_from_answers():
    page = b"Content-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin"
    for answer in (
        b"HTTP/1.1 200 OK\r\n" + page,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin",
        b"HTTP/1.1 200 OK\r\nContent-Type: \xff\xfe\r\nContent-Length: 5\r\n\r\nlogin",
        b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n" + page,
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1:8080/v2\r\n" + page,
        b"HTTP/1.0 511 Network Authentication Required\r\n" + page,
    ):
        assert reason(answer) == "captive portal", answer
    assert reason(b"HTTP/1.1 500 Oops\r\n" + page) is None, "a server in trouble is no portal"


def test_plain_http_goes_to_this_host_alone_unless_config_says_so():
    for url in ("ftp://x", "x"):
        try:
            Http(url, Way(), None)
        except ValueError:
            continue
        raise AssertionError(url)
    for url in (
        "http://centre.example", "http://10.0.0.1", "http://1270.0.0.1", "http://localhost.example", "http://localhost",
        "http://127.evil.example", "http://127.0.0.1.a", "http://127.1", "http://127.0.0.256",
    ):  # fmt: skip
        assert reason(url=url) == "plain HTTP: config has no plain_http", url
    for url in ("http://127.0.0.1", "http://127.1.2.3:99"):
        assert reason(url=url) is None
    assert not Http("http://10.0.0.1", Way(), None, None, True)._refused
    assert reason(url="https://127.0.0.1") == "https: no authority to believe"


def test_a_connection_is_kept_and_a_new_one_is_not_called_kept():
    first, second = Stream(OK + OK[:-5] + b"world"), Stream(OK)
    first.size = len(OK)
    client = Client(first, second)

    async def send(write):
        await write(b"body")

    def ask():
        return bytes(asyncio.run(client.post("/v1/journal", 4, send))[1])

    assert (ask(), ask()) == (b"hello", b"world") and not first.closed
    assert client.bytes == len(first.sent) + 2 * len(OK)
    try:
        ask()
    except HttpError:
        assert client.kept, "the other side hung up between two requests"
    client.close()
    assert ask() == b"hello" and not client.kept and first.closed
    client.close()
    assert not client.connected()


def test_what_comes_behind_an_answer_ends_the_connection():
    stream = post(OK + OK)[2]
    assert stream.closed, "a doubled answer is not taken for the next one"


class Clock:
    taken = None

    def uptime_ms(self):
        return time.ticks_ms()

    def reading(self, unix_ms, error_ms, source):
        self.taken = unix_ms


class Me:
    device_id = DEVICE
    device_key = DEVICE_KEY
    collector_public = COLLECTOR


class Centre:
    """The collector's side of the wire, as `Http.post` sees it; `answers` say how to treat each request in turn."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.requests = []
        self.answers = []
        self.limit = 65536
        self.told = []
        self.tls = None
        self.buffer = Http.buffer
        self.kept = False
        self.bytes = 0

    def reply(self, request, stored, key=None, nonce=None, body=None):
        text = body or json.dumps({"stored": stored, "now": 1_700_000_000_000})
        data = b"\x01" + (nonce or request[45:53]) + text.encode()
        return bytearray(data + (key or self.epoch.reply_mac).of(data))

    async def post(self, path, length, send):
        request = bytearray()

        async def write(data):
            request.extend(data)

        await send(write)
        assert len(request) == length, "the announced length is the length"
        assert length <= 65536
        self.requests.append(bytes(request))
        if length > self.limit:
            return b"413", b""
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            return b"200", self.reply(request, count(request))
        return answer(bytes(request))

    def close(self):
        pass

    def proved(self):
        pass


class Tls:
    async def keep_time(self):
        pass


class Door:
    """The station, as the shipper sees it."""

    def __init__(self):
        self.recorded = asyncio.Event()
        self.quiet_ms = 10000

    def silence_ms(self):
        return self.quiet_ms


def count(request):
    return len(pieces(request))


def pieces(request):
    import struct

    at, found = 53, []
    while at < len(request) - 32:
        generation, sequence, key, offset, length = struct.unpack("<II32sHH", request[at : at + 44])
        found.append((generation, sequence, key, offset, request[at + 44 : at + 44 + length]))
        at += 44 + length
    return found


def board(scans=400, sectors=6):
    flash = Nor(sectors)
    boot = Boot(flash, 1)
    for n in range(scans):
        assert boot.scan(n)
    centre = Centre(boot.epoch)
    clock = Clock()
    nonces = [0]

    def drawn(n):
        nonces[0] += 1
        return nonces[0].to_bytes(n, "little")

    shipper = Shipper(boot.ring, Me, centre, Way(), clock, drawn, Door(), 60000, 60000, centre.told.append)
    shipper.new_epoch(boot.epoch)
    return boot, shipper, centre, clock


def ship(shipper):
    try:
        return asyncio.run(shipper.exchange())
    except HttpError:
        return None


def journal_bytes(boot):
    """All programmed bytes behind the headers, by sequence."""
    found = {}
    for index in range(boot.ring.sectors):
        head = boot.ring.header(index)
        if head:
            sector = boot.ring.flash.data[index * 4096 : index * 4096 + boot.ring.end(index)]
            found[head[1]] = bytes(sector[64:])
    return found


def received(centre):
    """All that came, by sequence, from offset 64 on; what came twice came equal."""
    found = {}
    for request in centre.requests:
        for _, sequence, _, offset, data in pieces(request):
            have = found.get(sequence, b"")
            at = offset - 64
            assert at <= len(have), "a gap"
            both = min(len(have) - at, len(data))
            assert have[at : at + both] == data[:both]
            found[sequence] = have + data[both:]
    return found


def test_everything_arrives_and_closed_sectors_are_released():
    boot, shipper, centre, clock = board()
    sent = journal_bytes(boot)
    while ship(shipper):
        pass
    assert received(centre) == sent
    states = [boot.ring.state[boot.ring.index(s)] for s in range(1, boot.ring.sequence)]
    assert states == [2] * len(states), "closed sectors are released"
    assert boot.ring.state[boot.ring.index(boot.ring.sequence)] == journal.UNRELEASED, "the head is not"
    assert clock.taken >= 1_700_000_000_000
    boot.scan(1000)
    ship(shipper)
    assert len(pieces(centre.requests[-1])) == 1 and len(pieces(centre.requests[-1])[0][4]) < 30, "only what is new"
    ship(shipper)
    assert count(centre.requests[-1]) == 0, "then a heartbeat"


def test_nothing_is_released_on_any_other_word():
    boot, shipper, centre, _ = board()
    before = bytes(boot.ring.state)
    wrong = seal.Mac(b"attacker")
    for answer in (
        lambda r: (b"200", centre.reply(r, count(r), key=wrong)),
        lambda r: (b"200", centre.reply(r, count(r), nonce=b"otherone")),
        lambda r: (b"200", centre.reply(r, count(r) + 1)),
        lambda r: (b"200", centre.reply(r, -1)),
        lambda r: (b"200", centre.reply(r, 0, body='{"stored": true}')),
        lambda r: (b"200", centre.reply(r, 0, body='{"stored": 1.0}')),
        lambda r: (b"200", centre.reply(r, 0, body='{"stored": "1"}')),
        lambda r: (b"200", centre.reply(r, 0, body='{"now": 1}')),
        lambda r: (b"200", centre.reply(r, 0, body="[1]")),
        lambda r: (b"200", centre.reply(r, 0, body="nonsense")),
        lambda r: (b"200", bytearray(b'{"stored": 9}')),
        lambda r: (b"200", bytearray()),
        lambda r: (b"200", bytearray(41)),
        lambda r: (b"401", b""),
        lambda r: (b"500", b""),
        lambda r: (b"302", b""),
        lambda r: (b"200", centre.reply(r, 0)),
    ):
        centre.answers = [answer]
        assert ship(shipper) is None
        assert bytes(boot.ring.state) == before and shipper._stored is None
    while ship(shipper):
        pass
    assert received(centre) == journal_bytes(boot)


def test_replayed_reply_releases_nothing_new():
    boot, shipper, centre, _ = board(scans=30)
    kept = []

    def keep(request):
        kept.append(centre.reply(request, count(request)))
        return b"200", bytearray(kept[0])

    centre.answers = [keep]
    ship(shipper)
    for n in range(30, 60):
        boot.scan(n)
    centre.answers = [lambda r: (b"200", bytearray(kept[0]))]
    assert ship(shipper) is None
    while ship(shipper):
        pass
    assert received(centre) == journal_bytes(boot)


def test_late_reply_counts_for_its_own_request():
    boot, shipper, centre, _ = board(scans=30)
    kept = []

    def lose(request):
        kept.append(centre.reply(request, count(request)))
        return b"500", b""

    centre.answers = [lose]
    assert ship(shipper) is None
    first = shipper._waits[0]
    for n in range(30, 40):
        boot.scan(n)
    centre.answers = [lambda r: (b"200", kept[0])]
    ship(shipper)
    assert shipper._stored[2] == first[2][0][5], "only what that request carried"
    while ship(shipper):
        pass
    assert received(centre) == journal_bytes(boot)


def test_only_the_last_four_requests_are_waited_for():
    boot, shipper, centre, _ = board(scans=30)
    kept = []

    def lose(request):
        kept.append(centre.reply(request, count(request)))
        return b"500", b""

    centre.answers = [lose] * 5
    for _ in range(5):
        ship(shipper)
    assert len(shipper._waits) == 4
    assert asyncio.run(shipper._accept(kept[0])) is None
    assert asyncio.run(shipper._accept(kept[1])) == 1


def test_requests_are_long_and_go_through_one_small_buffer():
    """Up to 64 KiB each, for every one costs a round trip; what is in RAM of one is never more than 4 KiB."""
    boot, shipper, centre, _ = board(3200, 24)
    sent = journal_bytes(boot)
    while ship(shipper):
        pass
    assert received(centre) == sent
    sizes = [len(request) for request in centre.requests]
    assert 60000 < max(sizes) <= 65536 and len(sizes) == 2, sizes
    assert len(Http.buffer) <= 4096


def test_what_takes_long_is_sent_in_smaller_pieces_until_it_is_quick():
    """A slow link is to give an answer before it is taken for dead."""
    boot, shipper, centre, _ = board(10)
    for took_ms, works, limit in (
        (25000, False, 32768), (25000, False, 16384), (25000, True, 16384), (5000, True, 32768), (5000, False, 32768),
    ):  # fmt: skip
        shipper._took_ms = lambda took_ms=took_ms: took_ms
        centre.answers = [] if works else [lambda request: (b"500", b"")]
        running(shipper, centre, shipper._links, [nothing] * 3)
        assert shipper._limit == limit, (took_ms, works, shipper._limit)


def test_small_limits_still_get_everything_through():
    boot, shipper, centre, _ = board()
    centre.limit = 300
    for _ in range(3000):
        ship(shipper)
        if not shipper.plan():
            break
    assert received(centre) == journal_bytes(boot)
    accepted = [r for r in centre.requests if len(r) <= 300]
    assert len(accepted) > 40


def test_partly_stored():
    boot, shipper, centre, _ = board()
    centre.answers = [lambda r: (b"200", centre.reply(r, 1))]
    assert ship(shipper) is True
    assert boot.ring.state[0] == 2 and boot.ring.state[1] == journal.UNRELEASED
    while ship(shipper):
        pass
    assert received(centre) == journal_bytes(boot)


def test_damaged_sector_goes_out_once_and_raw():
    boot, shipper, centre, _ = board()
    boot.ring.flash.data[4096 + 9] ^= 4
    again = Boot(boot.ring.flash, 2)
    shipper._ring = again.ring
    assert again.ring.state[1] == journal.DAMAGED
    while ship(shipper):
        pass
    raw = [p for r in centre.requests for p in pieces(r) if p[1] == 0]
    assert [(p[2], p[3], len(p[4])) for p in raw] == [(bytes(32), 0, 4096)]
    assert raw[0][4] == bytes(boot.ring.flash.data[4096:8192])
    count_before = len(centre.requests)
    ship(shipper)
    assert count(centre.requests[count_before]) == 0


def test_two_generations_never_share_a_request():
    boot, shipper, centre, _ = board(scans=300, sectors=8)
    other = Nor(8, seed=99)
    stranger = Boot(other, 7)
    for n in range(500):
        stranger.scan(n)
    # The stranger's first sector lies in our ring, behind our head.
    index = stranger.ring.index(stranger.ring.sequence)
    assert index not in (0, 1, 2)
    boot.ring.flash.data[index * 4096 : (index + 1) * 4096] = other.data[index * 4096 : (index + 1) * 4096]
    again = Boot(boot.ring.flash, 3)
    shipper._ring = again.ring
    for _ in range(20):
        ship(shipper)
    for request in centre.requests:
        assert len({p[0] for p in pieces(request)}) <= 1
    assert len({p[0] for r in centre.requests for p in pieces(r)}) == 2


def test_overwriting_while_it_is_sent_starts_over():
    boot, shipper, centre, _ = board()
    original = boot.ring.flash.readblocks

    def displacing(block, buffer, offset=0):
        original(block, buffer, offset)
        boot.ring.lost += 1

    async def attempt():
        boot.ring.flash.readblocks = original
        plan = shipper.plan()
        boot.ring.flash.readblocks = displacing

        async def write(data):
            pass

        await shipper._send(write, b"12345678", plan)

    try:
        asyncio.run(attempt())
    except HttpError:
        return
    raise AssertionError("half of two sectors was sent as one")


def running(shipper, centre, way, steps, ms=20):
    """Run the shipper's task for a while: `steps` are functions called in turn, `ms` apart; the sizes of its requests."""

    async def run():
        task = asyncio.create_task(shipper.run(lambda: None))
        for step in steps:
            await asyncio.sleep_ms(ms)
            step()
        await asyncio.sleep_ms(ms)
        task.cancel()

    asyncio.run(run())
    return [count(request) for request in centre.requests]


def nothing():
    pass


def scan_and_send(metered, urgent, wait_ms=60000):
    """The sizes of the requests of a board that has sent all and then records a scan."""
    boot, shipper, centre, _ = board(scans=10)
    shipper._links = Way(metered)
    shipper._metered_wait_ms = wait_ms

    def scan():
        boot.scan(10)
        shipper._door.recorded.set()
        if urgent:
            shipper.urgent()

    sent = running(shipper, centre, shipper._links, [nothing, scan] + [nothing] * 50)
    assert shipper._urgent is False
    return sent


def test_on_a_metered_link_records_wait_for_others_unless_one_is_urgent():
    assert scan_and_send(True, False) == [1]
    assert scan_and_send(True, True) == [1, 1]
    assert scan_and_send(False, False) == [1, 1]
    assert scan_and_send(True, False, 100) == [1, 1], "it waits no longer than asked"


def test_the_months_bytes_spare_what_is_urgent():
    _, shipper, centre, _ = board(scans=10)
    way = shipper._links = Way(True)
    way.permits = False
    assert running(shipper, centre, way, [nothing] * 5) == []
    assert running(shipper, centre, way, [nothing, shipper.urgent] + [nothing] * 60) == [1]
    assert [heard[0] for heard in way.heard] == ["a", "answered"], "asking, answered"


def test_a_link_that_wants_a_word_gets_one():
    _, shipper, centre, _ = board(scans=10)
    way = shipper._links = Way()

    def want():
        way.wants = True

    sent = running(shipper, centre, way, [nothing] * 3 + [want] + [nothing] * 60, 20)
    assert sent == [1, 0]


def test_a_tls_handshake_waits_until_nobody_shows_a_card_or_for_something_urgent():
    for quiet_ms, urgent, sent in ((4900, False, []), (5000, False, [1]), (0, True, [1])):
        _, shipper, centre, _ = board(scans=10)
        centre.tls = Tls()
        centre.connected = lambda: False
        shipper._door.quiet_ms = quiet_ms
        if urgent:
            shipper.urgent()
        assert running(shipper, centre, shipper._links, [nothing] * 3) == sent, quiet_ms
    _, shipper, centre, _ = board(scans=10)
    centre.tls = Tls()
    centre.connected = lambda: True
    shipper._door.quiet_ms = 0
    assert running(shipper, centre, shipper._links, [nothing] * 3) == [1], "a connection that stands is used"


def test_what_kept_the_centre_from_being_told_is_told_once():
    def portal(request):
        raise HttpError("captive portal")

    _, shipper, centre, _ = board(scans=10)
    centre.answers = [portal, portal]
    running(shipper, centre, shipper._links, [shipper.urgent] + [nothing] * 100)
    assert centre.told == ["uplink: captive portal"] and shipper.failures == 2
    assert ("unanswered", 0) in shipper._links.heard


def test_a_connection_that_had_been_hung_up_is_no_failure():
    def hung_up(request):
        centre.kept = True
        raise OSError(104)

    def fine(request):
        centre.kept = False
        return b"200", centre.reply(request, count(request))

    _, shipper, centre, _ = board(scans=10)
    centre.answers = [hung_up, fine]
    assert running(shipper, centre, shipper._links, [nothing] * 3) == [1, 1]
    assert shipper.failures == 0
    _, shipper, centre, _ = board(scans=10)
    centre.answers = [hung_up, fine]
    shipper._took_ms = lambda: 60000
    running(shipper, centre, shipper._links, [nothing] * 3)
    assert shipper.failures == 1 and shipper._limit < 65536, "but one that ends after a minute of sending was too long"


def saying(centre, body):
    """An authentic answer with this text."""
    return lambda request: (b"200", centre.reply(request, 0, body=body))


def test_a_collector_that_lost_data_gets_released_sectors_again():
    boot, shipper, centre, _ = board(scans=700, sectors=12)
    whole = journal_bytes(boot)
    while ship(shipper):
        pass
    assert received(centre) == whole
    last = boot.ring.sequence
    assert boot.ring.unreleased() == 1 and last > 4
    for first in (1, 3, last):
        del centre.requests[:]
        body = json.dumps({"stored": 0, "resend": {"generation": boot.ring.generation, "sequence": first}})
        centre.answers = [saying(centre, body)]
        assert ship(shipper) is True
        del centre.requests[:]
        while ship(shipper):
            pass
        wanted = {sequence: data for sequence, data in whole.items() if sequence >= first}
        assert received(centre) == wanted
        assert boot.ring.unreleased() == 1 and shipper._again is None


def test_a_released_sector_of_another_generation_is_not_sent_for_ever():
    other = Nor(8, seed=99)
    stranger = Boot(other, 7)
    for n in range(100):
        stranger.scan(n)
    boot, shipper, centre, _ = board(scans=400, sectors=8)
    index = 0
    boot.ring.flash.data[index * 4096 : (index + 1) * 4096] = other.data[:4096]
    again = Boot(boot.ring.flash, 3)
    shipper._ring = again.ring
    again.ring.state[index] = journal.RELEASED
    body = json.dumps({"stored": 0, "resend": {"generation": again.ring.generation, "sequence": 1}})
    while ship(shipper):
        pass
    centre.answers = [saying(centre, body)]
    before = len(centre.requests)
    for _ in range(10):
        if not ship(shipper):
            break
    assert len(centre.requests) - before < 5 and shipper._again is None
    assert {p[0] for request in centre.requests[before:] for p in pieces(request)} == {again.ring.generation}


def test_what_a_collector_asks_for_wrongly_changes_nothing():
    boot, shipper, centre, _ = board(scans=300)
    while ship(shipper):
        pass
    wrong = ('{"sequence": 1}', '{"generation": 1}', '"all"', "[1, 2]", "1", "null", '{"generation": "1", "sequence": "1"}')
    wrong += ('{"generation": 1.5, "sequence": 1}', '{"generation": 7, "sequence": -1}', '{"generation": 7, "sequence": 1}')
    for what in wrong:
        del centre.requests[:]
        body = '{"stored": 0, "resend": %s}' % what
        centre.answers = [saying(centre, body)]
        ship(shipper)
        ship(shipper)
        assert received(centre) == {} and shipper._again is None, what


def test_authentic_replies_of_any_form_do_no_more_than_they_say():
    """The collector itself may err: deep, huge, of other types, spoilt."""
    random.seed(9)
    boot, shipper, centre, clock = board(scans=30)
    deep = "[" * 1500 + "]" * 1500
    bodies = ["", "[]", "null", '{"stored":%s}' % ("9" * 3000), '{"stored":0,"now":%s}' % ("9" * 3000), deep]
    bodies += ['{"stored":0,"x":%s}' % deep, '{"stored":-1}', '{"stored":1e400}', '{"stored":null}', '{"stored":0,"now":-5}']
    good = '{"stored":0,"now":1700000000000,"resend":{"generation":1,"sequence":2},"more":[1,2,{"a":"b"}]}'
    for _ in range(200):
        text = bytearray(good.encode())
        for _ in range(random.randint(1, 6)):
            text[random.randint(0, len(text) - 1)] = random.choice(b'{}[],:"0123456789.-eE x\\u')
        bodies.append(bytes(text).decode())
    for body in bodies:
        clock.taken = shipper._stored = None
        centre.answers = [saying(centre, body)]
        ship(shipper)
        assert shipper._stored is None or '"stored":1' in body, body  # a spoilt digit may say it
        assert clock.taken is None or 0 < clock.taken < 1 << 47, body


def test_a_reply_nested_deeper_than_the_board_can_follow_is_no_reply():
    boot, shipper, centre, _ = board(10)
    for error in (RuntimeError, MemoryError, ValueError):

        class Json:
            @staticmethod
            def loads(text, error=error):
                raise error("maximum recursion depth exceeded")

        import uplink.shipper as module

        real, module.json = module.json, Json
        try:
            assert ship(shipper) is None and boot.ring.unreleased() > 0
        finally:
            module.json = real
    assert ship(shipper) is False


def test_others_run_between_one_release_and_the_next():
    """Each is a flash program; a card that comes then is not to wait for all of them."""
    boot, shipper, centre, _ = board()
    turns, seen = [0], []
    release = shipper._release

    def released(piece):
        seen.append(turns[0])
        release(piece)

    shipper._release = released

    async def run():
        async def count_turns():
            while True:
                turns[0] += 1
                await asyncio.sleep_ms(0)

        task = asyncio.create_task(count_turns())
        await shipper.exchange()
        task.cancel()

    asyncio.run(run())
    assert len(seen) > 2 and all([b > a for a, b in zip(seen, seen[1:])]), seen
