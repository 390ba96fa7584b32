"""Lists as whole runs: who is denied, who is not listed, a list that is not there; the record says which, not the door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from host_tools.cards import people
from host_tools.collector.store import Store
from host_tools.errors import UserError
from host_tools.formats.records import NOTE, SCAN
from host_tools.simulator import scenario
from host_tools.simulator.run import Outcome, Run
from tests.system.payloads import Payloads

GATE = """
name = "lists"
seed = 4
duration_s = 40
[[board]]
name = "gate"
config = { lists = LISTS }
"""
ADMITTED, DENIED, RECORDED, NOT_LISTED = 1, 2, 3, 10
ONE, TWO, THREE = (people.person(seed) for seed in (1, 2, 3))


@pytest.fixture
def play() -> Iterator[Callable[..., tuple[Run, Outcome]]]:
    made: list[Run] = []

    def run(asked: str, on_lists: str, shows: list[tuple[int, str]]) -> tuple[Run, Outcome]:
        text = GATE.replace("LISTS", asked) + on_lists
        for number, (person, kind) in enumerate(shows):
            text += f'[[show]]\nboard = "gate"\nat_ms = {7000 + 2500 * number}\nperson = {person}\nkind = "{kind}"\n'
        made.append(Run(scenario.parse(text), album=Payloads()))
        return made[-1], made[-1].play()

    yield run
    for one in made:
        one.close()


def rows(run: Run, kind: int) -> list[dict[str, Any]]:
    with Store(run.world.database) as store:
        found = [row.decoded for row in store.rows(run.world.checkpoints["gate"].keys.device_id)]
    return [decoded for decoded in found if decoded is not None and decoded["kind"] == kind]


def test_denied_and_not_listed_look_alike_outside(play: Callable[..., Any]) -> None:
    deny = f'deny = ["cccd,{ONE.id_number}", "bhyt,{TWO.bhyt_code}"]\n'
    allow = f'allow = ["cccd,{ONE.id_number}", "cccd,{TWO.id_number}", "bhyt,{TWO.bhyt_code}"]\n'
    shows = [(1, "cccd"), (2, "cccd"), (2, "bhyt"), (3, "cccd"), (1, "qrqg")]
    run, outcome = play('["deny", "allow"]', deny + allow, shows)
    assert outcome.broken == []
    found = [row["verdict"] for row in rows(run, SCAN)]
    assert found == [DENIED, ADMITTED, DENIED, NOT_LISTED, NOT_LISTED], "another scheme's number is another card"
    assert dict(outcome.doors[0].signals) == {"recorded": 1, "refused": 4}
    assert not [row["text"] for row in rows(run, NOTE) if "lists" in row["text"]]


def test_a_list_in_flash_that_config_does_not_ask(play: Callable[..., Any]) -> None:
    run, outcome = play("[]", f'deny = ["cccd,{ONE.id_number}"]\n', [(1, "cccd")])
    assert outcome.broken == []
    assert [row["verdict"] for row in rows(run, SCAN)] == [RECORDED]


def test_a_list_that_is_not_there_refuses_nobody_and_is_reported(play: Callable[..., Any]) -> None:
    run, outcome = play('["deny", "allow"]', f'deny = ["cccd,{ONE.id_number}"]\n', [(1, "cccd"), (3, "cccd")])
    assert outcome.broken == []
    assert [row["verdict"] for row in rows(run, SCAN)] == [DENIED, ADMITTED]
    assert "lists: no allow list in force" in [row["text"] for row in rows(run, NOTE)]


@pytest.mark.parametrize("line", ["cccd", "cccd,1", "passport,B1234567"])
def test_a_card_that_is_none_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(UserError, match="board gate: deny 2: "):
        scenario.parse(GATE.replace("LISTS", '["deny"]') + f'deny = ["cccd,046099012345", "{line}"]\n')
