"""NOR flash as a file: refuses 0 to 1, counts, takes data-sheet time, tears at a power cut, logs broken rules."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 4096
PAGE_BYTES = 256
# W25Q32/64/128JV class, see the project's hardware notes: typical and maximal figures of the data sheet.
PAGE_PROGRAM_US = {"typical": 700, "worst": 3_000}
SECTOR_ERASE_US = {"typical": 45_000, "worst": 400_000}
JOURNAL_HEADER_BYTES = 64
RELEASE_MARK_OFFSET = 56
# Programming 0xFF leaves a byte as it is.
_TOUCHED = bytes(byte != 0xFF for byte in range(256))


@dataclass
class Counts:
    """What the flash has done so far; erases also by sector number."""

    programs: int = 0
    programmed_bytes: int = 0
    erases: int = 0
    erases_by_sector: dict[int, int] = field(default_factory=dict)
    programs_by_sector: dict[int, int] = field(default_factory=dict)


@dataclass
class Operation:
    """One program (`data` set) or erase under way, in flash addresses and virtual microseconds."""

    address: int
    size: int
    data: bytes | None
    begun_us: int
    duration_us: int
    index: int
    silent_failure: bool = False


@dataclass
class PlannedCut:
    """The power goes inside a flash operation to come, a "program", an "erase" or "any": after `skip` others, when
    `share` of it is done."""

    cut: Callable[[], None]
    share: float = 0.5
    skip: int = 0
    inside: str = "program"


class Flash:
    """The flash chip of one board over the image file at `path`. Power cuts are drawn from `rng`."""

    def __init__(
        self, path: Path, rng: random.Random, *, timing: str = "typical", journal: tuple[int, int] | None = None
    ) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR)
        os.set_inheritable(self.fd, False)
        self.size = os.fstat(self.fd).st_size
        self.timing = timing
        self.counts = Counts()
        self.violations: list[str] = []
        self.under_way: Operation | None = None
        self.operations = 0
        self.program_operations = 0
        # Sector number -> mask of cells that read either way until the sector is erased.
        self.unstable: dict[int, bytearray] = {}
        self.worn_sectors: set[int] = set()
        self.on_torn: Callable[[Operation], None] = lambda operation: None
        # Decides whether a program, by its index, fails without saying so.
        self.fails_silently: Callable[[Operation], bool] | None = None
        self._rng = rng
        self._journal = journal
        # Bytes programmed since the sector's last erase, one bit a byte; a sector is looked at when first touched.
        self._programmed: dict[int, bytearray] = {}

    def close(self) -> None:
        """Let go of the image file."""
        os.close(self.fd)

    def dump(self) -> bytes:
        """The whole image as its cells are now (undecided cells as they last settled)."""
        return self.cells(0, self.size)

    def cells(self, address: int, size: int) -> bytes:
        """A stretch of the image as its cells are now."""
        return os.pread(self.fd, size, address)

    def _programmed_map(self, sector: int) -> bytearray:
        known = self._programmed.get(sector)
        if known is None:
            content = os.pread(self.fd, SECTOR_BYTES, sector * SECTOR_BYTES)
            known = self._programmed[sector] = bytearray(byte != 0xFF for byte in content)
        return known

    def read(self, address: int, size: int) -> bytes:
        """What a read gives now: undecided cells are drawn anew each time."""
        data = bytearray(os.pread(self.fd, size, address))
        for sector, mask in self.unstable.items():
            low = max(address, sector * SECTOR_BYTES)
            high = min(address + size, (sector + 1) * SECTOR_BYTES)
            for at in range(low, high):
                loose = mask[at - sector * SECTOR_BYTES]
                if loose:
                    data[at - address] = (data[at - address] & ~loose & 0xFF) | (self._rng.getrandbits(8) & loose)
        return bytes(data)

    def _in_journal(self, address: int) -> bool:
        return self._journal is not None and self._journal[0] <= address < self._journal[0] + self._journal[1]

    def _note(self, text: str) -> None:
        self.violations.append(text)

    def begin_program(self, address: int, data: bytes, now_us: int) -> Operation:
        """Start programming; the cells change when `finish` or `cut` is called."""
        pages = (address + len(data) - 1) // PAGE_BYTES - address // PAGE_BYTES + 1 if data else 0
        self.program_operations += 1
        return self._begin(address, len(data), bytes(data), now_us, pages * PAGE_PROGRAM_US[self.timing])

    def begin_erase(self, address: int, size: int, now_us: int) -> Operation:
        """Start erasing whole sectors."""
        sectors = size // SECTOR_BYTES
        return self._begin(address, size, None, now_us, sectors * SECTOR_ERASE_US[self.timing])

    def _begin(self, address: int, size: int, data: bytes | None, now_us: int, duration_us: int) -> Operation:
        if address < 0 or address + size > self.size:
            raise ValueError(f"flash operation outside the chip: {address:#x} + {size}")
        if data is None and (address % SECTOR_BYTES or size % SECTOR_BYTES):
            raise ValueError(f"erase not on sector boundaries: {address:#x} + {size}")
        operation = Operation(address, size, data, now_us, duration_us, self.operations)
        if data is not None and self.fails_silently is not None:
            operation.silent_failure = self.fails_silently(operation)
        self.operations += 1
        self.under_way = operation
        return operation

    def finish(self) -> None:
        """The operation under way takes its full effect."""
        operation, self.under_way = self.under_way, None
        if operation is None:
            return
        if operation.data is None:
            for sector in range(
                operation.address // SECTOR_BYTES, (operation.address + operation.size) // SECTOR_BYTES
            ):
                self._erase_sector(sector)
            return
        old = os.pread(self.fd, operation.size, operation.address)
        self._check_program(operation, old)
        wanted = operation.data
        if operation.silent_failure:
            wanted = bytes(byte | (1 << self._rng.randrange(8)) for byte in wanted)
        os.pwrite(self.fd, _and(old, wanted), operation.address)
        self._mark_programmed(operation.address, operation.data.translate(_TOUCHED))
        self._settle(operation.address, wanted)
        self._count_program(operation)

    def _mark_programmed(self, address: int, touched: bytes) -> None:
        while touched:
            sector, offset = divmod(address, SECTOR_BYTES)
            part = touched[: SECTOR_BYTES - offset]
            known = self._programmed_map(sector)
            known[offset : offset + len(part)] = _or(known[offset : offset + len(part)], part)
            address += len(part)
            touched = touched[len(part) :]

    def _settle(self, address: int, wanted: bytes) -> None:
        """A program that runs to its end leaves no doubt about the cells it clears."""
        if self.unstable:
            for at, byte in enumerate(wanted, address):
                sector, offset = divmod(at, SECTOR_BYTES)
                if sector in self.unstable:
                    self.unstable[sector][offset] &= byte

    def _erase_sector(self, sector: int) -> None:
        blank = b"\xff" * SECTOR_BYTES
        if sector in self.worn_sectors:
            # A worn sector keeps some cells at 0.
            worn = bytearray(blank)
            for _ in range(8):
                worn[self._rng.randrange(SECTOR_BYTES)] &= ~(1 << self._rng.randrange(8)) & 0xFF
            blank = bytes(worn)
        os.pwrite(self.fd, blank, sector * SECTOR_BYTES)
        self.unstable.pop(sector, None)
        self._programmed[sector] = bytearray(SECTOR_BYTES)
        self.counts.erases += 1
        self.counts.erases_by_sector[sector] = self.counts.erases_by_sector.get(sector, 0) + 1

    def _count_program(self, operation: Operation) -> None:
        self.counts.programs += 1
        self.counts.programmed_bytes += operation.size
        sector = operation.address // SECTOR_BYTES
        self.counts.programs_by_sector[sector] = self.counts.programs_by_sector.get(sector, 0) + 1

    def _check_program(self, operation: Operation, old: bytes) -> None:
        """Log 0 to 1 and, in the journal, bytes programmed twice."""
        data = operation.data or b""
        in_journal = self._in_journal(operation.address)
        sector, offset = divmod(operation.address, SECTOR_BYTES)
        programmed = self._programmed_map(sector)[offset : offset + len(data)]
        again = len(programmed) != len(data) or (in_journal and any(_and(programmed, data.translate(_TOUCHED))))
        if not again and _and(old, data) == data:
            return  # nothing to log; below, byte by byte, is what and where
        for i, (before, wanted) in enumerate(zip(old, data, strict=True)):
            at = operation.address + i
            sector, offset = divmod(at, SECTOR_BYTES)
            programmed = self._programmed_map(sector)
            loose = self.unstable.get(sector)
            if wanted & ~before & 0xFF and not (loose and loose[offset]):
                self._note(f"program sets a 0 bit to 1 at {at:#x}")
                break
            if in_journal and wanted != 0xFF and programmed[offset] and offset != RELEASE_MARK_OFFSET:
                what = "sector header" if offset < JOURNAL_HEADER_BYTES else "byte"
                self._note(f"{what} programmed twice since its erase at {at:#x}")
                break

    def cut(self, now_us: int) -> bool:
        """The power goes at `now_us`: the operation under way is torn. True if there was one."""
        operation, self.under_way = self.under_way, None
        if operation is None:
            return False
        elapsed_us = max(0, min(now_us - operation.begun_us, operation.duration_us))
        if operation.data is None:
            self._tear_erase(operation, elapsed_us)
        else:
            self._check_program(operation, os.pread(self.fd, operation.size, operation.address))
            self._tear_program(operation, elapsed_us)
            self._count_program(operation)
        self.on_torn(operation)
        return True

    def _tear_program(self, operation: Operation, elapsed_us: int) -> None:
        """Pages before the one under way are whole, that one has a random subset of its bits, later ones nothing."""
        page_us = PAGE_PROGRAM_US[self.timing]
        done_pages = elapsed_us // page_us
        share = (elapsed_us % page_us) / page_us
        data = operation.data or b""
        old = os.pread(self.fd, operation.size, operation.address)
        new = bytearray(old)
        touched = bytearray(operation.size)
        first_page = operation.address // PAGE_BYTES
        for i, wanted in enumerate(data):
            at = operation.address + i
            page = at // PAGE_BYTES - first_page
            if page < done_pages:
                new[i] = old[i] & wanted
                touched[i] = wanted != 0xFF
            elif page == done_pages and share:
                to_clear = old[i] & ~wanted & 0xFF
                cleared = sum(1 << bit for bit in range(8) if to_clear >> bit & 1 and self._rng.random() < share)
                new[i] = old[i] & ~cleared & 0xFF
                # A cell that was being cleared has settled nowhere, whichever way it reads now.
                loose = sum(1 << bit for bit in range(8) if to_clear >> bit & 1 and self._rng.random() < 0.25)
                self._loosen(at, loose)
                touched[i] = bool(cleared or loose)
        os.pwrite(self.fd, bytes(new), operation.address)
        self._mark_programmed(operation.address, bytes(touched))

    def _tear_erase(self, operation: Operation, elapsed_us: int) -> None:
        """Sectors before the one under way are blank, that one is a random mix of old cells and blank ones."""
        sector_us = SECTOR_ERASE_US[self.timing]
        first = operation.address // SECTOR_BYTES
        done = elapsed_us // sector_us
        for sector in range(first, first + min(done, operation.size // SECTOR_BYTES)):
            self._erase_sector(sector)
        if done >= operation.size // SECTOR_BYTES:
            return
        sector = first + done
        share = (elapsed_us % sector_us) / sector_us
        new = bytearray(os.pread(self.fd, SECTOR_BYTES, sector * SECTOR_BYTES))
        for i, byte in enumerate(new):
            to_set = ~byte & 0xFF
            if to_set:
                new[i] |= sum(1 << bit for bit in range(8) if to_set >> bit & 1 and self._rng.random() < share)
                if self._rng.random() < 0.1:
                    self._loosen(sector * SECTOR_BYTES + i, to_set & self._rng.getrandbits(8))
        os.pwrite(self.fd, bytes(new), sector * SECTOR_BYTES)
        self.counts.erases += 1
        self.counts.erases_by_sector[sector] = self.counts.erases_by_sector.get(sector, 0) + 1

    def _loosen(self, address: int, bits: int) -> None:
        if bits:
            sector, offset = divmod(address, SECTOR_BYTES)
            self.unstable.setdefault(sector, bytearray(SECTOR_BYTES))[offset] |= bits

    def flip(self, address: int, bits: int) -> None:
        """A fault: the cells `bits` of the byte at `address` change by themselves."""
        byte = os.pread(self.fd, 1, address)[0]
        os.pwrite(self.fd, bytes((byte ^ bits,)), address)

    def replace(self, image: bytes) -> None:
        """Somebody writes a whole image from outside (a clone, an old dump put back)."""
        os.pwrite(self.fd, image, 0)
        self.unstable.clear()
        self._programmed.clear()


def _and(old: bytes | bytearray, wanted: bytes) -> bytes:
    return (int.from_bytes(old, "big") & int.from_bytes(wanted, "big")).to_bytes(len(old), "big")


def _or(old: bytes | bytearray, more: bytes) -> bytes:
    return (int.from_bytes(old, "big") | int.from_bytes(more, "big")).to_bytes(len(old), "big")
