"""The station: from a payload to a verdict, a record in flash, and only then the beep; and the chores between cards."""

import asyncio
import gc

import records
from clock import happens
from journal import ring as journal
from micropython import const
from scanner import cards, signals, verdict

_TICK_MS = const(1000)
_SILENCE_MS = const(3000)  # no card for so long: the flash gate is open
# The module pauses 1 s between reads. The beep is over after the first, an erase of 0.4 s may begin until the second.
_AFTER_VERDICT_MS = const(350)
_PAUSE_ENDS_MS = const(500)
_HOLD_TRIES = const(30)  # a module that does not confirm for so long is not waited for
_HOLD_AGAIN_MS = const(100)
_LONG_AGO_MS = const(-0x20000000)
# Share of the journal, in percent, from which on the lamp and a HEALTH record give warning.
_FILLING = const(80)
_ALMOST_FULL = const(95)
_EPOCH_MS = const(24 * 3600 * 1000)
_SLICE_MS = const(20)
_PAUSE = const(1)
_SILENCE = const(2)
_BACKLOG_SECTORS = const(4)
_CAUSE_NEW_KEY = const(8)
_SCAN_BYTES = const(80)
_RECORD_BYTES = const(239)
_MOST_UNTOLD = const(8)


class Station:
    """One door, with one scan module or two. `boot` is (cause, version) for the BOOT record; `recorded` is set when there is
    something to send.

    Plain functions from on_payload() to the buzzer: nothing there waits, erases or asks the network.
    """

    def __init__(self, ring, cards_, rules, signals_, clock, config, boot):
        self.ring = ring
        self.ready = False
        self._started = False  # has been ready once
        self.scans = 0
        self.not_ready = 0  # reads that came while no card could be kept
        self.longest_verdict_ms = 0
        self._readers = ()
        self._shipper = None
        self._supervisor = None
        self._links = None
        self.extras = []  # functions that give more pairs for HEALTH
        self.recorded = asyncio.Event()  # set when there is something to send
        self._cards = cards_
        self._rules = rules
        self._signals = signals_
        self._clock = clock
        self._config = config
        self._boot = boot  # (cause, version)
        self._new_epoch = None
        self._epoch_ms = 0
        self._plain = bytearray(_RECORD_BYTES)
        self._view = memoryview(self._plain)
        self._scanned_ms = 0
        self._scanned_by = 0
        self._verdict = asyncio.Event()
        self._clock_sequence = 0
        self._health_ms = None
        self._states = None  # of the readers
        self._fill = 0  # percent of the journal that takes nothing new
        self._untold = []
        self.let_go = 0  # of what waited to be told
        self._stopping = False  # the gate, or a hold, has the modules
        self.admitted = None  # called with each card that may go on, as bytes

    def connect(self, readers, shipper, supervisor, links):
        """The parts whose state the station shows and reports."""
        self._readers = readers
        self._shipper = shipper
        self._supervisor = supervisor
        self._links = links

    # The path of a scan

    def on_payload(self, payload, reader=0):
        """Decide on one code (a memoryview), record it, signal. Called by the driver with whatever the module read."""
        self._scanned_by = reader
        try:
            if self.ready:
                self._take(payload, reader)
            else:
                self._refuse()
        except MemoryError:  # no verdict, but an answer: whoever shows it again finds a collected heap
            self._refuse()

    def _take(self, payload, reader):
        now = self._clock.uptime_ms()
        # Of a long code no copy is made: a heap in use may not have so much in one piece.
        scheme, packed = self._cards.identify(bytes(payload) if len(payload) < cards.LONGEST_CARD_BYTES else payload)
        decision, new = self._rules.decide(reader, scheme, packed, now)
        if decision == verdict.NOT_A_CARD:
            packed = records.NO_ID  # nothing is kept of it
        if new or self._config.record_repeats:
            if not self._append(records.scan(self._plain, 0, now, reader, decision, scheme, packed), journal.EVENT):
                self.ready = False  # until the chores find a sector again
                self._refuse()
                return
            self.scans += 1
            self._rules.recorded(reader, scheme, packed, decision, now)
        self._signals.play(signals.OF[decision])
        self._answered()
        if new and decision == verdict.DENIED:
            self.urgent()
        if self.admitted and decision in verdict.GO_ON:
            self.admitted(packed)
        self.longest_verdict_ms = max(self.longest_verdict_ms, self._scanned_ms - now)

    def _answered(self):
        self._scanned_ms = self._clock.uptime_ms()
        self._verdict.set()

    def on_fail(self):
        """The module says that something is held before it that it cannot read."""
        if self.ready:
            self._signals.play(signals.TRY_AGAIN)

    def _refuse(self):
        """This card cannot be kept: say so, and count it. The pause behind it is a turn for what will keep the next one."""
        self.not_ready += 1
        self._signals.play(signals.NO_ROOM if self.ring.full() else signals.FAULT)
        self._answered()

    def _append(self, n, rank):
        """Put the n bytes of record in the buffer into the journal; True when they are there."""
        if not self.ring.append(self._view[:n], rank):
            return False
        self.recorded.set()
        return True

    # Records about the board

    def tell(self, rank, encode, *fields):
        """A NOTE or CHANGE for the centre: records.note or records.change, and the fields of its record.

        It waits until the journal can take it. Only a few can wait: what people did stays before what the board says of itself.
        """
        self._untold.append((rank, encode, fields))
        if len(self._untold) > _MOST_UNTOLD:
            self._untold.remove(min(self._untold, key=lambda told: told[0]))  # the oldest of the lowest rank
            self.let_go += 1

    def urgent(self):
        """What is recorded now must not wait for others."""
        self._shipper.urgent()

    def write(self, rank, kind, code):
        """A DOOR or INCIDENT record (records.event), now; False where the journal cannot take it."""
        if rank == journal.INCIDENT:
            self.urgent()
        return self._append(records.event(self._plain, 0, self._clock.uptime_ms(), _RECORD_BYTES, kind, code), rank)

    def _write_untold(self):
        for told in sorted(self._untold, key=lambda told: -told[0]):
            rank, encode, fields = told
            if self._append(encode(self._plain, 0, self._clock.uptime_ms(), _RECORD_BYTES, *fields), rank):
                self._untold.remove(told)
                if encode is records.event:
                    self.urgent()  # an incident that had to wait for room

    def _write_clock(self):
        clock = self._clock
        if not clock.record_due() and (not clock.known() or self._clock_sequence == self.ring.sequence):
            return
        uptime_ms = clock.uptime_ms()
        unix_ms, error_ms = clock.now()
        if self._append(records.clock(self._plain, 0, uptime_ms, unix_ms, error_ms, clock.source), journal.TELEMETRY):
            clock.recorded()
            self._clock_sequence = self.ring.sequence

    def _write_health(self):
        now = self._clock.uptime_ms()
        if self._health_ms is not None and now - self._health_ms < self._config.health_s * 1000:
            return
        if self._health_ms is None and not self._clock.known() and now < self._config.health_s * 1000:
            return  # the first one goes when the centre has answered
        rssi = self._links.rssi()
        dropped, restarts, failed = self.not_ready, 0, 0
        for reader in self._readers:
            dropped += reader.dropped
            restarts += reader.restarts
            failed += reader.failed
        pairs = [
            (1, gc.mem_free()),
            (2, self.ring.unreleased()),
            (3, self.ring.lost),
            (4, self.ring.unusable),
            (9, self.scans),
            (10, dropped),
            (11, self._shipper.failures),
            (12, self._supervisor.longest_loop_ms),
            (13, self.longest_verdict_ms),
            (14, self._readers[0].state),
            (16, self._fill),
            (17, restarts),
            (18, failed),
            (21, self.let_go),
        ]
        if len(self._readers) > 1:
            pairs += [(19, self._rules.inside), (20, self._readers[1].state)]
        if self._links.kind:
            pairs.append((5, self._links.kind))
        if rssi is not None:
            pairs.append((6, rssi))
        for extra in self.extras:
            pairs += extra()
        if self._append(records.health(self._plain, 0, now, pairs), journal.TELEMETRY):
            self._health_ms = now

    # Keys

    def begin(self, epoch, cause):
        """Seal with `epoch` from now on; its BOOT record goes in with the first record that has something to say."""
        version = self._boot[1]
        uptime_ms = self._clock.uptime_ms

        def intro(buffer, at):
            return records.boot(buffer, at, uptime_ms(), cause, version, self._config.version)

        self.ring.begin_epoch(epoch, intro)
        self._epoch_ms = uptime_ms()

    def _renew(self, new_epoch):
        """In idle time, a slice at a time, make the next day's key."""
        now = self._clock.uptime_ms()
        if self._new_epoch is None:
            if now - self._epoch_ms < _EPOCH_MS:
                return None
            self._new_epoch = new_epoch()
        epoch = None
        while epoch is None and self._clock.uptime_ms() - now < _SLICE_MS:
            epoch = next(self._new_epoch)
        if epoch:
            self._new_epoch = None
            old = self.ring.epoch
            self.begin(epoch, _CAUSE_NEW_KEY)
            self._shipper.new_epoch(epoch)
            old.zero()
        return epoch

    # What stops the CPU for others' sake

    def silence_ms(self):
        """How long ago the last card was answered."""
        return self._clock.uptime_ms() - self._scanned_ms

    async def hold(self, work):
        """Wait for `work()`, which stops the CPU a third of a second at a time, while no module reads."""
        while self._stopping:
            await asyncio.sleep_ms(_HOLD_AGAIN_MS)
        for _ in range(_HOLD_TRIES):
            if not self._reading():
                break
            self._stopping = True
            try:
                if all(await asyncio.gather(*[reader.stop() for reader in self._readers])):
                    await work()
                    return
            finally:
                await asyncio.gather(*[reader.go() for reader in self._readers])
                self._stopping = False
            await asyncio.sleep_ms(_HOLD_AGAIN_MS)
        await work()

    # Chores

    def _reading(self):
        return any([reader.reading() for reader in self._readers])

    def _show_state(self):
        states = [reader.state for reader in self._readers]
        if self._started and states != self._states:
            self._health_ms = _LONG_AGO_MS  # lost, or found again: the centre is to know at once
        self._states = states
        self.ready = self.ring.accepts(_SCAN_BYTES, journal.EVENT) and self._reading()
        silent = any([reader.silent() for reader in self._readers])
        self._started = self._started or self.ready
        unreleased = self.ring.unreleased()
        before = self._fill
        self._fill = fill = (unreleased + self.ring.unusable) * 100 // self.ring.sectors
        if before < _FILLING <= fill or before < _ALMOST_FULL <= fill:
            self._health_ms = _LONG_AGO_MS  # the centre is to know at once
        if self.ring.full():
            state = signals.FULL
        elif not self.ready or silent:
            state = signals.BROKEN if self._started or silent else signals.STARTING
        elif fill >= _FILLING:
            state = signals.FILLING if fill < _ALMOST_FULL else signals.ALMOST_FULL
        elif self._shipper.online():
            state = signals.READY
        else:
            state = signals.BACKLOG if unreleased > _BACKLOG_SECTORS else signals.OFFLINE
        self._signals.state = state

    async def _turn(self):
        """Wait for a chore's turn: _PAUSE just after a verdict, _SILENCE when no card has come for a while, else 0."""
        turn = _PAUSE
        if await happens(self._verdict, _TICK_MS):
            self._verdict.clear()
            await asyncio.sleep_ms(_AFTER_VERDICT_MS)
            if self._clock.uptime_ms() - self._scanned_ms > _PAUSE_ENDS_MS:
                return 0
        elif self._clock.uptime_ms() - self._scanned_ms >= _SILENCE_MS:
            turn = _SILENCE
        else:
            return 0
        return 0 if any([reader.partial() for reader in self._readers]) else turn

    async def _gate(self, turn, erase, *args):
        """The flash gate: `erase(*args)` stops the CPU for 400 ms at most while no module reads a card.

        After a verdict its module pauses by itself, if it is one that does; any other, and in silence each, is stopped: a card
        may come at any moment.
        """
        others = [
            reader
            for i, reader in enumerate(self._readers)
            if turn == _SILENCE or i != self._scanned_by or not reader.rests
        ]
        if self._stopping:
            return  # whoever has the modules would let them go, or be let go, before the time
        self._stopping = True
        try:
            stopped = all(await asyncio.gather(*[reader.stop() for reader in others]))
            late = turn == _PAUSE and self._clock.uptime_ms() - self._scanned_ms > _PAUSE_ENDS_MS
            # A code that came first is answered first.
            if stopped and not late and not self._verdict.is_set():
                erase(*args)
        finally:
            await asyncio.gather(*[reader.go() for reader in others])
            self._stopping = False

    async def run(self, new_epoch, pulse):
        """The chores: erase ahead through the gate, write what is due about the board, renew the key, show the state."""
        while True:
            pulse()
            ring = self.ring
            # What waits to be told decides whether the sector kept for incidents is opened.
            rank = journal.EVENT
            for told in self._untold:
                rank = max(rank, told[0])
            if not self._started and not self._reading() and ring.wants_erase(rank):
                while ring.wants_erase(rank):
                    ring.prepare(rank)  # at boot the module does not read yet
                # Something is said at once, so that the next boot finds room and need not erase another.
                self.tell(journal.EVENT, records.note, records.INFO, "new sector")
                self._write_untold()
            self._show_state()
            turn = await self._turn()
            if turn:
                if ring.wants_erase(rank):
                    await self._gate(turn, ring.prepare, rank)
                elif turn == _SILENCE:  # a file takes more than one erase
                    for reader in self._readers:
                        if reader.unsaved():
                            await self._gate(turn, reader.save)
                self._write_untold()
                self._write_clock()
                self._write_health()
                if self._renew(new_epoch) is None:
                    gc.collect()
