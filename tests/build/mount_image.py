"""Runs inside MicroPython: mounts the file system of a flash image as the board does, imports from it, writes to it.

Arguments: the image's path, offset and size of the file system. Prints one JSON object.
"""

import json
import os
import sys

import vfs

BLOCK_BYTES = 4096


class Flash:
    """The block device that an esp32.Partition is, over a stretch of a file."""

    def __init__(self, path, offset, size):
        self.file = open(path, "r+b")  # noqa: SIM115 - it lives as long as the device
        self.offset = offset
        self.blocks = size // BLOCK_BYTES

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(self.offset + block * BLOCK_BYTES + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(self.offset + block * BLOCK_BYTES + offset)
        self.file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            self.file.seek(self.offset + argument * BLOCK_BYTES)
            self.file.write(b"\xff" * BLOCK_BYTES)
        if operation == 3:
            self.file.flush()
        return 0


def tree(path):
    """Every file below `path`."""
    found = []
    for name, kind, *_ in os.ilistdir(path):
        whole = path + "/" + name
        found += tree(whole) if kind == 0x4000 else [whole]
    return found


image, offset, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Neither file system nor sizes are named, as in MicroPython's own start on the ESP32.
vfs.mount(Flash(image, offset, size), "/flash")
files = sorted(tree("/flash"))
sys.path[:] = ["/flash"]

import board  # noqa: E402
from journal.ring import where  # noqa: E402
from journal.words import WORDS  # noqa: E402

with open("/flash/config.json") as file:
    config = json.load(file)
with open("/flash/written.bin", "wb") as file:
    file.write(bytes(range(256)) * 40)
os.rename("/flash/written.bin", "/flash/journal/written.bin")
vfs.umount("/flash")

vfs.mount(Flash(image, offset, size), "/again")
with open("/again/journal/written.bin", "rb") as file:
    kept = file.read() == bytes(range(256)) * 40
with open("/again/main.py") as file:
    main = file.read()
try:
    where(0)
except ZeroDivisionError as error:
    import io

    text = io.StringIO()
    sys.print_exception(error, text)
    trace = text.getvalue()
print(
    json.dumps(
        {
            "files": files,
            "tx": board.SCANNER_TX,
            "words": WORDS,
            "config": config,
            "kept": kept,
            "main": main,
            "trace": trace,
        }
    )
)
