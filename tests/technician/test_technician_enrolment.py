"""Tokens and enrolment: one board a token, expired, limited, kept as a hash; what an onlooker or another collector gets."""

from __future__ import annotations

import http.client
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from technicians_centre import Centre, now_ms

from host_tools.build.identity import Identity
from host_tools.collector import enrolment as at_centre
from host_tools.collector import vault
from host_tools.collector.enrolment import Enrolment
from host_tools.collector.store import Store
from host_tools.device import enrolling
from host_tools.errors import UserError
from host_tools.formats import enrolment
from host_tools.formats.keys import collector_public

BOARD = bytes.fromhex("000024a160112233")
OTHER = bytes.fromhex("000024a160112244")
Chot = Callable[..., tuple[int, str, str]]


def enrol(url: str, token: str, device_id: bytes) -> tuple[Identity, str]:
    return enrolling.enrol(enrolling.centre(url, None, None), token, device_id)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")


def test_both_ends_make_the_same_key(centre: Centre) -> None:
    identity, checkpoint = enrol(centre.url, centre.token("school"), BOARD)
    assert checkpoint == "school"
    with Store(centre.database) as store:
        assert store.device_key(BOARD) == identity.device_key
        assert store.assignments(BOARD)[-1].checkpoint == "school"
    assert identity.collector_public == collector_public(vault.private_keys(centre.directory)[0])
    # All boards of a collector share its list key, so one list file serves them all.
    other, _ = enrol(centre.url, centre.token("school"), OTHER)
    assert other.list_key == identity.list_key == vault.list_key(centre.database)
    assert len({identity.device_key, other.device_key, identity.list_key, vault.wrapping_key(centre.database, make=False)}) == 4


def test_a_token_is_for_one_board_which_may_try_again(centre: Centre) -> None:
    token = centre.token()
    first, _ = enrol(centre.url, token, BOARD)
    with pytest.raises(UserError, match="used for another board"):
        enrol(centre.url, token, OTHER)
    again, _ = enrol(centre.url, token, BOARD)
    assert again.device_key != first.device_key
    with Store(centre.database) as store:
        assert store.device_key(BOARD) == again.device_key
        assert store.devices() == [BOARD]


def test_a_known_board_gets_a_new_key_and_that_is_reported(centre: Centre) -> None:
    enrol(centre.url, centre.token("school"), BOARD)
    enrol(centre.url, centre.token("market"), BOARD)
    assert (BOARD.hex(), at_centre.ENROLLED_AGAIN, "market") in centre.reports()
    with Store(centre.database) as store:
        assert [place.checkpoint for place in store.assignments(BOARD)] == ["school", "market"]


def test_tokens_expire_and_are_limited(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(centre.database) as store:
        made = Enrolment(store, vault.private_keys(centre.directory))
        old = made.make("school", 1, now_ms() - 3_600_001)
        with pytest.raises(UserError, match="the token has expired"):
            enrol(centre.url, str(old), BOARD)
        for hours in (0, at_centre.MAX_HOURS + 1):
            with pytest.raises(UserError, match="--hours is 1 to 720"):
                made.make("school", hours, now_ms())
        monkeypatch.setattr(at_centre, "MAX_OPEN_TOKENS", 3)
        for _ in range(3):
            made.make("school", 1, now_ms())
        with pytest.raises(UserError, match="unused already"):
            made.make("school", 1, now_ms())
        # Those that expire unused make room.
        made.make("school", 1, now_ms() + 7_200_000)


def test_the_database_holds_no_token_and_no_key_in_clear(centre: Centre) -> None:
    text = centre.token()
    identity, _ = enrol(centre.url, text, BOARD)
    token = enrolment.parse_token(text)
    with closing(sqlite3.connect(centre.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        dump = "\n".join(database.iterdump())
    raw = b"".join(path.read_bytes() for path in centre.directory.glob("collector.db*") if path.suffix != ".key")
    for secret in (token.secret, identity.device_key, identity.list_key):
        assert secret not in raw and secret.hex() not in dump.lower()


def test_what_goes_over_the_wire_says_nothing(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """An onlooker sees a public key and sealed bytes; sending them again does not bring an old key back."""
    wire: list[bytes] = []
    request, read = http.client.HTTPConnection.request, http.client.HTTPResponse.read

    def listen(self: http.client.HTTPConnection, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> None:
        wire.append(body or b"")
        request(self, method, url, body, headers)

    def hear(self: http.client.HTTPResponse, amt: int | None = None) -> bytes:
        wire.append(read(self, amt))
        return wire[-1]

    monkeypatch.setattr(http.client.HTTPConnection, "request", listen)
    monkeypatch.setattr(http.client.HTTPResponse, "read", hear)
    text = centre.token()
    first, _ = enrol(centre.url, text, BOARD)
    token = enrolment.parse_token(text)
    heard = list(wire)
    second, _ = enrol(centre.url, text, BOARD)
    monkeypatch.undo()
    everything = b"".join(wire)
    for secret in (token.secret, token.secret.hex().encode(), BOARD.hex().encode(), first.device_key, first.list_key):
        assert secret not in everything
    with Store(centre.database) as store:
        answer = Enrolment(store, vault.private_keys(centre.directory)).answer(heard[2], now_ms())
        assert answer is not None
        assert store.device_key(BOARD) == second.device_key


def test_another_collector_is_not_believed(centre: Centre, tmp_path: Path) -> None:
    """A token carries the fingerprint of its own collector's key."""
    foreign = str(enrolment.new_token(collector_public(bytes(range(7, 39)))))
    with pytest.raises(UserError, match="is not the collector that made this token"):
        enrol(centre.url, foreign, BOARD)
    unknown = str(enrolment.new_token(collector_public(vault.private_keys(centre.directory)[0])))
    with pytest.raises(UserError, match="does not know this token"):
        enrol(centre.url, unknown, BOARD)
    for text in ("", "tq5qq", "not a token at all, but long enough to be one!", str(foreign)[:-1]):
        with pytest.raises(UserError, match="40 letters and digits"):
            enrol(centre.url, text, BOARD)
    for url in ("http://127.0.0.1:9", "nonsense"):
        with pytest.raises(UserError, match="cannot reach the collector"):
            enrol(url, unknown, BOARD)


def test_every_flipped_byte_of_a_request_is_refused(centre: Centre) -> None:
    private = vault.private_keys(centre.directory)[0]
    token = enrolment.parse_token(centre.token())
    body, session = enrolment.build_request(collector_public(private), token, {"device_id": BOARD.hex()})
    with Store(centre.database) as store:
        made = Enrolment(store, [private])
        for at in range(len(body)):
            broken = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
            # The top bit of an X25519 key does not count; nothing else may be changed.
            assert at == 32 or made.answer(broken, now_ms()) is None
        for cut in (b"", body[:1], body[:33], body[:-1], body + b"\0", bytes(len(body)), bytes(5000)):
            assert made.answer(cut, now_ms()) is None
        assert store.devices() == []
        answer = made.answer(body, now_ms())
    assert answer is not None and enrolment.parse_reply(session, answer)["checkpoint"] == "market gate"
    with pytest.raises(enrolment.NotForUs):
        enrolment.parse_reply(session, answer[:-1] + bytes((answer[-1] ^ 1,)))


@pytest.mark.parametrize("device", ["", "zz", "00" * 8, "ff" * 8, "00" * 7, 5, None])
def test_what_is_no_device_is_refused(device: object, centre: Centre) -> None:
    private = vault.private_keys(centre.directory)[0]
    token = enrolment.parse_token(centre.token())
    body, session = enrolment.build_request(collector_public(private), token, {"device_id": device})
    with Store(centre.database) as store:
        answer = Enrolment(store, [private]).answer(body, now_ms())
        assert answer is not None and "refused" in enrolment.parse_reply(session, answer)
        assert store.devices() == []


def test_tokens_by_command(chot: Chot, centre: Centre, tmp_path: Path) -> None:
    status, out, _ = chot("collector", "token", centre.directory, "market gate", "school")
    assert status == 0 and [line.split("  ")[1] for line in out.splitlines()] == ["market gate", "school"]
    table = tmp_path / "doors.csv"
    table.write_text("checkpoint,ssid\nbến xe,cho\nga,cho\n", encoding="utf-8")
    assert chot("collector", "token", centre.directory, "--csv", table)[0] == 0
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "checkpoint,ssid,token" and lines[1].startswith("bến xe,cho,") and table.stat().st_mode & 0o77 == 0
    assert chot("collector", "token", centre.directory)[0] == 2
    for text, says in (
        ("", "it takes 1 to 1000 rows"),
        ("door\nx\n", "unknown column 'door'"),
        ("ssid\nx\n", "'checkpoint' is missing"),
        ("checkpoint\n \n", "name is blank"),
        ("checkpoint,ssid\na,b,c\n", "a column too many"),
    ):
        table.write_text(text)
        status, _, err = chot("collector", "token", centre.directory, "--csv", table)
        assert status == 3 and (says in err or "'checkpoint' is missing" in err), err
