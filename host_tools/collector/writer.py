"""The one thread that writes: takes what requests brought, as many as wait, in one transaction, and says when it is
on the disk."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from host_tools.collector.opening import Opened
from host_tools.collector.store import Store

# One fsync serves so many requests; more would make the first of them wait.
MAX_BATCH = 64

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    device_id: bytes
    opened: Opened
    unopened: Opened
    received_ms: int
    report: tuple[str, str] | None
    done: Future[None]


class Writer:
    """Owns the writing connection. `put` gives a future that is done when the data are durable."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collector-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def put(
        self,
        device_id: bytes,
        opened: Opened,
        unopened: Opened,
        received_ms: int,
        report: tuple[str, str] | None = None,
    ) -> Future[None]:
        """Have a request stored, and (kind, detail) reported; the future raises sqlite3.Error if it could not be.
        `unopened` is what to store should a fault of ours keep `opened` out: the same bytes as they came."""
        done: Future[None] = Future()
        self._jobs.put(_Job(device_id, opened, unopened, received_ms, report, done))
        return done

    def _run(self) -> None:
        with Store(self._database) as store:
            going = True
            while going:
                jobs = [self._jobs.get()]
                while len(jobs) < MAX_BATCH and jobs[-1] is not None and not self._jobs.empty():
                    jobs.append(self._jobs.get())
                going = jobs[-1] is not None
                self._write(store, [job for job in jobs if job is not None])

    def _ingest(self, store: Store, job: _Job) -> None:
        try:
            store.ingest(job.device_id, job.opened, job.received_ms)
        except sqlite3.OperationalError:
            raise  # a full or locked disk: the board keeps its data and tries again
        except Exception:  # a fault of ours, whatever it is, must neither block a board nor end this thread
            log.exception("board %s: a request is quarantined whole", job.device_id.hex())
            store.ingest(job.device_id, job.unopened, job.received_ms)
        if job.report is not None:
            store.report(job.device_id, *job.report, job.received_ms)

    def _write(self, store: Store, jobs: list[_Job]) -> None:
        stored: list[_Job] = []
        try:
            store.begin()
            for job in jobs:
                # A request that cannot be stored must not take those beside it along.
                try:
                    self._ingest(store, job)
                    stored.append(job)
                except sqlite3.Error as error:
                    log.error("board %s: a request was not stored: %s", job.device_id.hex(), error)
                    job.done.set_exception(error)
            store.commit()
        except sqlite3.Error as error:
            log.error("nothing was stored: %s", error)
            store.rollback()
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
            return
        for job in stored:
            job.done.set_result(None)
