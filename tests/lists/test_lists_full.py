"""Full lists in whole flash images, looked up inside MicroPython: exact, and within reads, heap and error rate."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from host_tools.bench import lists as full
from host_tools.build.identity import Identity
from host_tools.build.image import assemble
from host_tools.build.partitions import MIB, PARTITION_MAPS, find
from host_tools.formats import lists
from tests.device.conftest import ROOT, micropython

HERE = Path(__file__).parent
PAGE = (ROOT / "docs" / "lists.md").read_text(encoding="utf-8")
TIMEOUT_S = 240
BOARD_HEAP = "110wK"  # of which the lookups take next to nothing
STRANGERS = 1_000_000
STRANGERS_ON_THE_BOARD = 200_000
FALSE_POSITIVES = 0.004  # whatever the filter, 1 in 256 is expected: 0.0039

def identity() -> Identity:
    """A board with the list key of the full lists."""
    return Identity(b"\0\0\x24\x6f\x28\xaa\xbb\xcc", b"\x11" * 32, b"\x22" * 32, "http://127.0.0.1:8080", full.KEY)


def image(tmp_path: Path, flash_size: int, file: bytes) -> Path:
    """The flash image of a board with this list file, the firmware apart."""
    path = tmp_path / "flash.bin"
    path.write_bytes(assemble({}, {"version": 1}, identity(), flash_size, file))
    return path


def look(path: Path, flash_size: int, questions: list[tuple[str, int, int, int]]) -> dict[str, Any]:
    """What the firmware answers about the lists partition of an image."""
    part = find(PARTITION_MAPS[flash_size], "lists")
    call = f"in_flash.look({str(path)!r}, {part.offset}, {part.size}, {full.KEY!r}, {questions!r})"
    code = f"import sys\nsys.path[:] = [{str(ROOT / 'firmware')!r}, {str(HERE)!r}, '.frozen']\nimport in_flash\n{call}"
    command = [*micropython(), "-X", f"heapsize={BOARD_HEAP}", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("flash_size", "cards"), sorted(full.DENY_CARDS.items()))
def test_a_full_deny_list_is_exact(flash_size: int, cards: int, tmp_path: Path) -> None:
    """Each card of it on the small map, one in five on the large one, and as many that are not in it."""
    file = lists.encode(full.KEY, 5, full.DATE, deny=full.prints(range(cards)))
    assert len(file) <= lists.room_bytes(find(PARTITION_MAPS[flash_size], "lists").size)
    assert f"| list file of {cards:,} denied cards | {len(file):,} bytes |" in PAGE
    step = 1 if flash_size == 4 * MIB else 5
    questions = [("denied", 0, cards, step), ("denied", full.STRANGER, full.STRANGER + 50_000, 1)]
    found = look(image(tmp_path, flash_size, file), flash_size, questions)
    assert (found["version"], found["count"], found["kind"]) == (5, cards, lists.DENY)
    (hits, asked, hit_reads), (misses, _, miss_reads) = found["answers"]
    assert hits == asked == cards // step and misses == 0
    assert max(hit_reads, miss_reads) <= full.DENY_READS, (hit_reads, miss_reads)
    assert found["made"][0] <= 4 and found["made"][1] <= 256, "two short headers"
    assert found["made"][2] < 2048, "nothing of the list in RAM"


def test_no_lookup_of_a_full_deny_list_needs_more_reads() -> None:
    """Not only of the cards that were asked: of any fingerprint there is, by the buckets of the index."""
    for cards in full.DENY_CARDS.values():
        file = lists.decode(lists.encode(full.KEY, 5, full.DATE, deny=full.prints(range(cards))))
        section = file.sections[lists.DENY]
        index = file.body[section.start : section.start + (4 << section.shift)]
        reads = 0
        for at in range(0, len(index), 4):
            first, size = int.from_bytes(index[at : at + 3], "little"), index[at + 3]
            windows = (first + size - 1) // 32 - first // 32 + 1 if size else 0
            reads = max(reads, 1 + windows)
        assert reads <= 4 < full.DENY_READS, reads
    assert "| reads of a deny lookup, any fingerprint, both maps | 4 at most |" in PAGE


def test_a_province_and_what_fits_beside_it(tmp_path: Path) -> None:
    """1.3 million cards in 1.6 MB at most, three reads, 0.4 % of others; and a deny list in what is left of the half."""
    part = find(PARTITION_MAPS[16 * MIB], "lists")
    file = full.both_full().read_bytes()
    made = lists.decode(file)
    allow = made.sections[lists.ALLOW]
    assert allow.count == full.ALLOW_CARDS == 1_300_000 and allow.size <= 1_600_000
    assert len(file) > lists.room_bytes(part.size) - 3000, "the half is full"
    first = full.FIRST_ALLOWED
    questions = [
        ("denied", 0, full.DENY_CARDS_BESIDE, 3),
        ("denied", first, first + full.ALLOW_CARDS, 50),
        ("allowed", first, first + full.ALLOW_CARDS, 13),
        ("allowed", full.STRANGER, full.STRANGER + STRANGERS_ON_THE_BOARD, 1),
    ]
    found = look(image(tmp_path, 16 * MIB, file), 16 * MIB, questions)
    assert (found["version"], found["count"]) == (7, full.ALLOW_CARDS + full.DENY_CARDS_BESIDE)
    denied, allowed_not_denied, allowed, strangers = found["answers"]
    assert denied[0] == denied[1] and allowed_not_denied[0] == 0 and max(denied[2], allowed_not_denied[2]) <= full.DENY_READS
    assert allowed[0] == allowed[1] == 100_000 and allowed[2] == strangers[2] == full.ALLOW_READS
    allow_filter = made.allow_filter()
    assert allow_filter is not None
    prints = full.prints(range(full.STRANGER, full.STRANGER + STRANGERS))
    wrong = [allow_filter.holds(int.from_bytes(value, "big")) for value in prints]
    assert strangers[0] == sum(wrong[:STRANGERS_ON_THE_BOARD]), "the board and the host answer alike"
    assert f"| filter of {allow.count:,} cards | {allow.size:,} bytes |" in PAGE
    assert f"| of {STRANGERS:,} strangers allowed | {sum(wrong) / STRANGERS:.3%} |".replace("%", " %") in PAGE
    assert 0.0035 < sum(wrong) / STRANGERS <= FALSE_POSITIVES, sum(wrong)
