"""Config, clock, identity and supervisor inside MicroPython."""

import asyncio
import json
import os
import struct
from binascii import crc32

import clock
import config
import identity
import supervisor
import vfs
from nor import Nor


def fresh_disk():
    """A RAM disk with littlefs at "/", as on a board."""
    flash = Nor(32)

    class Disk:
        def readblocks(self, block, buffer, offset=0):
            flash.readblocks(block, buffer, offset)

        def writeblocks(self, block, buffer, offset=None):
            if offset is None:
                flash.ioctl(6, block)
                offset = 0
            flash.writeblocks(block, buffer, offset)

        def ioctl(self, operation, argument):
            return flash.ioctl(operation, argument)

    disk = Disk()
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(vfs.VfsLfs2(disk), "/ram")
    os.chdir("/ram")


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def test_config_good_then_bad_then_gone():
    fresh_disk()
    good = {"version": 3, "wifi": [{"ssid": "cho", "password": "12345678"}], "repeat_window_s": 30}
    write("config.json", json.dumps(good))
    settings, changed, problem = config.load()
    assert (settings.version, settings.repeat_window_s, settings.heartbeat_s) == (3, 30, 35)
    assert changed and problem is None
    assert config.load()[1] == changed, "it is new until the board serves with it"
    config.keep(changed)
    assert not config.load()[1], "the same file again is no change"
    for bad, line in (
        ({"wifi": [{"ssid": ""}]}, "wifi[0].ssid: empty"),
        ({"wifi": [{"ssid": "x", "password": "short"}]}, "wifi[0].password: 8 to 63 bytes"),
        ({"wifi": [{"ssid": "x", "key": 1}]}, "wifi[0].key: not a setting"),
        ({"wifi": [{"ssid": "x", "password": 0}]}, "wifi[0].password: a text"),
        ({"wifi": {}}, "wifi: a list of at most 8"),
        ({"wifi": [3]}, "wifi[0]: an object"),
        ({"repeat_window_s": -1}, "repeat_window_s: a whole number, 0 to 86400"),
        ({"repeat_window_s": True}, "repeat_window_s: a whole number, 0 to 86400"),
        ({"repeat_window_s": 1.5}, "repeat_window_s: a whole number, 0 to 86400"),
        ({"record_repeats": 1}, "record_repeats: true or false"),
        ({"journal_full": "drop"}, "journal_full: one of refuse, overwrite"),
        ({"cards": ["qrqg", "dcc"]}, "cards[1]: one of qrqg, cccd, bhyt, passes"),
        ({"cards": "qrqg"}, "cards: a list of at most 8"),
        ({"lists": ["grey"]}, "lists[0]: one of deny, allow"),
        ({"hours": ["07:30-17:00", "8-17"]}, "hours[1]: like 07:30-17:00, or 1-5 07:30-17:00 for Monday to Friday"),
        ({"hours": [730]}, "hours[0]: like 07:30-17:00, or 1-5 07:30-17:00 for Monday to Friday"),
        ({"utc_offset_min": 900}, "utc_offset_min: a whole number, -720 to 840"),
        ({"other_codes": "keep"}, "other_codes: one of record, refuse"),
        ({"most_inside": 5}, "most_inside: needs an exit_scanner"),
        ({"most_inside": 5, "exit_scanner": "none"}, "most_inside: needs an exit_scanner"),
        ({"links": []}, "links: empty"),
        ({"exit_scanner": "gm66"}, "exit_scanner: one of none, gm65, auto, ssi, newland, line"),
        ({"colour": "red"}, "colour: not a setting"),
        ([1], "config: an object"),
    ):
        write("config.json", json.dumps(bad))
        settings, changed, problem = config.load()
        assert problem == line, (bad, problem)
        assert not changed and settings.version == 3, "the last good config goes on"
    for text in ("", "{", "nonsense", "[" * 3000, "\x00\xff"):
        write("config.json", text)
        settings, _, problem = config.load()
        assert problem == "config: not JSON" and settings.version == 3, text[:10]
    os.remove("config.json")
    settings, _, problem = config.load()
    assert problem and settings.version == 3
    os.remove("config.good")
    settings, _, problem = config.load()
    assert problem and settings.version == 0 and settings.journal_full == "refuse"


def test_a_config_with_which_the_board_does_not_start_gives_way():
    fresh_disk()
    write("config.json", '{"version": 1}')
    settings, new, problem = config.load(True)
    assert settings.version == 1 and new and problem is None, "the first one has no other before it"
    config.keep(new)
    write("config.json", '{"version": 2}')
    settings, new, problem = config.load()
    assert settings.version == 2 and new
    settings, new, problem = config.load(True)
    assert (settings.version, new, problem) == (1, None, "config: the board does not start with it")
    config.keep('{"version": 2}')
    assert config.load(True)[0].version == 2, "one that has served is not to blame for a crash"


def test_config_of_a_door_with_rules():
    rules = {"hours": ["1-5 07:30-17:00"], "lists": ["deny", "allow"], "most_inside": 30, "exit_scanner": "auto"}
    settings = config.parse(json.dumps(rules))
    assert [getattr(settings, name) for name in rules] == list(rules.values())
    assert settings.utc_offset_min == 420


def test_clock_readings():
    now = [1000]
    clock.time = Time(now)
    c = clock.Clock()
    assert c.uptime_ms() == 0 and not c.known()
    now[0] += 5000
    c.reading(1_700_000_000_000, 40, 3)
    assert c.record_due()
    c.recorded()
    assert not c.record_due()
    now[0] += 10000
    assert c.now() == (1_700_000_010_000, 41)
    c.reading(1_700_000_010_020, 500, 3)
    assert c.now()[0] == 1_700_000_010_000, "a worse reading that agrees changes nothing"
    c.reading(1_700_000_010_020, 10, 3)
    assert c.now()[0] == 1_700_000_010_020, "a better one does"
    c.reading(1_700_000_900_000, 500, 3)
    assert c.now()[0] == 1_700_000_900_000 and c.record_due(), "a jump is believed and recorded"
    c.recorded()
    for _ in range(6 * 60):
        now[0] += 60000
        c.uptime_ms()
    assert c.record_due(), "every six hours"


class Time:
    """Ticks that wrap at 2^30 as on the ESP32."""

    def __init__(self, now):
        self.now = now

    def ticks_ms(self):
        return self.now[0] & (1 << 30) - 1

    def ticks_diff(self, a, b):
        return ((a - b + (1 << 29)) & (1 << 30) - 1) - (1 << 29)


def test_uptime_beyond_the_wrap():
    now = [(1 << 30) - 5]
    clock.time = Time(now)
    c = clock.Clock()
    total = 0
    for _ in range(400):
        now[0] += 86400000
        total += 86400000
        assert c.uptime_ms() == total
    assert total > 1 << 34


def identity_partition(copies):
    flash = Nor(2)
    for block, (counter, members) in enumerate(copies):
        text = json.dumps(members).encode()
        data = struct.pack("<4sIH", b"CHI1", counter, len(text)) + text
        data += struct.pack("<I", crc32(data))
        flash.data[block * 4096 : block * 4096 + len(data)] = data
    return flash


def members(url="http://127.0.0.1:8080"):
    return {
        "device_id": "0000a0b1c2d3e4f5",
        "device_key": "11" * 32,
        "collector_public": "22" * 32,
        "collector_url": url,
        "list_key": "33" * 32,
        "last_command": 0,
    }


def test_identity():
    flash = identity_partition([(4, members("http://old:1")), (5, members("http://new:1"))])
    me = identity.load(flash)
    assert me.collector_url == "http://new:1" and me.device_key == b"\x11" * 32
    flash.data[4096 + 30] ^= 1
    assert identity.load(flash).collector_url == "http://old:1", "a torn copy gives way to the other"
    flash.data[30] ^= 1
    for broken in (flash, Nor(2)):
        try:
            identity.load(broken)
        except OSError as error:
            assert "enrol" in str(error)
        else:
            raise AssertionError


def test_supervisor_restarts_reports_and_starves_the_watchdog():
    fed, notes, crashes, runs = [], [], [], []
    uptime = [0]

    async def crashing(pulse):
        runs.append(1)
        await asyncio.sleep_ms(1)
        raise ValueError("boom")

    async def healthy(pulse):
        while True:
            pulse()
            await asyncio.sleep_ms(1)

    async def stuck(pulse):
        while True:
            await asyncio.sleep_ms(50)

    async def scenario():
        s = supervisor.Supervisor(lambda: uptime[0], lambda: fed.append(1), notes.append, lambda: crashes.append(1))
        s.add("healthy", healthy, 5000)
        task = asyncio.create_task(s.run())
        real_sleep = asyncio.sleep_ms

        async def fast(ms):
            uptime[0] += ms
            await real_sleep(2)

        supervisor.asyncio = Fast(fast)
        await real_sleep(60)
        assert fed and not notes
        s.add("crashing", crashing, 5000)
        await real_sleep(200)
        assert len(runs) >= 5 and crashes, "after five crashes the board starts over"
        assert notes[0] == "crash: crashing: ValueError('boom',)"
        s._tasks.pop()
        s.add("stuck", stuck, 3000)
        await real_sleep(60)
        count = len(fed)
        await real_sleep(60)
        assert len(fed) == count, "a stuck task starves the watchdog"
        assert notes[-1] == "stuck: stuck"
        task.cancel()

    asyncio.run(scenario())


class Fast:
    """asyncio with a sleep that takes no time."""

    def __init__(self, sleep_ms):
        self.sleep_ms = sleep_ms
        self.create_task = asyncio.create_task
