"""`chot trace CARD`: who shared a place and time with this card. Each question is noted in the database first."""

from __future__ import annotations

import argparse
import datetime
import getpass
import json
import os
import time
from pathlib import Path
from typing import Any

from host_tools.collector.state import gap_json
from host_tools.collector.store import Store
from host_tools.collector.trace import Contact, Tracer, Visit
from host_tools.collector.trouble import database_errors
from host_tools.collector.wording import counted, gap_line, moment
from host_tools.errors import EXIT_OK, EXIT_USAGE, UserError
from host_tools.private_files import write_private
from host_tools.text import say

SUMMARY = (
    "ai đã ở cùng nơi, cùng lúc với thẻ này",
    "who shared a place and time with this card",
)
EXAMPLE = "chot trace 046099012345 --db collector/collector.db --stay 60"
MS_PER_MINUTE = 60_000
MAX_STAY_MINUTES = 7 * 24 * 60


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("card", metavar="CARD", help=say("mã trên thẻ, dạng chữ", "the card's id as text"))
    database = say("cơ sở dữ liệu trung tâm", "the collector's database")
    parser.add_argument("--db", type=Path, required=True, metavar="PATH", help=database)
    parser.add_argument(
        "--stay",
        type=int,
        default=60,
        metavar="MINUTES",
        help=say("ở lại bao lâu sau khi quét (mặc định 60)", "how long a person stays after a scan (default 60)"),
    )
    parser.add_argument("--scheme", type=int, help=say("chỉ loại thẻ này (1, 2, 3 …)", "cards of this scheme alone"))
    parser.add_argument("--from", dest="begin", metavar="TIME", help=say("từ lúc (ISO 8601)", "from (ISO 8601)"))
    parser.add_argument("--to", dest="end", metavar="TIME", help=say("đến lúc (ISO 8601)", "to (ISO 8601)"))
    parser.add_argument("--json", type=Path, metavar="FILE", help=say("ghi thêm ra tệp JSON", "also write a JSON file"))


def _moment(text: str | None) -> int | None:
    """UTC in ms of an ISO 8601 time; one without an offset is local time."""
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UserError(
            say(f"không hiểu thời gian {text!r}", f"cannot read the time {text!r}"),
            hint=say("ví dụ 2021-11-18T15:00+07:00", "for example 2021-11-18T15:00+07:00"),
            exit_code=EXIT_USAGE,
        ) from error


def _start(visit: Visit) -> str:
    """When a visit began: a time, or two where the bounds are more than a second apart."""
    scan = visit.scan
    if scan.latest_ms - scan.earliest_ms <= 2000:
        return moment((scan.earliest_ms + scan.latest_ms) // 2)
    return f"{moment(scan.earliest_ms)} … {moment(scan.latest_ms)}"


def _visit_json(visit: Visit) -> dict[str, Any]:
    return {
        "checkpoint": visit.checkpoint,
        "device": visit.device_id.hex(),
        "scheme": visit.scheme,
        "id": visit.card_id,
        "earliest_ms": visit.scan.earliest_ms,
        "latest_ms": visit.scan.latest_ms,
        "timed": visit.scan.timed,
        "lsn": visit.scan.lsn,
        "way_out": visit.out,
        "from_ms": visit.from_ms,
        "until_ms": visit.until_ms,
    }


def _contact_json(found: Contact) -> dict[str, Any]:
    return {
        "visit": _visit_json(found.visit),
        "other": _visit_json(found.other),
        "from_ms": found.from_ms,
        "to_ms": found.to_ms,
        "longest_overlap_ms": found.longest_ms,
        "certain": found.certain,
    }


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _printable(text: str) -> str:
    """A card id comes from outside: nothing in it may steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _who() -> str:
    """Who asks, for the log: the name of the account, its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def run(args: argparse.Namespace) -> int:
    """Note the question, then print visits and contacts. A card never seen is said so, and is no failure."""
    if not 1 <= args.stay <= MAX_STAY_MINUTES:
        raise UserError(
            say(f"--stay từ 1 đến {MAX_STAY_MINUTES} phút", f"--stay is 1 to {MAX_STAY_MINUTES} minutes"),
            hint=say("mặc định 60", "the default is 60"),
            exit_code=EXIT_USAGE,
        )
    if args.scheme is not None and not 0 <= args.scheme <= 255:
        raise UserError(
            say("--scheme từ 0 đến 255", "--scheme is 0 to 255"),
            hint=say("bỏ --scheme để tìm mọi loại thẻ", "without --scheme cards of all schemes are found"),
            exit_code=EXIT_USAGE,
        )
    if not args.db.is_file():
        raise UserError(
            say(f"không có tệp {args.db}", f"there is no file {args.db}"),
            hint=say("là collector.db trong thư mục trung tâm", "it is collector.db in the collector's directory"),
        )
    begin, end, stay_ms = _moment(args.begin), _moment(args.end), args.stay * MS_PER_MINUTE
    try:
        args.card.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            say("mã thẻ không phải UTF-8", "the card's id is not UTF-8"),
            hint=say("gõ mã như in trên thẻ", "type the id as it is printed on the card"),
            exit_code=EXIT_USAGE,
        ) from error
    with database_errors(args.db), Store(args.db, make=False) as store:
        # Noted before anything is told: nobody learns where somebody was without leaving a trace of their own.
        store.log_trace(int(time.time() * 1000), _who(), args.card, args.scheme, stay_ms, begin, end)
        tracer = Tracer(store, stay_ms)
        visits = tracer.visits_of(args.card, args.scheme, begin, end)
        contacts = tracer.contacts(visits)
        missing = tracer.missing(visits, begin, end)
    if args.json is not None:
        result = {
            "card": args.card,
            "stay_ms": stay_ms,
            "visits": [_visit_json(visit) for visit in visits],
            "contacts": [_contact_json(found) for found in contacts],
            "missing": [gap_json(device_id, gap) for device_id, gap in missing],
        }
        write_private(args.json, json.dumps(result, ensure_ascii=False, indent=1) + "\n", "--json")
    card = _printable(args.card)
    if not visits:
        print(say(f"thẻ {card}: không có lượt quét nào", f"card {card}: no scan of it is known"))
    else:
        print(say(f"thẻ {card}, số lượt: {len(visits)}", f"card {card}, visits: {len(visits)}"))
        for visit in visits:
            way = say("  (lối ra)", "  (way out)") if visit.out else ""
            print(f"  {_printable(visit.checkpoint)}  {_start(visit)}{way}")
        if contacts:
            print(_contact_table(contacts))
        else:
            print(say("không ai khác ở cùng nơi, cùng lúc", "nobody else was at the same place and time"))
    if missing:
        count = sum(gap.sectors for _, gap in missing)
        sectors = counted(count, "sector", "sector is", "sectors are")
        print(
            say(
                f"câu trả lời chưa đủ: trong khoảng ấy trung tâm thiếu {sectors}",
                f"this is not the whole answer: {sectors} missing of that time and place",
            )
        )
        for device_id, gap in missing:
            print(f"! {device_id.hex()}  {_printable(gap_line(gap))}")
    return EXIT_OK


def _contact_table(contacts: list[Contact]) -> str:
    header = say("nơi|từ|đến|loại|thẻ|chung|", "place|from|to|scheme|card|overlap|")
    rows = [header.split("|")]
    for found in contacts:
        sure = say("chắc chắn", "certain") if found.certain else say("có thể", "possible")
        minutes = f"{max(1, round(found.longest_ms / MS_PER_MINUTE))} min"
        place = _printable(found.visit.checkpoint)
        other = found.other
        span = [moment(found.from_ms), moment(found.to_ms)]
        rows.append([place, *span, str(other.scheme), _printable(other.card_id), minutes, sure])
    return _table(rows)
