"""The console of the chip's MicroPython: friendly and raw REPL, raw paste, soft reboot, as the ESP32 port speaks them."""

import gc
import sys

import _chip
import _ops
import os

# Half of the ESP32 port's buffer of the console (MICROPY_REPL_STDIN_BUFFER_MAX / 2): what a sender may send unasked.
_WINDOW_BYTES = 128
_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D, _CTRL_E = 1, 2, 3, 4, 5

_globals = {"__name__": "__main__"}
_typed = b""
_at = 0


def _say(data):
    sys.stdout.buffer.write(data)


def _next():
    """The next byte that somebody types; the chip sleeps until there is one."""
    global _typed, _at
    while _at == len(_typed):
        try:
            _typed, _at = _chip.call(_ops.OP_CONSOLE)[1], 0
        except KeyboardInterrupt:  # typed just before: while the REPL reads, it is a byte like any other
            return _CTRL_C
    _at += 1
    return _typed[_at - 1]


def _restart(raw):
    """Ctrl-D on an empty line."""
    _say(b"MPY: soft reboot\n")
    _chip.call(_ops.OP_RESET, bytes((_ops.CAUSE_SOFT, raw)))


def _run(source, kind, raw):
    """Run what was typed; in raw mode an end mark follows its output, and another one its exception."""
    fail = None
    try:
        exec(compile(source, "<stdin>", kind), _globals)
    except SystemExit:
        _restart(raw)
    except BaseException as error:
        fail = error
    if raw:
        _say(b"\x04")
    if fail is not None:
        sys.print_exception(fail)
    if raw:
        _say(b"\x04")
    gc.collect()


def _paste():
    """Raw paste: the source in windows, each let go by a byte 1; None when it was given up."""
    _say(b"R\x01" + bytes((_WINDOW_BYTES, 0)) + b"\x01")
    source = bytearray()
    left = _WINDOW_BYTES
    while True:
        byte = _next()
        if byte == _CTRL_C:
            _say(b"\x04")
            return None
        if byte == _CTRL_D:
            _say(b"\x04")
            return source
        source.append(byte)
        left -= 1
        if not left:
            _say(b"\x01")
            left = _WINDOW_BYTES


def _raw():
    """The raw REPL, until Ctrl-B."""
    line = bytearray()
    _say(b"raw REPL; CTRL-B to exit\n>")
    while True:
        byte = _next()
        if byte == _CTRL_A:
            if line[:1] == b"\x05" and len(line) == 2:
                if line[1] == 65:
                    source = _paste()
                    if source is None:
                        _say(b"\x04")
                    else:
                        _run(source.decode(), "exec", 1)
                else:
                    _say(b"R\x00")
                _say(b">")
            else:
                _say(b"raw REPL; CTRL-B to exit\n>")
            line = bytearray()
        elif byte == _CTRL_B:
            return
        elif byte == _CTRL_C:
            line = bytearray()
        elif byte == _CTRL_D:
            if not line:
                _say(b"\n")
                _restart(1)
            _say(b"OK")
            source, line = line, bytearray()
            _run(source.decode(), "exec", 1)
            _say(b">")
        else:
            line.append(byte)


def _banner():
    _say(b"MicroPython v%d.%d.%d; " % sys.implementation.version[:3])
    _say(os.uname()[4].encode() + b'\nType "help()" for more information.\n>>> ')


def _friendly():
    """The REPL for people: a line at a time, a block up to its blank line. Until Ctrl-A."""
    lines = []
    line = bytearray()
    _banner()
    while True:
        byte = _next()
        if byte == _CTRL_A:
            return
        if byte == _CTRL_B:
            lines, line = [], bytearray()
            _say(b"\n")
            _banner()
        elif byte == _CTRL_C:
            lines, line = [], bytearray()
            _say(b"\n>>> ")
        elif byte == _CTRL_D and not line and not lines:
            _say(b"\n")
            _restart(0)
        elif byte in (8, 127):
            if line:
                line = line[:-1]
                _say(b"\x08 \x08")
        elif byte == 13:
            _say(b"\n")
            text, line = line.decode(), bytearray()
            lines.append(text)
            if (len(lines) == 1 and not text.rstrip().endswith(":")) or not text.strip():
                source, lines = "\n".join(lines), []
                if source.strip():
                    _run(source + "\n", "single", 0)
                _say(b">>> ")
            else:
                _say(b"... ")
        elif byte >= 32 or byte == 9:
            line.append(byte)
            _say(bytes((byte,)))


def serve(raw):
    """The console of a program that has ended; it never returns."""
    while True:
        if raw:
            _raw()
            _say(b"\n")
        _friendly()
        raw = 1
