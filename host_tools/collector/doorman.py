"""Closes connections that hold a place without using it: those that dawdle over a request's head, and those above the
number the collector can carry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

HEAD_TIMEOUT_S = 20.0
KEEPALIVE_S = 75.0
# Below the usual limit of 1024 open files, which the database shares.
MAX_CONNECTIONS = 400
CROWDED_S = 0.1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Doorman:
    """Makes the protocols of a server, and gives each so long to bring the head of a (next) request."""

    def __init__(self, head_timeout_s: float = HEAD_TIMEOUT_S) -> None:
        self._head_timeout_s = head_timeout_s
        self._deadlines: dict[RequestHandler, asyncio.TimerHandle] = {}

    def protocols(self, server: web.Server) -> Callable[[], RequestHandler]:
        """The factory of protocols that `create_server` wants."""

        def make() -> RequestHandler:
            crowded = len(server.connections) >= MAX_CONNECTIONS
            protocol = server()
            self._wait(protocol, CROWDED_S if crowded else self._head_timeout_s)
            return protocol

        return make

    def _wait(self, protocol: RequestHandler, seconds: float) -> None:
        if (before := self._deadlines.get(protocol)) is not None:
            before.cancel()
        self._deadlines[protocol] = asyncio.get_running_loop().call_later(seconds, self._close, protocol)

    def _close(self, protocol: RequestHandler) -> None:
        del self._deadlines[protocol]
        transport = protocol.transport
        protocol.force_close()
        if transport is not None:
            transport.abort()  # a peer that does not read must not hold what is closed

    @web.middleware
    async def attend(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Stops the clock while a request is handled; its handler has a clock of its own."""
        protocol = request.protocol
        if protocol in self._deadlines:
            self._deadlines[protocol].cancel()
        try:
            return await handler(request)
        finally:
            self._wait(protocol, KEEPALIVE_S)
