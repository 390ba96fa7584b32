"""A hundred thousand mutants of valid payloads: no parser raises, and none gives an id that the written rules do not give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.cards.people import KINDS, bhyt, cccd, expected, payload, people
from tests.cards import mutants, oracle
from tests.cards.in_micropython import FIRMWARE, ROOT, call, identify, schemes

SEED = int(os.environ.get("CHOT_SEED", "11"))
COUNT = int(os.environ.get("CHOT_MUTANTS", "100000"))
KNOWN_PERCENT = 20
LINES_PERCENT = 95
TRACED = 10_000  # of the same mutants: a trace takes its time, and these reach the lines
LONG = ("foreign", "shc", "nzcp", "vds-nc", "divoc")


def valid() -> list[bytes]:
    """Payloads as people carry them: every kind, the short ones of more people, and what the kinds do not vary."""
    found = [payload(kind, who) for kind in KINDS for who in people(2 if kind in LONG else 6, seed=8)]
    for who in people(3, seed=9):
        born = f"{who.born:%d%m%Y}".encode()
        found += [cccd(who).replace(born, born[4:]), cccd(who).replace(born, born[2:])]
        found.append(bhyt(who, trailing_nul=True).replace(f"{who.born:%d/%m/%Y}".encode(), b"%d" % who.born.year))
        found += [f"{who.name} 😀 €".encode(), f"www.cho-mau.vn/{who.seed}".encode(), b"HKEN:0ABCDEFGH"]
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cards") / "corpus.txt"
    path.write_text("".join(data.hex() + "\n" for data in valid()))
    return path


def test_what_people_carry_is_what_it_is(corpus: Path) -> None:
    """Before anything is mutated: the oracle, the firmware and the person agree."""
    cards = [(kind, who) for kind in KINDS for who in people(6, seed=8)]
    payloads = [payload(kind, who) for kind, who in cards]
    found = identify(payloads)
    assert found == [oracle.identify(data) for data in payloads]
    assert [scheme for scheme, _ in found] == [expected(kind, who).scheme for kind, who in cards]
    assert [scheme for scheme, _ in identify(valid())] == [oracle.identify(data)[0] for data in valid()]


def test_mutants(corpus: Path) -> None:
    printed = call(f"mutants.fuzz({schemes()!r}, {str(corpus)!r}, {SEED}, {COUNT})")
    wanted = list(mutants.outcomes(oracle.identify, mutants.load(corpus), SEED, COUNT))
    assert COUNT >= 100_000 and len(printed) == len(wanted) == COUNT // mutants.BLOCK
    wrong = [at for at, (digest, known) in enumerate(wanted) if printed[at] != f"{digest} {known}"]
    if wrong:
        pytest.fail(f"blocks {wrong} differ; the first mutant that does: {first_difference(corpus, wrong[0])}")
    assert sum(known for _, known in wanted) * 100 >= COUNT * KNOWN_PERCENT
    assert {oracle.identify(data)[0] for data in made(corpus, 0)} == set(range(11)), "mutants of every scheme"


def made(corpus: Path, block: int) -> list[bytes]:
    """The mutants of a block."""
    chance, payloads = mutants.Chance(SEED), mutants.load(corpus)
    return [mutants.mutant(payloads, chance) for _ in range((block + 1) * mutants.BLOCK)][block * mutants.BLOCK :]


def first_difference(corpus: Path, block: int) -> str:
    """The first mutant of a block of which the firmware thinks otherwise than the oracle."""
    block_made = made(corpus, block)
    for data, (scheme, packed) in zip(block_made, identify(block_made), strict=True):
        if (scheme, packed) != oracle.identify(data):
            return f"{data!r}: {scheme} {packed.hex()}, by the rules {oracle.identify(data)}"
    return "none: it depends on what was asked before"


def test_the_mutants_reach_the_parsers_lines(corpus: Path) -> None:
    command = [sys.executable, "-m", "tests.cards.lines", str(FIRMWARE), str(corpus), str(SEED), str(TRACED)]
    done = subprocess.run([*command, *schemes()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {name.removesuffix(".py") for name in report} == {"__init__", *schemes()}, "a file that config does not know"
    reached, there = (sum(row[index] for row in report.values()) for index in (0, 1))
    assert there > 80 and reached * 100 >= there * LINES_PERCENT, report
