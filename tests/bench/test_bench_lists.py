"""A look into full lists: right answers, reads within their bars, the same figures twice, far from the bar of a scan."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from host_tools.bench import lists
from host_tools.bench.figures import ROOT, Firmware
from host_tools.bench.meter import MeterError

# Of 1.3 million with both lists full, 0.6 is the scan without any.
BOTH_INSTRUCTIONS = 200_000


def test_what_a_lookup_costs(firmware: Firmware) -> None:
    found = {figure.key: figure for figure in lists.lookups(firmware)}
    assert set(found) == {"deny_instructions", "deny_reads", "allow_instructions", "allow_reads"}
    assert (found["deny_reads"].bar, found["allow_reads"].bar) == (8, 3), "the bars are those of the issue"
    assert found["deny_reads"].met and found["allow_reads"].met
    assert found["allow_reads"].value == 3
    page = (ROOT / "docs" / "lists.md").read_text(encoding="utf-8")
    for kind, worst in (("a deny lookup, both lists full, worst of 120", "deny"), ("an allow lookup, likewise", "allow")):
        assert f"| {kind} | {found[worst + '_instructions'].value / 1e6:.2f} M instructions |" in page
    total = found["deny_instructions"].value + found["allow_instructions"].value
    assert 50_000 < total < BOTH_INSTRUCTIONS, total
    assert lists.lookups(firmware) == list(found.values())


def test_a_wrong_answer_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", tree, ignore=shutil.ignore_patterns("__pycache__"))
    source = (tree / "scanner" / "lists.py").read_text(encoding="utf-8")
    assert source.count("return rest == 0") == 1
    (tree / "scanner" / "lists.py").write_text(source.replace("return rest == 0", "return rest != 0"), encoding="utf-8")
    with pytest.raises(MeterError, match="wrong answers of the allow list"):
        lists.lookups(Firmware(tree))
