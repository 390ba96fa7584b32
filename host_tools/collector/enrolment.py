"""Enrolment at the collector: tokens made, limited and expired, kept as hashes; and the request that uses one up."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host_tools.collector import vault
from host_tools.collector.store import DEVICE_ID_BYTES, Store
from host_tools.errors import EXIT_USAGE, UserError
from host_tools.formats import enrolment, records
from host_tools.formats.enrolment import NotForUs, Session, Token
from host_tools.formats.keys import RefusedKey, collector_public
from host_tools.text import say

MAX_OPEN_TOKENS = 1000
MAX_HOURS = 24 * 30
# What the reports say of it.
ENROLLED = "enrolled"
ENROLLED_AGAIN = "enrolled again: a new key"
REPLACED = "replaced"
_HOUR_MS = 3_600_000

# A token enrols one board: the first that uses it. That board may use it again until it expires, for its cable may have
# been cut before the key was on it.
_TABLE = """
CREATE TABLE IF NOT EXISTS enrolment_tokens (
    hash BLOB PRIMARY KEY,
    checkpoint TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    device_id BLOB,                      -- the board that used it
    seen BLOB NOT NULL DEFAULT x''       -- the requests that used it: none is good twice
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Refused(Exception):
    """A token that enrols nobody: why, as the technician reads it (Vietnamese, English)."""

    why: tuple[str, str]


_UNKNOWN = ("mã ghi danh không có ở trung tâm này", "the collector does not know this token")
_EXPIRED = ("mã ghi danh đã hết hạn", "the token has expired")
_USED = ("mã ghi danh đã dùng cho bo mạch khác", "the token has been used for another board")
_REPLAYED = ("yêu cầu này đã dùng rồi", "this request has been used already")


class Enrolment:
    """Tokens over one store. Times are UTC in ms; `privates` are the collector's keys, the one in use first."""

    def __init__(self, store: Store, privates: Sequence[bytes]) -> None:
        self._store = store
        self._privates = list(privates)
        store.db.execute(_TABLE)

    def make(self, checkpoint: str, hours: int, now_ms: int) -> Token:
        """A token for one board at that checkpoint; UserError if there are too many already, or for too long a time."""
        if not 1 <= hours <= MAX_HOURS:
            raise UserError(
                say(f"--hours từ 1 đến {MAX_HOURS}", f"--hours is 1 to {MAX_HOURS}"),
                hint=say("mã chỉ nên sống vài ngày", "a token should live for some days only"),
                exit_code=EXIT_USAGE,
            )
        db = self._store.db
        db.execute("DELETE FROM enrolment_tokens WHERE expires_ms < ? AND device_id IS NULL", (now_ms,))
        if db.execute("SELECT COUNT(*) FROM enrolment_tokens WHERE device_id IS NULL").fetchone()[0] >= MAX_OPEN_TOKENS:
            raise UserError(
                say(f"đã có {MAX_OPEN_TOKENS} mã chưa dùng", f"{MAX_OPEN_TOKENS} tokens are unused already"),
                hint=say("chờ chúng hết hạn", "wait until they expire"),
            )
        token = enrolment.new_token(collector_public(self._privates[0]))
        db.execute(
            "INSERT INTO enrolment_tokens VALUES (?, ?, ?, ?, NULL, x'')",
            (token.hash, checkpoint, now_ms, now_ms + hours * _HOUR_MS),
        )
        return token

    def answer(self, body: bytes, now_ms: int) -> bytes | None:
        """The reply to a request that came in; None for one that cannot be answered, as nobody could read the reply."""
        try:
            members, session = enrolment.open_request(body, self._privates[0])
        except (NotForUs, RefusedKey):
            return None
        try:
            said = self._enrol(members, session, hashlib.sha256(body).digest(), now_ms)
        except Refused as refused:
            said = {"refused": list(refused.why)}
        return enrolment.build_reply(session, said)

    def _enrol(self, members: dict[str, Any], session: Session, digest: bytes, now_ms: int) -> dict[str, Any]:
        """Use a token up; what the technician is told. Raises Refused."""
        try:
            token = Token(bytes.fromhex(members["token"]), b"")
            device_id = bytes.fromhex(members["device_id"])
        except (KeyError, TypeError, ValueError):
            raise Refused(_UNKNOWN) from None
        if len(device_id) != DEVICE_ID_BYTES or device_id in (bytes(DEVICE_ID_BYTES), b"\xff" * DEVICE_ID_BYTES):
            raise Refused(("mã thiết bị sai", "that is no device id"))
        db = self._store.db
        db.execute("BEGIN IMMEDIATE")
        try:
            row = db.execute(
                "SELECT hash, checkpoint, expires_ms, device_id, seen FROM enrolment_tokens WHERE hash = ?", (token.hash,)
            ).fetchone()
            if row is None or not hmac.compare_digest(row[0], token.hash):
                raise Refused(_UNKNOWN)
            _, checkpoint, expires_ms, used_by, seen = row
            if now_ms > expires_ms:
                raise Refused(_EXPIRED)
            if used_by not in (None, device_id):
                raise Refused(_USED)
            if digest in (seen[at : at + len(digest)] for at in range(0, len(seen), len(digest))):
                raise Refused(_REPLAYED)  # heard on the wire and sent again, it would bring an old key back
            db.execute(
                "UPDATE enrolment_tokens SET device_id = ?, seen = ? WHERE hash = ?", (device_id, seen + digest, token.hash)
            )
            self._register(device_id, session.device_key, checkpoint, now_ms)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        list_key = vault.list_key(self._store.path)
        return {"checkpoint": checkpoint, "list_key": list_key.hex(), "now": now_ms}

    def _register(self, device_id: bytes, device_key: bytes, checkpoint: str, now_ms: int) -> None:
        """Take the board up, or give a known one its new key and place; inside the transaction."""
        db = self._store.db
        known = db.execute("SELECT 1 FROM devices WHERE device_id = ?", (device_id,)).fetchone() is not None
        empty = db.execute("SELECT 1 FROM devices LIMIT 1").fetchone() is None
        wrapped = vault.wrap(vault.wrapping_key(self._store.path, make=empty), device_id, device_key)
        if not known:
            db.execute("INSERT INTO devices VALUES (?, ?, ?, NULL)", (device_id, wrapped, now_ms))
            place(db, device_id, checkpoint, now_ms)
            self._store.report(device_id, ENROLLED, checkpoint, now_ms)
            return
        db.execute("UPDATE devices SET wrapped_key = ? WHERE device_id = ?", (wrapped, device_id))
        if self._store.assignments(device_id)[-1].checkpoint != checkpoint:
            place(db, device_id, checkpoint, now_ms)
        self._store.report(device_id, ENROLLED_AGAIN, checkpoint, now_ms)  # whoever did it, the key is another now


def place(db: sqlite3.Connection, device_id: bytes, checkpoint: str, now_ms: int) -> None:
    """Note that a board serves a checkpoint from now on; inside a transaction (Store.assign is one of its own)."""
    made = db.execute(
        "INSERT INTO assignments (device_id, checkpoint, from_ms) VALUES (?, ?, ?)", (device_id, checkpoint, now_ms)
    )
    db.execute(
        "INSERT INTO assignment_marks SELECT ?, generation, MAX(end_lsn) FROM spans WHERE device_id = ?"
        " GROUP BY generation",
        (made.lastrowid, device_id),
    )


@dataclass(frozen=True)
class Replacement:
    """A board that took another one's place: where, when the old one was last heard (UTC in ms, None: never), and how
    many sectors of its journal it last said to hold unreleased (None: it never said)."""

    checkpoint: str
    last_seen_ms: int | None
    unreleased_sectors: int | None


def replace(store: Store, old: bytes, new: bytes, now_ms: int) -> Replacement:
    """Put `new` where `old` is. The old board keeps its assignment, so what it recorded stays with the checkpoint, also
    what is rescued from it later. UserError for a board that is not known, or the same one twice."""
    for device_id in (old, new):
        if device_id not in store.devices():
            raise UserError(
                say(f"không có thiết bị {device_id.hex()}", f"no device {device_id.hex()}"),
                hint=say("ghi danh trước bằng 'chot enroll'", "'chot enroll' makes it known first"),
            )
    if old == new:
        raise UserError(
            say("hai bo mạch phải khác nhau", "the two boards must be different ones"),
            hint=say("bo cũ trước, bo mới sau", "the old board first, then the new one"),
            exit_code=EXIT_USAGE,
        )
    checkpoint = store.assignments(old)[-1].checkpoint
    if store.assignments(new)[-1].checkpoint != checkpoint:
        store.assign(new, checkpoint, now_ms)
    store.report(old, REPLACED, f"{new.hex()} {checkpoint}", now_ms)
    return Replacement(checkpoint, *_last_heard(store, old))


def _last_heard(store: Store, device_id: bytes) -> tuple[int | None, int | None]:
    seen = store.db.execute("SELECT last_seen_ms FROM devices WHERE device_id = ?", (device_id,)).fetchone()[0]
    row = store.db.execute(
        "SELECT plaintext FROM latest WHERE device_id = ? AND kind = ?", (device_id, records.HEALTH)
    ).fetchone()
    health = None if row is None else records.decode(row[0])
    return seen, None if health is None else dict(health["health"]).get(2)
