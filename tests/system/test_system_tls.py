"""The firmware's client in the real MicroPython, over real sockets and real TLS: to the collector, and to servers that lie."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host_tools.cli.main import main
from host_tools.collector.server import CollectorServer
from host_tools.collector.store import Store
from host_tools.formats.keys import collector_public
from host_tools.simulator.certificates import Certificate, authority, server
from host_tools.simulator.runtime import runtime_command

ROOT = Path(__file__).parents[2]
PRIVATE = hashlib.sha256(b"a collector behind TLS").digest()
DEVICE, KEY = b"\0\0a door", hashlib.sha256(b"a board behind TLS").digest()

# The chip's modules as far as uplink/tls.py needs them; the rest is the firmware.
CLIENT = """
import sys
sys.path[:] = [{firmware!r}, {tests!r}, ".frozen"]
class Chip:
    BUILT_S = 0
    set_to = []
    class RTC:
        def datetime(self, what):
            Chip.set_to.append(what[:3])
    class NVS:
        kept = {{}}
        def __init__(self, space):
            pass
        def get_i32(self, key):
            if key not in self.kept:
                raise OSError(-4354)
            return self.kept[key]
        def set_i32(self, key, value):
            self.kept[key] = value
        def commit(self):
            pass
sys.modules["machine"] = sys.modules["esp32"] = sys.modules["board"] = Chip
import asyncio, os, time
from binascii import unhexlify
from journal import seal
from journal.ring import EVENT, Ring
import records
from nor import Nor
from uplink.http import Http, HttpError
from uplink.shipper import Shipper
from uplink.tls import Tls
class Me:
    device_id = unhexlify("{device}")
    device_key = unhexlify("{key}")
    collector_public = unhexlify("{public}")
class Way:
    def asking(self): pass
    def moving(self): print("moving")
    def server(self): return "127.0.0.1"
class Door:
    def silence_ms(self): return 9000
    async def hold(self, work): await work()
class Clock:
    unix_ms = None
    trust = 0
    agreed = False
    def uptime_ms(self): return time.ticks_ms()
    def reading(self, unix_ms, error_ms, source): self.unix_ms, self.trust = unix_ms, 4
    def known(self): return self.unix_ms is not None
    def now(self): return self.unix_ms, 20
clock = Clock()
http = Http("https://127.0.0.1:{port}", Way(), os.urandom, Tls(unhexlify("{ca}"), Door(), clock))
ring = Ring(Nor(8), Me.device_id, False, os.urandom)
ring.recover()
for epoch in seal.agree(seal.private_key(os.urandom(64), Me.device_key, 1), Me.device_key, Me.collector_public):
    pass
ring.begin_epoch(epoch, lambda buffer, at: records.boot(buffer, at, 0, 1, "tls", 1))
plain = bytearray(239)
def scans(count, first):
    for n in range(first, first + count):
        ring.prepare()
        end = records.scan(plain, 0, 345600000 + n, 0, 3, 1, b"\\x12" + n.to_bytes(8, "big"))
        assert ring.append(memoryview(plain)[:end], EVENT)
scans(400, 0)
shipper = Shipper(ring, Me, http, Way(), clock, os.urandom, Door(), 0, 0, None)
shipper.new_epoch(epoch)
async def ask():
    try:
        while await shipper.exchange():
            pass
        print("stored", http.connected(), ring.unreleased())
    except Exception as error:
        print("refused", repr(error))
        http.close()
async def run():
    {then}
asyncio.run(run())
"""


def client(port: int, ca: Certificate | bytes, then: str = "await ask()", timeout_s: float = 60) -> list[str]:
    """What the firmware's client printed."""
    code = CLIENT.format(
        firmware=str(ROOT / "firmware"),
        tests=str(ROOT / "tests" / "device"),
        device=DEVICE.hex(),
        key=KEY.hex(),
        public=collector_public(PRIVATE).hex(),
        ca=(ca if isinstance(ca, bytes) else ca.der).hex(),
        port=port,
        then=then,
    )
    done = subprocess.run(
        [*runtime_command(), "-X", "heapsize=2M", "-c", code], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture
def ca() -> Certificate:
    return authority()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_the_collector_itself_over_tls(tmp_path: Path, ca: Certificate) -> None:
    """Two requests over one connection; the chip's clock is set by what the collector says, and the day is kept."""
    database = tmp_path / "collector.db"
    with Store(database) as store:
        store.register_device(DEVICE, KEY, "door", now_ms())
    tls = server(["127.0.0.1"], ca).server_context()
    collector = CollectorServer(database, [PRIVATE], clock_ms=now_ms, tls=tls)
    port = collector.start()
    try:
        again = "await ask(); scans(5, 400); await ask(); http.close(); await ask(); await http.tls.keep_time();"
        again += " print(Chip.set_to, Chip.NVS.kept)"
        lines = client(port, authority("another one").der + ca.der, again)
        stored = Store(database)
        with stored:
            assert len(stored.rows(DEVICE)) >= 405
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            plain.settimeout(5)
            assert plain.recv(1000) == b"", "plain HTTP is not spoken where TLS is"
    finally:
        collector.stop()
    assert [line for line in lines if line != "moving"] == [
        "stored True 1",
        "stored True 1",
        "stored True 1",
        f"[] {{'day': {now_ms() // 86_400_000}}}",
    ]
    assert "moving" in lines


class Liar:
    """A TLS server on a loopback port that answers each request with what `say` sends."""

    def __init__(self, context: ssl.SSLContext, say: Callable[[ssl.SSLSocket], None]) -> None:
        self._context, self._say = context, say
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.heard = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    tls.settimeout(20)
                    data = head = body = b""
                    while not body or len(body) < int(head.rpartition(b"Content-Length: ")[2]):
                        data += tls.recv(65536)
                        head, _, body = data.partition(b"\r\n\r\n")
                    self.heard += 1
                    self._say(tls)
            except OSError:
                continue

    def close(self) -> None:
        self._socket.close()


def _flood(head: bytes, body: bytes) -> Callable[[ssl.SSLSocket], None]:
    def say(tls: ssl.SSLSocket) -> None:
        tls.sendall(head)
        for _ in range(2000):
            tls.sendall(body)

    return say


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\n"
LIES = {
    "garbage": _flood(bytes(range(256)), bytes(range(256)) * 8),
    "endless head": _flood(OK, b"X-More: and more\r\n" * 20),
    "1 GB body": _flood(OK + b"Content-Length: 1000000000\r\n\r\n", bytes(4096)),
    "a forged word": _flood(OK + b"Content-Length: 60\r\n\r\n", b'\x01NONCE123{"stored":9}' + bytes(39)),
    "a portal": _flood(b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n", b""),
}


@pytest.fixture
def liar(ca: Certificate) -> Iterator[Callable[..., Liar]]:
    made: list[Liar] = []

    def make(say: Callable[[ssl.SSLSocket], None], certificate: Certificate | None = None) -> Liar:
        made.append(Liar((certificate or server(["127.0.0.1"], ca)).server_context(), say))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("name", LIES)
def test_nothing_is_believed_of_a_server_that_lies(name: str, ca: Certificate, liar: Callable[..., Liar]) -> None:
    server = liar(LIES[name])
    lines = client(server.port, ca, "await ask(); print(ring.unreleased(), shipper._stored)")
    assert server.heard == 1
    assert [line for line in lines if line != "moving"][-1] == "3 None"
    assert any(line.startswith("refused HttpError") for line in lines), lines


def test_certificates_are_checked(ca: Certificate, liar: Callable[..., Liar]) -> None:
    cases = {
        "does not match": server(["127.0.0.2", "centre.example"], ca),
        "not correctly signed": server(["127.0.0.1"], authority()),
        "has expired": server(["127.0.0.1"], ca, ("2020-01-01", "2021-01-01")),
        "starts in the future": server(["127.0.0.1"], ca, ("2048-01-01", "2049-01-01")),
    }
    for said, certificate in cases.items():
        listening = liar(LIES["a forged word"], certificate)
        lines = client(listening.port, ca)
        assert len(lines) == 1 and lines[0].startswith("refused HttpError('certificate: ") and said in lines[0]
        assert listening.heard == 0, "no request is sent before the certificate holds"


def test_the_commands_say_what_is_wrong(
    tmp_path: Path, ca: Certificate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "pass").write_text("correct horse battery staple\n")
    (tmp_path / "pass").chmod(0o600)
    centre = str(tmp_path / "centre")
    assert main(["collector", "init", centre, "--passphrase-file", str(tmp_path / "pass")]) == 0
    certificate, key = server(["127.0.0.1"], ca).write(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    strange = server(["127.0.0.1"], ca).write(other)[1]
    for arguments, said in (
        (["--tls-cert", str(certificate)], "go together"),
        (["--tls-cert", str(certificate), "--tls-key", str(strange)], "no use for TLS"),
        (["--tls-cert", str(tmp_path / "none.pem"), "--tls-key", str(key)], "no use for TLS"),
    ):
        capsys.readouterr()
        assert main(["collector", "run", centre, "--port", "0", *arguments]) != 0
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
