"""Tells two boards of one identity from one board that restarted: two of its boots that were alive at the same time.

A boot of one board has ended before the next begins. Of each epoch the collector knows two moments for sure, counted in
requests taken in, so no clock is needed:

* it had begun when the first request that names it came in;
* it still lived after a reply was sent to it, if a later request of it begins where that reply said all is stored:
  nothing but that reply makes a board begin there, and no other epoch can prove it.

Two epochs whose spans between these moments overlap belong to two boards. A request that comes late, twice or out of
order proves nothing new: it begins where an older reply let it begin."""

from __future__ import annotations

import sqlite3

from host_tools.collector.opening import Heard

# Epochs of a board that are remembered: a copy that never speaks between so many boots of the other is not found.
REMEMBERED_EPOCHS = 64


def note(db: sqlite3.Connection, device_id: bytes, heard: Heard) -> list[bytes]:
    """Note a request, inside a transaction; returns the other epochs that were alive at the same time as its own."""
    generation, end_lsn = heard.end
    number = db.execute(
        "SELECT COALESCE(MAX(MAX(begun, end_at)), 0) + 1 FROM heard WHERE device_id = ?", (device_id,)
    ).fetchone()[0]
    name = (device_id, heard.epoch_public, generation)
    known = db.execute(
        "SELECT begun, alive, end_lsn, end_at FROM heard WHERE device_id = ? AND epoch_public = ? AND generation = ?", name
    ).fetchone()
    if known is None:
        db.execute("INSERT INTO heard VALUES (?, ?, ?, ?, 0, ?, ?)", (*name, number, end_lsn, number))
        db.execute(
            "DELETE FROM heard WHERE device_id = ?1 AND begun <= (SELECT begun FROM heard WHERE device_id = ?1"
            " ORDER BY begun DESC LIMIT 1 OFFSET ?2)",
            (device_id, REMEMBERED_EPOCHS),
        )
        return []
    begun, alive, known_end_lsn, end_at = known
    if heard.begin == (generation, known_end_lsn):
        alive = max(alive, end_at)
    # Only what was never stored before is answered for the first time, so an older request changes nothing.
    if end_lsn > known_end_lsn:
        known_end_lsn, end_at = end_lsn, number
    db.execute(
        "UPDATE heard SET alive = ?, end_lsn = ?, end_at = ? WHERE device_id = ? AND epoch_public = ? AND generation = ?",
        (alive, known_end_lsn, end_at, *name),
    )
    others = db.execute(
        "SELECT DISTINCT epoch_public FROM heard"
        " WHERE device_id = ? AND epoch_public != ? AND begun <= ? AND alive >= ?",
        (device_id, heard.epoch_public, alive, begun),
    )
    return [row[0] for row in others.fetchall()]
