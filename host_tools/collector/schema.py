"""The collector's database: its tables, and how a connection is opened so that what is committed is on the disk."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from host_tools.collector.trouble import reason, refused_database
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_INPUT, UserError
from host_tools.text import say

VERSION = 3
BUSY_TIMEOUT_S = 10
MAGIC = b"SQLite format 3\0"

# Times are UTC in ms since 1970; ids and keys are raw bytes; a position (lsn) is sector sequence * 4096 + offset.
TABLES = """
CREATE TABLE devices (
    device_id BLOB PRIMARY KEY,
    wrapped_key BLOB NOT NULL,           -- AES-256-GCM under the key in the file beside the database
    registered_ms INTEGER NOT NULL,
    last_seen_ms INTEGER                 -- last authentic request
) WITHOUT ROWID;

CREATE TABLE assignments (               -- which checkpoint a board serves, in the order it was told
    id INTEGER PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices,
    checkpoint TEXT NOT NULL,
    from_ms INTEGER NOT NULL
);
CREATE INDEX assignments_of_device ON assignments (device_id, id);

CREATE TABLE assignment_marks (          -- how far each generation had been received when the board was moved
    assignment INTEGER NOT NULL REFERENCES assignments,
    generation INTEGER NOT NULL,
    end_lsn INTEGER NOT NULL,            -- records before it belong to the place before
    PRIMARY KEY (assignment, generation)
) WITHOUT ROWID;

CREATE TABLE epochs (
    id INTEGER PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices,
    epoch_public BLOB NOT NULL,
    generation INTEGER NOT NULL,
    first_lsn INTEGER NOT NULL,
    end_lsn INTEGER NOT NULL,
    records INTEGER NOT NULL DEFAULT 0,
    scans INTEGER NOT NULL DEFAULT 0,
    not_cards INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device_id, epoch_public)
);
CREATE INDEX epochs_by_place ON epochs (device_id, generation, first_lsn);

CREATE TABLE records (                   -- named by device and epoch public key (through epoch) and lsn
    epoch INTEGER NOT NULL REFERENCES epochs,
    lsn INTEGER NOT NULL,
    kind INTEGER,                        -- NULL: does not parse, kept raw
    card BLOB,                           -- of a SCAN: the packed id
    plaintext BLOB NOT NULL,
    received_ms INTEGER NOT NULL,        -- first receipt
    PRIMARY KEY (epoch, lsn)
) WITHOUT ROWID;
CREATE INDEX records_by_card ON records (card) WHERE card IS NOT NULL;
CREATE INDEX records_of_time ON records (epoch, lsn) WHERE kind IN (1, 2);

CREATE TABLE latest (                    -- the newest record of a kind, for the page
    device_id BLOB NOT NULL REFERENCES devices,
    kind INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    lsn INTEGER NOT NULL,
    epoch INTEGER NOT NULL REFERENCES epochs,
    plaintext BLOB NOT NULL,
    PRIMARY KEY (device_id, kind)
) WITHOUT ROWID;

CREATE TABLE conflicts (                 -- same name, other bytes: kept beside
    device_id BLOB NOT NULL REFERENCES devices,
    epoch_public BLOB NOT NULL,
    generation INTEGER NOT NULL,
    lsn INTEGER NOT NULL,
    plaintext BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, epoch_public, generation, lsn, plaintext)
) WITHOUT ROWID;

CREATE TABLE quarantine (                -- what did not open, as it came
    id INTEGER PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices,
    digest BLOB NOT NULL,                -- of place and bytes: the same bytes sent again are the same entry
    generation INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    epoch_public BLOB NOT NULL,
    data BLOB NOT NULL,
    reason TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    UNIQUE (device_id, digest)
);

CREATE TABLE spans (                     -- positions received, opened or not; what lies between them is missing
    device_id BLOB NOT NULL REFERENCES devices,
    generation INTEGER NOT NULL,
    first_lsn INTEGER NOT NULL,
    end_lsn INTEGER NOT NULL,
    PRIMARY KEY (device_id, generation, first_lsn)
) WITHOUT ROWID;

CREATE TABLE reports (                   -- what somebody must look at, each matter once
    id INTEGER PRIMARY KEY,
    device_id BLOB NOT NULL REFERENCES devices,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    UNIQUE (device_id, kind, detail)
);

CREATE TABLE trace_log (                 -- who asked where a card had been: nobody learns that unseen
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    card TEXT NOT NULL,
    scheme INTEGER,
    stay_ms INTEGER NOT NULL,
    from_ms INTEGER,
    to_ms INTEGER
);
"""
HEARD = """
CREATE TABLE heard (                     -- which boots of a board were alive when (alive.py), counted in its requests
    device_id BLOB NOT NULL REFERENCES devices,
    epoch_public BLOB NOT NULL,          -- as requests name it
    generation INTEGER NOT NULL,
    begun INTEGER NOT NULL,              -- the first request of it
    alive INTEGER NOT NULL,              -- it lived on after the answer to this one; 0: not shown
    end_lsn INTEGER NOT NULL,            -- the end of what it has sent
    end_at INTEGER NOT NULL,             -- the first request that reached this end
    PRIMARY KEY (device_id, epoch_public, generation)
) WITHOUT ROWID;
"""
# Indexes, and which records each knows. The last byte of a DOOR or an INCIDENT says what it was: a passage without a scan;
# somebody whom a guard let in without a card.
UNSCANNED = ("records_unscanned", "kind = 4 AND substr(plaintext, -1) = x'06'")
WAVED_IN = ("records_waved_in", "kind = 5 AND substr(plaintext, -1) = x'03'")
DOOR = "".join(f"CREATE INDEX {name} ON records (epoch) WHERE {condition};\n" for name, condition in (UNSCANNED, WAVED_IN))
# What a database of a version lacks to be of the next one.
_UPGRADES = {1: HEARD, 2: DOOR}


def _sync_directory(path: Path) -> None:
    """A file just made is only there after a power cut if its directory was synced too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_ours(path: Path) -> UserError:
    return UserError(
        say(
            f"{path}: không phải cơ sở dữ liệu của trung tâm, hoặc đã hỏng ở đầu",
            f"{path}: not a collector's database, or damaged at its start",
        ),
        hint=say(
            "là collector.db trong thư mục trung tâm ('chot collector init' tạo ra)",
            "it is collector.db in the collector's directory ('chot collector init' makes it)",
        ),
        exit_code=EXIT_INPUT,
    )


def _look_at(path: Path, *, make: bool) -> None:
    """Refuse what is no database before SQLite touches it; a new file is made if `make` says so. An empty file is what
    a power cut leaves of one that was about to be made."""
    if make and not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC and not (make and not head):
        raise _not_ours(path)


def _is_new(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def connect(path: Path, *, make: bool = True) -> sqlite3.Connection:
    """A connection in autocommit mode: WAL, synchronous=FULL, readable to its owner alone; if `make`, the file and its
    tables are made where there are none. Raises UserError, and leaves the file as it is, if it is of another version,
    not a collector's database, or not to be opened."""
    db: sqlite3.Connection | None = None
    try:
        _look_at(path, make=make)
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        _open(db, path, make=make)
    except OSError as error:
        raise UserError(
            say(f"không mở được cơ sở dữ liệu {path}: {reason(error)}", f"cannot open the database {path}: {reason(error)}"),
            hint=say("kiểm tra đường dẫn và quyền ghi", "check the path and that it may be written"),
            exit_code=EXIT_ENVIRONMENT,
        ) from error
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise refused_database(path, error) from error
    except UserError:
        if db is not None:
            db.close()
        raise
    return db


def _statements(script: str) -> list[str]:
    return script.split(";\n")


def _open(db: sqlite3.Connection, path: Path, *, make: bool) -> None:
    ours = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'trace_log'").fetchone() is not None
    # Asked after: whoever is making the tables right now sets it with them.
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if not ours and not (make and _is_new(db)):
        raise _not_ours(path)
    while ours and version in _UPGRADES:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] == version:  # somebody else may have done it in between
            for statement in _statements(_UPGRADES[version]):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={version + 1}")
        db.execute("COMMIT")
        version = db.execute("PRAGMA user_version").fetchone()[0]
    if ours and version != VERSION:
        raise UserError(
            say(f"{path}: cơ sở dữ liệu phiên bản {version}", f"{path}: a database of version {version}"),
            hint=say(f"bản chot này dùng phiên bản {VERSION}", f"this chot uses version {VERSION}"),
            exit_code=EXIT_ENVIRONMENT,
        )
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone leaves the data in the drive's cache
    db.execute("PRAGMA foreign_keys=ON")
    if not ours:
        db.execute("BEGIN IMMEDIATE")
        if _is_new(db):  # somebody else may have made them in between
            for statement in _statements(TABLES + HEARD + DOOR):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
        _sync_directory(path.absolute().parent)
