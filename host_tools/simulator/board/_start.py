"""First code of a boot: takes over the chip's state, mounts the image's file system, runs main.py as MicroPython does."""

import sys

sys.path[:] = [".", ".frozen"]
import _asyncio_virtual

sys.modules["_asyncio"] = _asyncio_virtual
del sys.modules["_asyncio_virtual"]
import _gc

sys.modules["gc"] = _gc
del sys.modules["_gc"]
import tls


class _Later:
    """Stands for `tls` until somebody wants it: a board without TLS keeps the heap that the stand-in takes."""

    built_in = tls

    def __getattr__(self, name):
        return getattr(__import__("_tls"), name)


sys.modules["tls"] = _Later()
import gc
import os
import random
import struct
import time

import _chip
import _ops
import esp32
import machine
import network
import vfs


def _begin():
    # sys.version begins with the Python level that MicroPython speaks, which nobody means by its version.
    version = sys.implementation.version
    name = "%s %d.%d.%d, %s" % (sys.implementation.name, version[0], version[1], version[2], sys.version.split("; ")[-1])
    if hasattr(sys.implementation, "_machine"):
        name += "\n" + sys.implementation._machine
    start = _chip.hello(name.encode())
    _, _, _, cause, flash_fd, rtc_base_us, mac, poor, rich, uarts = struct.unpack_from("<IiIBIq6s16s16sB", start, 0)
    at = struct.calcsize("<IiIBIq6s16s16sB")
    global _raw
    _raw = cause & _ops.RAW_REPL
    machine._cause = cause & ~_ops.RAW_REPL
    machine._unique_id = network._mac = bytes(mac)
    time.rtc_base_us = rtc_base_us
    os._poor, os._rich = bytes(poor), bytes(rich)
    random.seed(int.from_bytes(rich[:4], "little"))
    esp32._flash = open(flash_fd, "r+b")
    for _ in range(uarts):
        ident, fd = struct.unpack_from("<BI", start, at)
        machine._uart_fds[ident] = fd
        at += 5
    count, memory = struct.unpack_from("<HH", start, at)
    at += 4
    for _ in range(count):
        esp32._unstable.add(struct.unpack_from("<I", start, at)[0])
        at += 4
    machine._rtc_memory = bytes(start[at : at + memory])


def _mount():
    """The image's `vfs` partition becomes "/"; the stand-ins stay reachable under /sim."""
    here = vfs.VfsPosix(os.getcwd())
    vfs.umount("/")
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")
    vfs.mount(here, "/sim")
    sys.path[:] = ["/sim", "", ".frozen", "/lib"]
    try:
        # No modification times: the runtime would stamp files with the PC's clock, and no two runs would be the same.
        vfs.mount(vfs.VfsLfs2(found[0], mtime=False), "/")
    except (OSError, IndexError) as error:
        print("no file system:", error)


def _run(path):
    """Run one file of the image; returns what the end of it means for the board: 0 carry on, 1 error, 2 soft reset."""
    try:
        with open(path) as file:
            source = file.read()
    except OSError:
        return 0
    try:
        exec(compile(source, path, "exec"), {"__name__": "__main__", "__file__": path})
    except SystemExit:
        return 2
    except BaseException as error:
        sys.print_exception(error)
        return 1
    return 0


_begin()
_mount()
gc.collect()
_end = 0
for _path in ("/boot.py",) if _raw else ("/boot.py", "/main.py"):
    _end = _run(_path)
    if _end:
        break
while True:
    if _end == 2:
        _chip.call(_ops.OP_RESET, bytes((_ops.CAUSE_SOFT,)))
    try:
        if _chip.call(_ops.OP_ENDED, bytes((_end,)))[0]:  # somebody is at the console
            import _repl

            _repl.serve(_raw)
    except KeyboardInterrupt:
        pass
