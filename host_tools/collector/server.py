"""The collector on the network: takes requests in over HTTP, answers when they are durable, and shows the page."""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from host_tools.collector.doorman import Doorman
from host_tools.collector.enrolment import Enrolment
from host_tools.collector.opening import Opened, heard, open_request, whole
from host_tools.collector.page import PAGE
from host_tools.collector.resend import ASKED, Resends, detail
from host_tools.collector.state import StateView
from host_tools.collector.store import REFUSED_EPOCH, UNKNOWN_COLLECTOR_KEY, Store
from host_tools.collector.trouble import reason
from host_tools.collector.writer import Writer
from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.formats import enrolment
from host_tools.formats.keys import KeyRing, RefusedKey, collector_key_id, collector_public, epoch_keys, request_key
from host_tools.formats.wire import (
    MAX_REQUEST_BYTES,
    NotAuthentic,
    Request,
    build_reply,
    parse_request,
    request_device_id,
)
from host_tools.text import say

CONTENT_TYPE = "application/x-chot"
# A full request over the slowest link that a board is left on (GPRS, 1 KB/s).
BODY_TIMEOUT_S = 90.0
# How long a refused sender may go on sending before it is cut off, so that it can read why.
LINGERING_S = 0.5
SHUTDOWN_S = 2.0
# An ESP32 needs a second for its part of a handshake, and waits for a pause of the door in between.
HANDSHAKE_S = 30.0
# How often the log says how many bodies broke off.
BROKEN_OFF_EVERY_S = 3600.0
REMEMBERED_DEVICES = 1024
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

log = logging.getLogger(__name__)
http_log = logging.getLogger(__name__ + ".http")
# Garbage from strangers is answered 400; a traceback for each would only fill the log.
http_log.addFilter(lambda entry: not (entry.exc_info and isinstance(entry.exc_info[1], HttpProcessingError)))


class _Taken(NamedTuple):
    """A request after its keys were tried: what to store, how to answer. `reply_key` None: it cannot be answered."""

    request: Request
    opened: Opened
    reply_key: bytes | None
    report: tuple[str, str] | None


class _Intake:
    """Proves and opens requests; lives in one thread with a reading connection of its own."""

    def __init__(self, database: Path, private_keys: Sequence[bytes]) -> None:
        self._store = Store(database)
        self._resends = Resends(self._store)
        self._privates = {collector_key_id(collector_public(private)): private for private in private_keys}
        self._rings: OrderedDict[tuple[bytes, bytes], KeyRing] = OrderedDict()
        self.enrolment = Enrolment(self._store, private_keys)

    def close(self) -> None:
        self._store.close()

    def _ring(self, device_id: bytes, device_key: bytes) -> KeyRing:
        name = (device_id, device_key)
        ring = self._rings.pop(name, None) or KeyRing(device_key, list(self._privates.values()))
        self._rings[name] = ring
        if len(self._rings) > REMEMBERED_DEVICES:
            self._rings.popitem(last=False)
        return ring

    def take(self, body: bytes) -> _Taken:
        """Prove a request and open what it carries; raises NotAuthentic, also for a board that is not known."""
        device_id = request_device_id(body)
        device_key = None if device_id is None else self._store.device_key(device_id)
        if device_id is None or device_key is None:
            raise NotAuthentic("a board that is not known")
        request = parse_request(body, request_key(device_key))
        private = self._privates.get(request.collector_key_id)
        if private is None:
            # Nothing can be signed that this board would believe, so it keeps its data; storing them gains nothing.
            return _Taken(request, Opened(), None, (UNKNOWN_COLLECTOR_KEY, request.collector_key_id.hex()))
        try:
            reply_key = epoch_keys(device_key, private, request.epoch_public).reply_key
        except RefusedKey:
            return _Taken(request, Opened(), None, (REFUSED_EPOCH, request.epoch_public.hex()))
        epochs = self._store.recent_epochs(device_id)
        try:
            opened = open_request(request, self._ring(device_id, device_key), epochs)
            opened.heard = heard(request)
        except Exception:  # a fault of ours must not block a board: the bytes are kept, to be opened once it is mended
            log.exception("board %s: a request is quarantined whole", device_id.hex())
            opened = Opened(quarantined=[whole(request)])
        return _Taken(request, opened, reply_key, None)


    def wanted(self, request: Request) -> tuple[int, int] | None:
        """From where on (generation, sequence) a board is to send again, after its request has been stored."""
        try:
            return self._resends.wanted(request)
        except Exception:  # a fault of ours must not keep a board from its answer
            log.exception("board %s: what it lacks cannot be told", request.device_id.hex())
            return None


async def _read_body(request: web.Request, most_bytes: int = MAX_REQUEST_BYTES) -> bytes | None:
    """The body, None if it is larger than a request may be (then the rest is left unread); raises TimeoutError."""
    if request.content_length is not None and request.content_length > most_bytes:
        return None
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)


class CollectorServer:
    """A collector in a thread of its own: `start` binds and returns the port, `stop` ends it. `private_keys` are the
    collector's private keys, the one in use first; `clock_ms` gives UTC in ms; with `tls` it speaks https alone."""

    def __init__(
        self,
        db: Path,
        private_keys: Sequence[bytes],
        *,
        clock_ms: Callable[[], int],
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._database = Path(db)
        self._tls = tls
        self._private_keys = list(private_keys)
        self._clock_ms = clock_ms
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._writer = Writer(self._database)
        # One thread each, as each owns a connection; the page must never make a board wait.
        self._intake_thread = ThreadPoolExecutor(1, "collector-intake")
        self._state_thread = ThreadPoolExecutor(1, "collector-state")
        # Requests whose sender hung up within the body; each board sends such a one again.
        self.broken_off = 0
        self._broken_off_said_s: float | None = None
        self._intake: _Intake
        self._state: StateView

    def start(self) -> int:
        """Start, and return the port once it listens; raises UserError if the address or database cannot be had."""
        Store(self._database).close()  # a database that cannot be opened is told here, not in a thread
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            if not isinstance(self._failure, (OSError, OverflowError, UnicodeError)):
                raise self._failure
            place = f"{self._host}:{self._port}"
            why = reason(self._failure) if isinstance(self._failure, OSError) else str(self._failure)
            raise UserError(
                say(f"không mở được cổng {place}: {why}", f"cannot listen on {place}: {why}"),
                hint=say("chọn --host hay --port khác", "choose another --host or --port"),
                exit_code=EXIT_ENVIRONMENT,
            ) from self._failure
        return self._port

    def stop(self) -> None:
        """Finish the requests in hand, store what waits, and end; harmless if it does not run."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._started.is_set():
                raise
            self._failure = error  # whatever it was, `start` waits for it and tells it
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with AsyncExitStack() as ending:  # what was begun is ended, the last first, however far this came
            await self._open(self._loop, ending)
            await self._listen(self._loop, self._stopping, ending)

    async def _open(self, loop: asyncio.AbstractEventLoop, ending: AsyncExitStack) -> None:
        in_intake, in_state = self._intake_thread, self._state_thread
        ending.callback(in_intake.shutdown)
        ending.callback(in_state.shutdown)
        self._intake = await loop.run_in_executor(in_intake, _Intake, self._database, self._private_keys)
        ending.push_async_callback(loop.run_in_executor, in_intake, self._intake.close)
        self._state = await loop.run_in_executor(in_state, StateView, self._database, self._clock_ms)
        ending.push_async_callback(loop.run_in_executor, in_state, self._state.close)
        self._writer.start()
        ending.push_async_callback(loop.run_in_executor, None, self._writer.stop)

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event, ending: AsyncExitStack
    ) -> None:
        doorman = Doorman()
        app = web.Application(middlewares=[doorman.attend])
        app.router.add_post("/v1/journal", self._journal)
        app.router.add_get(enrolment.PATH, self._show_public_key)
        app.router.add_post(enrolment.PATH, self._enrol)
        app.router.add_get("/v1/state", self._show_state)
        app.router.add_get("/", self._show_page)
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,  # nothing a board sends is packed, and a packed body has no honest length
            lingering_time=LINGERING_S,
            logger=http_log,
            shutdown_timeout=SHUTDOWN_S,
        )
        ending.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        listening = await loop.create_server(
            doorman.protocols(runner.server),
            self._host,
            self._port,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_S,
        )
        self._port = listening.sockets[0].getsockname()[1]
        self._started.set()
        await stopping.wait()
        listening.close()

    def _note_broken_off(self) -> None:
        """Count a body that did not come to its end; the log hears of the first, then of the count now and then."""
        self.broken_off += 1
        now_s = time.monotonic()
        if self._broken_off_said_s is None or now_s - self._broken_off_said_s >= BROKEN_OFF_EVERY_S:
            self._broken_off_said_s = now_s
            log.warning("requests whose body broke off, so far: %d", self.broken_off)

    async def _journal(self, request: web.Request) -> web.Response:
        try:
            body = await asyncio.wait_for(_read_body(request), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            return _refuse(408)
        except (ClientError, ConnectionError):  # no fault of ours and nothing to mend, and anybody can do it
            self._note_broken_off()
            return _refuse(400)
        if body is None:
            return _refuse(413)
        received_ms = self._clock_ms()
        loop = asyncio.get_running_loop()
        try:
            taken = await loop.run_in_executor(self._intake_thread, self._intake.take, body)
            unopened = Opened(quarantined=[whole(taken.request)])
            device_id = taken.request.device_id
            stored = self._writer.put(device_id, taken.opened, unopened, received_ms, taken.report)
            await asyncio.wrap_future(stored)
        except NotAuthentic:
            return _refuse(401)
        except (sqlite3.Error, UserError) as error:
            # Not stored, so not answered: the board keeps it and tries again.
            log.error("a request was not taken in: %s", error)
            return _refuse(503)
        if taken.reply_key is None:
            return _refuse(409)
        reply: dict[str, object] = {"stored": taken.request.piece_count}
        again = await loop.run_in_executor(self._intake_thread, self._intake.wanted, taken.request)
        if again is not None:
            reply["resend"] = {"generation": again[0], "sequence": again[1]}
            self._writer.put(device_id, Opened(), Opened(), received_ms, (ASKED, detail(*again)))
        reply["now"] = self._clock_ms()
        return web.Response(body=build_reply(taken.request.nonce, reply, taken.reply_key), content_type=CONTENT_TYPE)

    async def _show_public_key(self, request: web.Request) -> web.Response:
        """Who enrols checks it against the fingerprint in his token, so it may come from anybody."""
        return web.Response(body=collector_public(self._private_keys[0]), content_type=enrolment.CONTENT_TYPE)

    async def _enrol(self, request: web.Request) -> web.Response:
        """Nothing of a request or its answer is logged: both ends make the board's key from them."""
        try:
            body = await asyncio.wait_for(_read_body(request, enrolment.MAX_REQUEST_BYTES), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            return _refuse(408)
        except (ClientError, ConnectionError):
            self._note_broken_off()
            return _refuse(400)
        if body is None:
            return _refuse(413)
        answer = functools.partial(self._intake.enrolment.answer, body, self._clock_ms())
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._intake_thread, answer)
        except (sqlite3.Error, UserError) as error:
            log.error("an enrolment was not taken in: %s", error)
            return _refuse(503)
        return _refuse(400) if reply is None else web.Response(body=reply, content_type=enrolment.CONTENT_TYPE)

    async def _show_state(self, request: web.Request) -> web.Response:
        try:
            state = await asyncio.get_running_loop().run_in_executor(self._state_thread, self._state.json)
        except sqlite3.Error as error:
            log.error("the state cannot be read: %s", error)
            return _refuse(503)
        return web.Response(body=state, content_type="application/json", headers=SECURITY_HEADERS)

    async def _show_page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers=SECURITY_HEADERS)


def _refuse(status: int) -> web.Response:
    """An answer that no board reads; the connection goes with it, as its rest may be unread."""
    response = web.Response(status=status)
    response.force_close()
    return response
