"""Finds out which scan module is connected, remembers it, and looks again when it is gone."""

import asyncio
import gc
import sys

from micropython import const

_KINDS = ("gm65", "ssi", "newland")
_FOUND = "scanner%d.found"
_SETTLE_MS = const(300)
_RETRY_MS = const(1000)
_TRIES = const(5)  # of the kind that was here before another is looked for: it may be booting


class Auto:
    """The reader of whatever answers. Everything else that is asked of it is the present reader's."""

    def __init__(self, *parts):
        self._parts = parts
        self._path = _FOUND % parts[-1]
        try:
            with open(self._path) as file:
                self._remembered = file.read()
        except (OSError, UnicodeError):
            self._remembered = None
        self._kind = None
        self._found = False  # a module of this kind has answered
        self._look_for(self._remembered if self._remembered in _KINDS else _KINDS[0])

    def __getattr__(self, name):
        return getattr(self.reader, name)

    def _look_for(self, kind):
        """Put another driver in the place of the present one, which leaves the heap."""
        if kind == self._kind:
            return
        counts = None
        if self._kind:
            old = self.reader  # type: ignore[has-type]
            counts = old.state, old.dropped, old.failed, old.restarts
            self.reader = old = None
            name = "drivers." + self._kind
            if name in sys.modules:
                del sys.modules[name]
                delattr(sys.modules["drivers"], self._kind)
            gc.collect()
        self._kind = kind
        new = __import__("drivers." + kind, None, None, ("make",)).make(*self._parts)
        if counts:
            new.state, new.dropped, new.failed, new.restarts = counts
        self.reader = new

    def unsaved(self):
        """True when what was found is still to be written down."""
        return self._found and self._kind != self._remembered

    def save(self):
        """Write down what was found; it may erase, so only through the flash gate."""
        try:
            with open(self._path, "w") as file:
                file.write(self._kind)
        except OSError:
            pass  # a full disk: the next boot looks for it again
        self._remembered = self._kind

    async def run(self, pulse):
        """Look for a module, read it while it is there, and look again."""
        self.reader.fresh()
        await asyncio.sleep_ms(_SETTLE_MS)
        tries = 1
        while True:
            here = self._kind
            for kind in [here] * tries + [kind for kind in _KINDS if kind != here]:
                pulse()
                self._look_for(kind)
                if await self.reader.start():
                    self._found = True
                    tries = _TRIES
                    await self.reader.serve(pulse)
                    self._found = False
                    break
                if tries > 1 and kind == here:
                    await asyncio.sleep_ms(_RETRY_MS)
            else:
                self._look_for(here)
                await asyncio.sleep_ms(_RETRY_MS)


def make(uart, on_payload, on_fail, settings, trigger, number):
    """The reader, as config's "scanner" asks for it."""
    return Auto(uart, on_payload, on_fail, settings, trigger, number)
