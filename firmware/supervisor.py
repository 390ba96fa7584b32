"""Keeps the tasks running: restarts what crashed, and feeds the watchdog only while every task makes progress."""

import asyncio

from micropython import const

_LOOK_MS = const(2000)
_RESTART_MS = const(1000)
_MAX_CRASHES = const(5)  # of one task in one boot: then the board starts over


class Task:
    """One supervised task. `make(pulse)` gives its coroutine; it must call pulse() every `limit_ms` at least."""

    def __init__(self, name, make, limit_ms, uptime_ms):
        self.name = name
        self.limit_ms = limit_ms
        self.crashes = 0
        self._make = make
        self._uptime_ms = uptime_ms
        self.seen_ms = 0
        self.task = None

    def pulse(self):
        self.seen_ms = self._uptime_ms()

    def start(self):
        self.pulse()
        self.task = asyncio.create_task(self._guard())

    async def _guard(self):
        """Run to the end; the exception, if any, is the task's result, so that nothing is printed and lost."""
        try:
            await self._make(self.pulse)
        except Exception as error:  # whatever it is, the door must go on
            return error


class Supervisor:
    """`uptime_ms()` is the board's clock, `feed()` the watchdog, `report(line)` writes a NOTE, `crash()` restarts the board."""

    def __init__(self, uptime_ms, feed, report, crash):
        self._uptime_ms = uptime_ms
        self._feed = feed
        self._report = report
        self._crash = crash
        self._tasks = []
        self.longest_loop_ms = 0

    def add(self, name, make, limit_ms):
        task = Task(name, make, limit_ms, self._uptime_ms)
        self._tasks.append(task)
        task.start()

    async def run(self):
        stuck = None
        while True:
            before = self._uptime_ms()
            await asyncio.sleep_ms(_LOOK_MS)
            now = self._uptime_ms()
            self.longest_loop_ms = max(self.longest_loop_ms, now - before - _LOOK_MS)
            late = None
            for task in self._tasks:
                if task.task.done():
                    await self._restart(task)
                elif now - task.seen_ms > task.limit_ms:
                    late = task.name
            if late and late != stuck:
                self._report("stuck: " + late)
            stuck = late
            if not late:
                self._feed()

    async def _restart(self, task):
        error = await task.task
        task.crashes += 1
        line = "crash: %s: %r" % (task.name, error)
        print(line)
        self._report(line)
        if task.crashes >= _MAX_CRASHES:
            self._crash()
        await asyncio.sleep_ms(_RESTART_MS)
        task.start()
