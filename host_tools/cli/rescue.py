"""`chot rescue`: what a dump of a board's flash holds, and into the database with what the collector does not have."""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from host_tools.build.identity import Identity, load_identity
from host_tools.collector import rescue, vault
from host_tools.collector.asking import passphrase
from host_tools.collector.dump import Dump, open_dump
from host_tools.collector.store import Store
from host_tools.collector.trouble import database_errors
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_OK, EXIT_USAGE, UserError
from host_tools.formats.keys import KeyRing, collector_public
from host_tools.private_files import write_private
from host_tools.text import say

SUMMARY = ("cứu dữ liệu từ bo mạch hay ảnh flash của nó", "rescue the data on a board, or in a dump of its flash")
EXAMPLE = "chot rescue flash.bin --db centre/collector.db"
MAX_DUMP_BYTES = 16 << 20  # the largest flash that a board has

_CAUSES = {
    0: ("không rõ", "unknown"),
    1: ("bật nguồn", "power on"),
    2: ("reset cứng", "hard reset"),
    3: ("watchdog", "watchdog"),
    4: ("ngủ sâu", "deep sleep"),
    5: ("reset mềm", "soft reset"),
    6: ("cập nhật", "update"),
    7: ("hỏng", "crash"),
    8: ("khoá mới", "new key"),
}
_SHORT_BYTES = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "image",
        metavar="IMAGE_OR_PORT",
        help=say(
            "ảnh cả flash, hoặc riêng phân vùng journal, hoặc cổng của bo mạch (chạy hay chết)",
            "a whole flash, its journal partition alone, or the port of a board, running or dead",
        ),
    )
    keys = say(
        "thư mục trung tâm, collector.key, hay bản khôi phục (không có: thư mục của --db)",
        "the collector's directory, its collector.key, or a recovery copy (default: the directory of --db)",
    )
    parser.add_argument("--keys", type=Path, metavar="DIR_OR_FILE", help=keys)
    text = say("tệp chứa cụm mật khẩu (không có thì hỏi)", "file with the passphrase (otherwise it is asked for)")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=text)
    identity = say("danh tính, nếu ảnh không có", "the board's identity, if the dump has none")
    parser.add_argument("--identity", type=Path, metavar="FILE", help=identity)
    database = say("nhập vào cơ sở dữ liệu này những gì chưa có", "import into this database what it does not have")
    parser.add_argument("--db", type=Path, metavar="PATH", help=database)
    report = say("ghi báo cáo vào tệp này, không có mã thẻ", "write the report to this file; no card id is in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help=report)


def run(args: argparse.Namespace) -> int:
    """Open the dump, say what it holds, import if there is a database."""
    if args.keys is None and args.db is None:
        raise UserError(
            say("cần --keys hoặc --db", "it takes --keys or --db"),
            hint=say("khoá riêng của trung tâm mở các bản ghi", "the collector's private key opens the records"),
            exit_code=EXIT_USAGE,
        )
    if args.db is not None and not args.db.is_file():
        raise UserError(
            say(f"không có tệp {args.db}", f"there is no file {args.db}"),
            hint=say("là collector.db trong thư mục trung tâm", "it is collector.db in the collector's directory"),
        )
    dump = open_dump(_off_board(args.image) if _is_port(args.image) else _read(Path(args.image)))
    notes = list(dump.notes)
    privates = _private_keys(args.keys if args.keys is not None else args.db.parent, args.passphrase_file)
    identity = load_identity(args.identity) if args.identity is not None else dump.identity
    now_ms = time.time_ns() // 1_000_000
    if args.db is None:
        if identity is None:
            raise _no_identity()
        device_id = identity.device_id
        found = rescue.read(dump.journal, device_id, KeyRing(identity.device_key, privates), now_ms=now_ms)
        imported = None
    else:
        with database_errors(args.db), Store(args.db, make=False) as store:
            device_id, device_key = _registered(store, dump, identity)
            if identity is not None and identity.device_key != device_key:
                notes.append(
                    say(
                        "khoá thiết bị trong ảnh không phải khoá đã đăng ký: bản ghi của nó là của lạ",
                        "the identity has another device key than the database: what it sealed is foreign",
                    )
                )
            known = store.recent_epochs(device_id)
            ring = KeyRing(device_key, privates)
            found = rescue.read(dump.journal, device_id, ring, now_ms=now_ms, known_epochs=known)
            try:
                imported = rescue.bring_in(store, device_id, found.opened, now_ms)
            except sqlite3.OperationalError as error:
                raise UserError(
                    say(f"không ghi được {args.db}: {error}", f"cannot write {args.db}: {error}"),
                    hint=say("chưa có gì được nhập; chạy lại", "nothing was imported; run it again"),
                    exit_code=EXIT_ENVIRONMENT,
                ) from error
    if identity is not None and identity.collector_public not in [collector_public(key) for key in privates]:
        notes.append(say("bo mạch này thuộc trung tâm khác", "this board was made for another collector"))
    _print(dump, device_id, found, notes, imported)
    if args.json is not None:
        write_private(args.json, json.dumps(_report(dump, device_id, found, notes, imported), indent=1) + "\n", "--json")
    return EXIT_OK


def _is_port(name: str) -> bool:
    return "://" in name or Path(name).is_char_device()


def _off_board(port: str) -> bytes:
    """A dump read off a board by its loader; the board keeps its journal and goes back to work."""
    from host_tools.device import dumping
    from host_tools.device.loader import in_loader

    with in_loader(port) as board:
        flashed = dumping.look(board)
        return dumping.dump(board, flashed, dumping.read_journal(board, flashed))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DUMP_BYTES + 1)
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại đường dẫn", "check the path"),
        ) from None
    if len(data) > MAX_DUMP_BYTES:
        raise UserError(
            say(f"{path} dài hơn mọi flash", f"{path} is longer than any flash"),
            hint=say("cần bản đọc flash, nhiều nhất 16 MiB", "it takes a dump of the flash, at most 16 MiB"),
        )
    return data


def _private_keys(path: Path, passphrase_file: Path | None) -> tuple[bytes, ...]:
    """The collector's private keys from its directory, its key file, or its recovery copy."""
    if path.is_dir():
        return vault.private_keys(path)
    if path.name == vault.PRIVATE_NAME:
        return vault.private_keys(path.parent)
    return vault.open_recovery(_read(path), passphrase(passphrase_file)).private_keys


def _no_identity() -> UserError:
    return UserError(
        say("ảnh không có danh tính của bo mạch", "the dump does not hold the board's identity"),
        hint=say("thêm --identity FILE, hoặc --db PATH nếu bo mạch đã đăng ký", "add --identity FILE, or --db PATH"),
    )


def _registered(store: Store, dump: Dump, identity: Identity | None) -> tuple[bytes, bytes]:
    """The board and the key that the database has for it: a key that only the dump vouches for proves nothing there."""
    candidates = [identity.device_id] if identity is not None else rescue.device_ids(dump.journal)
    for device_id in candidates:
        device_key = store.device_key(device_id)
        if device_key is not None:
            return device_id, device_key
    if not candidates:
        raise _no_identity()
    names = ", ".join(device_id.hex() for device_id in candidates[:3])
    raise UserError(
        say(f"cơ sở dữ liệu không có thiết bị {names}", f"the database has no device {names}"),
        hint=say("thêm bằng 'chot collector add-device'", "'chot collector add-device' adds it"),
    )


def _printable(text: str) -> str:
    """A version comes from a board: nothing in it may steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cause(cause: int | None) -> str:
    return "–" if cause is None else say(*_CAUSES[cause]) if cause in _CAUSES else str(cause)


def _row(epoch: rescue.EpochFound) -> list[str]:
    times = [epoch.earliest_ms, epoch.latest_ms]
    return [
        epoch.epoch_public[:_SHORT_BYTES].hex(),
        f"{epoch.generation:08x}",
        _cause(epoch.cause),
        _printable(epoch.version or "–"),
        f"{epoch.first_lsn}–{epoch.end_lsn}",
        ", ".join(f"{name} {count}" for name, count in sorted(epoch.kinds.items())),
        " – ".join(_moment(at) for at in times if at is not None) or "–",
        str(epoch.released_bytes),
        str(epoch.unreleased_bytes),
    ]


def _print(
    dump: Dump, device_id: bytes, found: rescue.Found, notes: list[str], imported: rescue.Imported | None
) -> None:
    states = {
        "released": say("đã nhả", "released"),
        "unreleased": say("chưa nhả", "unreleased"),
        "damaged": say("hỏng", "damaged"),
        "torn": say("đầu dở", "torn header"),
        "blank": say("trống", "blank"),
    }
    sectors = ", ".join(f"{found.sectors[name]} {word}" for name, word in states.items() if found.sectors[name])
    size = len(dump.journal) // 1024
    board, journal = say("bo mạch", "board"), say("nhật ký", "journal")
    print(f"{board} {device_id.hex()}  {journal} {dump.offset:#x} + {size} KiB  sector: {sectors}")
    for note in notes:
        print(f"! {note}")
    header = say(
        "kỷ|thế hệ|lý do|firmware|vị trí|bản ghi|thời gian|đã nhả (byte)|chưa nhả (byte)",
        "epoch|generation|boot cause|firmware|positions|records|time|released (bytes)|unreleased (bytes)",
    )
    if found.epochs:
        rows = [header.split("|"), *(_row(epoch) for epoch in found.epochs)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        print(say("không mở được bản ghi nào", "no record opens"))
    torn, damaged, foreign = (found.unread_bytes(what) for what in (rescue.TORN, rescue.DAMAGED, rescue.FOREIGN))
    print(
        say(
            f"dở dang {torn} byte, hỏng {damaged} byte, của lạ (không khoá nào mở được) {foreign} byte",
            f"torn {torn} bytes, damaged {damaged} bytes, foreign (no key opens it) {foreign} bytes",
        )
    )
    if imported is None:
        return
    if imported.nothing:
        print(say("đã có đủ: không nhập gì thêm", "all of it is there already: nothing was imported"))
    else:
        print(
            say(
                f"đã nhập {imported.records} bản ghi, cách ly {imported.quarantined},"
                f" trùng tên khác nội dung {imported.beside}",
                f"imported {imported.records} records, {imported.quarantined} quarantined, {imported.beside} kept beside",
            )
        )
    for kind, detail in imported.clones:
        print(f"! {kind}  {detail}")


def _report(
    dump: Dump, device_id: bytes, found: rescue.Found, notes: list[str], imported: rescue.Imported | None
) -> dict[str, Any]:
    """The report as JSON: numbers are bytes, positions (lsn) and UTC in ms."""
    return {
        "device": device_id.hex(),
        "journal": {"offset": dump.offset, "bytes": len(dump.journal)},
        "notes": notes,
        "sectors": dict(found.sectors),
        "epochs": [
            {
                "epoch_public": epoch.epoch_public.hex(),
                "generation": epoch.generation,
                "boot_cause": epoch.cause,
                "firmware": epoch.version,
                "first_lsn": epoch.first_lsn,
                "end_lsn": epoch.end_lsn,
                "records": dict(epoch.kinds),
                "earliest_ms": epoch.earliest_ms,
                "latest_ms": epoch.latest_ms,
                "released_bytes": epoch.released_bytes,
                "unreleased_bytes": epoch.unreleased_bytes,
            }
            for epoch in found.epochs
        ],
        "unread": [
            {"address": stretch.address, "bytes": stretch.length, "what": stretch.what} for stretch in found.stretches
        ],
        "imported": None
        if imported is None
        else {
            "records": imported.records,
            "beside": imported.beside,
            "quarantined": imported.quarantined,
            "clones": [list(clone) for clone in imported.clones],
        },
    }
