"""Runs on a board in maintenance: one function a part, each prints what it found as one JSON object."""

import gc
import json
import time

import machine


def say(**found):
    print(json.dumps(found))


def heap():
    gc.collect()
    say(free=gc.mem_free(), used=gc.mem_alloc())


def lamp(pins):
    """Each colour for half a second, then off."""
    leds = [machine.Pin(pin, machine.Pin.OUT, value=0) for pin in pins]
    for led in leds:
        led.value(1)
        time.sleep_ms(500)
        led.value(0)
    say(shown=len(leds))


def buzzer(pin):
    """The tone of a recorded card."""
    tone = machine.PWM(machine.Pin(pin), freq=2700, duty_u16=32768)
    time.sleep_ms(150)
    tone.duty_u16(0)
    tone.deinit()
    say(played=1)


def relay(pin):
    """Pulled in for a second."""
    coil = machine.Pin(pin, machine.Pin.OUT, value=1)
    time.sleep_ms(1000)
    coil.value(0)
    say(pulled=1)


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def grow(uart, tx, rx):
    """Model, hardware and software version of a GROW module: its registers 00E0 to 00E2, read at each usual speed."""
    body = bytes((7, 1, 0, 0xE0, 3))
    crc = crc16(body)
    ask = b"\x7e\x00" + body + bytes((crc >> 8, crc & 255))
    heard = 0
    for baud in (9600, 115200, 57600):
        port = machine.UART(uart, baudrate=baud, tx=tx, rx=rx, rxbuf=512)
        for _ in range(3):
            port.read()
            port.write(ask)
            time.sleep_ms(200)
            got = port.read() or b""
            heard += len(got)
            at = got.find(b"\x02\x00\x00\x03")
            if at >= 0 and len(got) >= at + 7:
                say(baud=baud, model=got[at + 4], hardware=got[at + 5], software=got[at + 6])
                return
    say(heard=heard)


def clock(sda, scl, now):
    """A DS3231 at 0x68 against `now` (UTC, seconds since 2000): its error in seconds; `stopped` if it lost its supply."""
    bus = machine.I2C(0, sda=machine.Pin(sda), scl=machine.Pin(scl), freq=100000)
    try:
        raw = bus.readfrom_mem(0x68, 0, 7)
        status = bus.readfrom_mem(0x68, 15, 1)[0]
    except OSError:
        say(absent=1)
        return
    number = [(byte >> 4) * 10 + (byte & 15) for byte in (raw[0], raw[1], raw[2] & 63, raw[4], raw[5] & 31, raw[6])]
    second, minute, hour, day, month, year = number
    there = time.mktime((2000 + year, month, day, hour, minute, second, 0, 0)) - time.mktime((2000, 1, 1, 0, 0, 0, 0, 0))
    say(error_s=there - now, stopped=status >> 7)


def wifi(networks):
    """The first network that lets the board in; it stays connected."""
    import network

    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    for entry in networks:
        wlan.connect(entry["ssid"], entry.get("password"))
        for _ in range(150):
            if wlan.isconnected():
                say(ssid=entry["ssid"], rssi=wlan.status("rssi"))
                return
            time.sleep_ms(100)
        wlan.disconnect()
    say(tried=len(networks))


def collector(host, port, path):
    """What the collector answers to a GET, and how long that took."""
    import socket

    begun = time.ticks_ms()
    try:
        line = socket.socket()
        line.settimeout(15)
        line.connect(socket.getaddrinfo(host, port)[0][-1])
        line.write(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        got = b""
        while len(got) < 2048:
            part = line.read(256)
            if not part:
                break
            got += part
        line.close()
    except OSError as error:
        say(error=repr(error))
        return
    head, _, body = got.partition(b"\r\n\r\n") if hasattr(got, "partition") else (got, b"", b"")
    say(status=head[:15].decode(), body=body.hex(), ms=time.ticks_diff(time.ticks_ms(), begun))


def identity():
    """Device id, collector and its public key; never the device's own key."""
    from esp32 import Partition

    found = Partition.find(Partition.TYPE_DATA, label="identity")
    best = None
    if found:
        sector = bytearray(4096)
        counter = -1
        for block in (0, 1):
            found[0].readblocks(block, sector)
            length = sector[8] | sector[9] << 8
            number = int.from_bytes(sector[4:8], "little")
            if sector[:4] == b"CHI1" and length < 4000 and number > counter:
                counter = number
                best = json.loads(bytes(sector[10 : 10 + length]))
    if best:
        say(device=best["device_id"], url=best["collector_url"], public=best["collector_public"])
    else:
        say(absent=1)


def journal():
    """Sectors of the journal by state, from their headers alone; `damaged` have data and no header that checks."""
    from binascii import crc32

    from esp32 import Partition

    found = Partition.find(Partition.TYPE_DATA, label="journal")
    if not found:
        say(absent=1)
        return
    part = found[0]
    count = part.ioctl(4, 0)
    head = bytearray(64)
    byte = bytearray(64)
    released = unreleased = blank = damaged = 0
    for block in range(count):
        part.readblocks(block, head, 0)
        part.readblocks(block, byte, 64)
        empty = byte == b"\xff" * 64
        if head[:4] == b"CHT1" and crc32(bytes(head[:52])) == int.from_bytes(head[52:56], "little"):
            if head[56] == 0:
                released += 1
            else:
                unreleased += not empty
        elif empty:
            blank += 1
        else:
            damaged += 1
    say(sectors=count, released=released, unreleased=unreleased, blank=blank, damaged=damaged)
