"""Runs on a board in maintenance, a function at a time: one a part, each prints what it found as one JSON object."""

import gc
import json
import time

import machine


def say(**found):
    print(json.dumps(found))


def heap():
    gc.collect()
    say(free=gc.mem_free(), used=gc.mem_alloc())


def alive():
    """Something on the line while nothing is found yet: a board that is silent for 30 s is given up (console.py)."""
    print()


def strip(pin):
    """Each colour of a WS2812 for half a second, then off."""
    import neopixel

    pixels = neopixel.NeoPixel(machine.Pin(pin, machine.Pin.OUT), 1)
    for colour in ((64, 0, 0), (0, 64, 0), (0, 0, 64), (0, 0, 0)):
        pixels[0] = colour
        pixels.write()
        time.sleep_ms(500)
    say(shown=3)


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


def grow(uart, tx, rx):
    """Model, hardware and software version of a GROW module: its registers 00E0 to 00E2, read at each usual speed."""
    ask = b"\x7e\0\x07\x01\0\xe0\x03"
    crc = 0
    for byte in ask[2:]:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    ask += bytes((crc >> 8, crc & 255))
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


def ssi(uart, tx, rx):
    """Whether an SSI module acknowledges that it may read, at each usual speed, and the revision that it tells."""
    heard = 0
    for baud in (9600, 115200):
        port = machine.UART(uart, baudrate=baud, tx=tx, rx=rx, rxbuf=512)
        for _ in range(2):
            time.sleep_ms(300)  # what it took for the beginning of a packet, at the other rate, it gives up
            port.write(b"\0")  # wakes it
            time.sleep_ms(50)
            port.read()
            port.write(b"\x04\xe9\x04\0\xff\x0f")
            time.sleep_ms(200)
            got = port.read() or b""
            heard += len(got)
            if b"\x04\xd0\0" not in got:
                continue
            port.write(b"\x04\xa3\x04\0\xff\x55")
            time.sleep_ms(200)
            got = port.read() or b""
            at = got.find(b"\xa4\0")
            text = ""
            if at > 0:
                port.write(b"\x04\xd0\x04\0\xff\x28")  # acknowledged, or it is sent again
                text = "".join([chr(byte) for byte in got[at + 3 : at - 1 + got[at - 1]] if 32 <= byte < 127])
            say(baud=baud, revision=text)
            return
    say(heard=heard)


def newland(uart, tx, rx):
    """Whether a Newland module answers its question, at each usual speed."""
    heard = 0
    for baud in (9600, 115200):
        port = machine.UART(uart, baudrate=baud, tx=tx, rx=rx, rxbuf=512)
        for _ in range(2):
            port.read()
            port.write(b"?")
            time.sleep_ms(200)
            got = port.read() or b""
            heard += len(got)
            if got == b"!":
                say(baud=baud)
                return
    say(heard=heard)


def modem(kind, pins, sim_pin):
    """A 4G modem: woken as the firmware does it, its SIM unlocked; up to 60 s for a network to take it."""
    out = {}
    for name in ("power", "flight", "pwrkey", "reset", "dtr"):
        if name in pins:
            out[name] = machine.Pin(pins[name], machine.Pin.OUT, value=name in ("power", "flight"))
    port = machine.UART(pins["uart"], baudrate=115200, tx=pins["tx"], rx=pins["rx"], rxbuf=1024)

    def ask(command, ms=5000):
        """The lines of its answer; none where no answer ends in time."""
        alive()
        port.read()
        port.write(command + b"\r")
        got = b""
        for _ in range(ms // 20):
            time.sleep_ms(20)
            got += port.read() or b""
            lines = [line.strip() for line in got.split(b"\n")]
            if b"OK" in lines or b"ERROR" in lines or b"+CME ERROR" in got:
                return lines
        return []

    def told(command, name):
        for line in ask(command):
            if line.startswith(name + b": "):
                return "".join([chr(byte) for byte in line[len(name) + 2 :] if 32 <= byte < 127])
        return ""

    def listens(tries):
        for _ in range(tries):
            if ask(b"AT", 1000):
                return True
        return False

    if not listens(3):
        time.sleep_ms(1100)
        port.write(b"+++")  # out of a call that the firmware has left
        time.sleep_ms(1100)
        if not listens(1) and "dtr" in out:
            out["dtr"](1)
            time.sleep_ms(300)
            out["dtr"](0)
        if not listens(2):
            out["pwrkey"](1)
            time.sleep_ms(500 if kind == "sim7600" else 100)
            out["pwrkey"](0)
            if not listens(30):
                say(absent=1)
                return
    ask(b"ATE0")
    ask(b"AT+CMEE=1")
    revision = told(b"AT+CGMR", b"+CGMR")
    for _ in range(3):
        sim = told(b"AT+CPIN?", b"+CPIN")
        if sim:
            break
        time.sleep_ms(2000)
    if sim == "SIM PIN" and sim_pin:
        # The third wrong one would lock it, so a SIM that has seen one gets no other.
        seen = told(b"AT+SPIC", b"+SPIC").split(",")[0] in ("0", "1", "2")
        sim = "READY" if not seen and b"OK" in ask(b'AT+CPIN="' + sim_pin.encode() + b'"') else "wrong PIN"
    state, level = 0, 99
    for _ in range(30 if sim == "READY" else 0):
        for name in (b"+CEREG", b"+CGREG"):
            if state not in (1, 5):
                state = int((told(b"AT" + name + b"?", name).split(",") + ["0"])[1])
        if state in (1, 3, 5):
            level = int(told(b"AT+CSQ", b"+CSQ").split(",")[0] or 99)
            break
        time.sleep_ms(2000)
    say(revision=revision, sim=sim, registration=state, dbm=level * 2 - 113 if level < 32 else None)


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
        for turn in range(150):
            if turn % 50 == 0:
                alive()
            if wlan.isconnected():
                say(ssid=entry["ssid"], rssi=wlan.status("rssi"))
                return
            time.sleep_ms(100)
        wlan.disconnect()
    say(tried=len(networks))


def collector(host, port, path, authority, now):
    """What the collector answers to a GET, how long that took, and which step failed. With `authority` (certificates, each
    DER) it is asked over TLS, the chip's clock set to `now` first: a certificate's dates go by it."""
    import socket

    begun = time.ticks_ms()
    step = "DNS"
    line = None
    try:
        address = socket.getaddrinfo(host, port)[0][-1]
        alive()
        step = "TCP"
        line = socket.socket()
        line.settimeout(8)
        line.connect(address)
        alive()
        request = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n"
        if authority:
            step = "TLS"
            import tls

            machine.RTC().datetime(now)
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            for certificate in authority:
                context.load_verify_locations(certificate)
            line = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
        if line.write(request) != len(request):  # shakes hands first
            raise OSError("no answer")
        alive()
        step = "HTTP"
        got = b""
        while len(got) < 2048:
            part = line.read(256)
            if not part:
                break
            got += part
    except (OSError, ValueError) as error:
        say(step=step, error=" ".join(str(error).split())[:100])
        return
    finally:
        if line:
            line.close()
    at = got.find(b"\r\n\r\n")
    say(status=got[9:12].decode(), body=got[at + 4 :].hex(), ms=time.ticks_diff(time.ticks_ms(), begun))


def identity():
    """Device id, collector, its public key and whom to believe that it is it; never the device's own key."""
    from binascii import b2a_base64

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
        authority = best.get("collector_ca", "")
        if not authority:
            try:
                with open("ca.der", "rb") as file:
                    authority = b2a_base64(file.read()).decode().strip()
            except OSError:
                pass
        say(device=best["device_id"], url=best["collector_url"], public=best["collector_public"], authority=authority)
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
