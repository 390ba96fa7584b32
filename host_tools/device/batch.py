"""A box of boards: each one that is plugged in is flashed, enrolled as the next checkpoint of a table, and examined."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_tools.device import dumping, examining, flashing
from host_tools.device.enrolling import Centre, enrol
from host_tools.device.loader import in_loader
from host_tools.device.ports import matching
from host_tools.errors import EXIT_USAGE, UserError
from host_tools.formats import enrolment
from host_tools.text import say

LOOK_S = 0.5


@dataclass
class Row:
    """A checkpoint of the table: its settings and token, and what became of it. `problem` is the last board's."""

    checkpoint: str
    token: str = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    mac: str = ""
    device: str = ""
    done: bool = False
    problem: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """What became of it."""
        names = ("checkpoint", "device", "done", "problem", "seconds")
        return {name: getattr(self, name) for name in names}


def rows(table: list[dict[str, str]], base: Path) -> list[Row]:
    """The rows of a table; a `config` is a file beside it, `ssid` and `password` go into it. UserError for a bad one."""
    made = []
    for number, entry in enumerate(table, 2):
        config: dict[str, Any] = {"version": 1}
        try:
            if entry.get("config"):
                config |= json.loads((base / entry["config"]).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                say(f"dòng {number}: cấu hình {entry['config']}: {error}", f"line {number}: config {entry['config']}: {error}"),
                hint=say("tệp JSON, đường dẫn tính từ tệp CSV", "a JSON file, its path relative to the CSV"),
            ) from None
        if entry.get("ssid"):
            network = {"ssid": entry["ssid"]} | ({"password": entry["password"]} if entry.get("password") else {})
            config["wifi"] = [network]
        if not entry.get("token"):
            raise UserError(
                say(f"dòng {number}: thiếu mã ghi danh", f"line {number}: there is no token"),
                hint=say("'chot collector token DIR --csv FILE' thêm mã", "'chot collector token DIR --csv FILE' adds them"),
                exit_code=EXIT_USAGE,
            )
        try:
            enrolment.parse_token(entry["token"])
        except UserError as error:  # before any board is flashed for it
            raise UserError(
                say(f"dòng {number}: {error.message}", f"line {number}: {error.message}"),
                hint=error.hint or "",
                exit_code=EXIT_USAGE,
            ) from None
        made.append(Row(entry["checkpoint"], entry["token"], config, entry.get("mac", "").lower()))
    return made


class Batch:
    """Works through `rows` with the boards that turn up at the ports of `pattern` (None: all on USB), `jobs` at a time.
    `tell(line)` is called with what happens. A board that fails puts its row back: the next board gets it."""

    def __init__(
        self,
        rows_: list[Row],
        maker: flashing.Maker,
        centre: Centre,
        *,
        pattern: str | None = None,
        jobs: int = 1,
        examines: bool = True,
        lists: bytes | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        for row in rows_:
            centre.check(row.config)
            maker.check(row.config, lists)  # told before the first board, not at the thirtieth
        self.rows = rows_
        self._maker = maker
        self._centre = centre
        self._lists = lists
        self._pattern = pattern
        self._jobs = jobs
        self._examines = examines
        self._tell = tell
        self._taken = threading.Lock()
        self._busy_rows: set[int] = set()
        self.failures: list[dict[str, str]] = []

    def run(self, idle_s: float | None = None) -> None:
        """Until every row is done; or until no new board has come for `idle_s`. A board is tried again when it has been
        unplugged and plugged in."""
        seen: set[str] = set()
        work: dict[Future[None], str] = {}
        last_s = time.monotonic()
        with ThreadPoolExecutor(self._jobs, "batch") as pool:
            while not all(row.done for row in self.rows):
                there = matching(self._pattern)
                seen &= {*there, *work.values()}
                for port in there:
                    if port in seen:
                        continue
                    if len(work) < self._jobs and len(work) < sum(not row.done for row in self.rows):
                        seen.add(port)
                        work[pool.submit(self._one, port)] = port
                if work:
                    finished, _ = wait(work, LOOK_S, FIRST_COMPLETED)
                    for future in finished:
                        del work[future]
                        future.result()
                        last_s = time.monotonic()
                elif idle_s is not None and time.monotonic() - last_s > idle_s:
                    return
                else:
                    time.sleep(LOOK_S)

    def _one(self, port: str) -> None:
        """One board: whatever is wrong with it stops nobody else."""
        begun_s = time.monotonic()
        row: Row | None = None
        try:
            row = self._serve(port)
            row.done, row.problem = True, ""
            row.seconds = round(time.monotonic() - begun_s, 1)
            self._tell(f"{port}: {row.device} → '{row.checkpoint}', {say('xong', 'done')}")
        except _Failed as failed:
            row = failed.row
            problem = failed.error.message.removeprefix(f"{port}: ")
            if row is not None:
                row.problem = problem
            self.failures.append({"port": port, "problem": problem, "hint": failed.error.hint})
            self._tell(f"{port}: {say('HỎNG', 'FAILED')}: {problem}")
            if failed.error.hint:
                self._tell(f"      {failed.error.hint}")
        finally:
            if row is not None:
                self._put_back(row)

    def _serve(self, port: str) -> Row:
        """Flash, examine, and only then enrol: a token is not spent on a board that is no good. The row that it was.
        Raises _Failed."""
        row: Row | None = None
        try:
            with in_loader(port) as board:
                flashing.check_board(board, self._maker)
                flashed = dumping.look(board)
                dumping.refuse_to_lose(board, flashed, rescue=None, force=False)
                row = self._take(board.mac.hex(":"))
                self._tell(say(f"{port}: nạp cho '{row.checkpoint}' …", f"{port}: flashing for '{row.checkpoint}' …"))
                flashing.write(board, self._maker.plan(board.flash_bytes, row.config, None))
            if self._examines:
                fingerprint = enrolment.parse_token(row.token).fingerprint
                asked = examining.Centre(self._centre.board_url, fingerprint, self._centre.authority)
                bad = [finding for finding in examining.examine(port, centre=asked) if finding.state == examining.BAD]
                if bad:
                    raise UserError(f"{port}: {bad[0].part}: {bad[0].found}", hint=bad[0].advice)
            with in_loader(port) as board:
                identity, checkpoint = enrol(self._centre, row.token, board.device_id)
                if checkpoint != row.checkpoint:
                    raise UserError(
                        say(f"mã là của chốt '{checkpoint}'", f"the token is for '{checkpoint}'"),
                        hint=say("xem lại cột token", "check the column token"),
                    )
                flashing.write_identity(board, identity, self._lists)
            row.device = identity.device_id.hex()
            return row
        except UserError as error:
            raise _Failed(row, error) from error
        except Exception as error:  # a fault of ours with one board is no fault of the others
            raise _Failed(row, UserError(f"{type(error).__name__}: {error}", hint="")) from error

    def _take(self, mac: str) -> Row:
        """The row for this board: the one that names its MAC, else the next that names none."""
        with self._taken:
            free = [at for at, row in enumerate(self.rows) if not row.done and at not in self._busy_rows]
            own = [at for at in free if self.rows[at].mac == mac] or [at for at in free if not self.rows[at].mac]
            if not own:
                raise UserError(
                    say("không còn chốt nào cho bo mạch này", "no checkpoint is left for this board"),
                    hint=say("cột mac có nói khác không?", "does the column mac say otherwise?"),
                )
            self._busy_rows.add(own[0])
            return self.rows[own[0]]

    def _put_back(self, row: Row) -> None:
        with self._taken:
            self._busy_rows.discard(self.rows.index(row))


class _Failed(Exception):
    """What went wrong with one board, and the row that it had, if it had one."""

    def __init__(self, row: Row | None, error: UserError) -> None:
        super().__init__(error.message)
        self.row = row
        self.error = error
