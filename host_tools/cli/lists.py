"""`chot lists`: one list file for boards that share a list key, from text files of cards that are denied or allowed."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from host_tools.errors import EXIT_OK, EXIT_USAGE, UserError
from host_tools.private_files import replace_private, write_private
from host_tools.text import say

SUMMARY = ("tạo tệp danh sách thẻ bị cấm, được phép", "make the file of denied and allowed cards")
EXAMPLE = "chot lists --identity identity.json --version 7 --deny stolen.csv --output lists.bin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nMột thẻ một dòng, 'loại,mã', ví dụ 'cccd,046099012345'. Loại: text, qrqg, cccd, bhyt, dcc, smart, nz, vds-nc,\n"
        "divoc. Tệp chỉ dùng được trên bo mạch có cùng khoá danh sách (list_key), và chỉ chủ tệp đọc được.",
        ".\nOne card a line, 'scheme,id', for example 'cccd,046099012345'. Schemes: text, qrqg, cccd, bhyt, dcc, smart,\n"
        "nz, vds-nc, divoc. The file is of use only on boards with the same list_key, and only its owner may read it.",
    )
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument(
        "--identity",
        type=Path,
        help=say("danh tính có list_key, JSON, quyền 0600", "identity with the list_key, JSON, mode 0600"),
    )
    key.add_argument(
        "--centre",
        type=Path,
        metavar="DIR",
        help=say("thư mục trung tâm đã ghi danh các bo mạch", "the directory of the collector that enrolled the boards"),
    )
    parser.add_argument(
        "--version",
        type=int,
        required=True,
        metavar="N",
        help=say("lớn hơn của danh sách trên bo mạch", "above that of the list on the board"),
    )
    parser.add_argument("--deny", type=Path, metavar="FILE", help=say("thẻ bị cấm", "cards that are denied"))
    parser.add_argument("--allow", type=Path, metavar="FILE", help=say("thẻ được phép", "cards that are allowed"))
    parser.add_argument("--date", metavar="YYYY-MM-DD", help=say("ngày lập (hôm nay)", "when it was made (today)"))
    parser.add_argument("--output", type=Path, required=True, help=say("tệp sẽ ghi", "the file to write"))
    parser.add_argument("--json", type=Path, metavar="FILE", help=say("ghi thêm ra tệp JSON", "also write a JSON file"))


def run(args: argparse.Namespace) -> int:
    """Read, build, write, and say how many cards there are and on which flash they fit."""
    from host_tools.build.cardlist import CardList, read_cards
    from host_tools.build.identity import load_identity
    from host_tools.build.partitions import MIB, PARTITION_MAPS, find
    from host_tools.collector import vault
    from host_tools.formats import lists

    if args.deny is None and args.allow is None:
        raise UserError(
            say("không có danh sách nào", "no list is given"),
            hint=say("thêm --deny FILE hoặc --allow FILE", "add --deny FILE or --allow FILE"),
            exit_code=EXIT_USAGE,
        )
    if not 1 <= args.version <= lists.MAX_VERSION:
        raise UserError(
            say(f"--version {args.version} ngoài khoảng", f"--version {args.version} is out of range"),
            hint=say(f"từ 1 đến {lists.MAX_VERSION}", f"1 to {lists.MAX_VERSION}"),
            exit_code=EXIT_USAGE,
        )
    date = _date(args.date)
    if args.centre is None:
        list_key = load_identity(args.identity).list_key
    else:
        list_key = vault.list_key(args.centre / vault.DATABASE_NAME)
    given: dict[str, CardList] = {
        name: read_cards(path) for name, path in (("deny", args.deny), ("allow", args.allow)) if path is not None
    }
    if "allow" in given and not given["allow"].cards:
        raise UserError(
            say(f"{args.allow} trống: mọi người sẽ bị từ chối", f"{args.allow} holds no card: everybody would be refused"),
            hint=say("kiểm tra tệp, hoặc bỏ --allow", "check the file, or leave --allow out"),
        )
    fingerprints = {
        name: [lists.fingerprint(list_key, *card) for card in found.cards] for name, found in given.items()
    }
    try:
        file = lists.encode(list_key, args.version, date, **fingerprints)
    except lists.ListFormatError as error:
        raise UserError(str(error), hint=say("chia danh sách ra", "divide the list")) from None
    rooms = {size: lists.room_bytes(find(PARTITION_MAPS[size], "lists").size) for size in sorted(PARTITION_MAPS)}
    largest = max(rooms.values())
    if len(file) > largest:
        raise UserError(
            say(f"danh sách dài {len(file)} byte", f"the list takes {len(file)} bytes"),
            hint=say(f"flash 16 MiB chứa được {largest}", f"a 16 MiB flash has room for {largest}"),
        )
    replace_private(args.output, file)
    for name, found in given.items():
        count, again = len(found.cards), found.duplicates
        word = say("cấm", "denied") if name == "deny" else say("cho phép", "allowed")
        print(say(f"{word}: {count} thẻ; {again} dòng trùng", f"{word}: {count} cards; {again} repeated lines"))
    fits = [size // MIB for size, room in rooms.items() if len(file) <= room]
    flash = ", ".join(f"{size} MiB" for size in fits)
    print(say(f"{len(file)} byte, vừa flash {flash}", f"{len(file)} bytes, fits a flash of {flash}"))
    print(say(f"phiên bản {args.version}, {date}: {args.output}", f"version {args.version}, {date}: {args.output}"))
    if args.json is not None:
        result: dict[str, Any] = {
            "version": args.version,
            "date": date.isoformat(),
            "bytes": len(file),
            "lists": {
                name: {"cards": len(found.cards), "duplicates": found.duplicates} for name, found in given.items()
            },
            "fits_mib": fits,
        }
        write_private(args.json, json.dumps(result, ensure_ascii=False, indent=1) + "\n", "--json")
    return EXIT_OK


def _date(text: str | None) -> datetime.date:
    if text is None:
        return datetime.date.today()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(
            say(f"không hiểu ngày {text!r}", f"cannot read the date {text!r}"),
            hint=say("ví dụ 2026-11-26", "for example 2026-11-26"),
            exit_code=EXIT_USAGE,
        ) from None
