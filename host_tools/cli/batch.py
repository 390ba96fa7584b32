"""`chot batch`: a box of boards for a table of checkpoints: each that is plugged in is flashed, enrolled and examined."""

from __future__ import annotations

import argparse
from pathlib import Path

from host_tools.cli.board_options import centre_options, json_option, lists_option, read_bytes, write_json
from host_tools.cli.flash import flashing_options
from host_tools.errors import EXIT_DEVICE, EXIT_OK
from host_tools.text import say

SUMMARY = ("nạp và ghi danh cả hộp bo mạch", "flash and enrol a box of boards")
EXAMPLE = "chot batch doors.csv --board esp32-devkitc --micropython ESP32_GENERIC.bin --collector http://10.0.0.5:8080"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nCột của bảng: checkpoint, ssid, password, config, mac, token. Cắm từng bo một, hay nhiều bo một lúc; bo nào\n"
        "hỏng thì bo kế nhận chốt của nó.",
        ".\nColumns of the table: checkpoint, ssid, password, config, mac, token. Plug boards in one by one, or several at\n"
        "once; where one fails, the next gets its checkpoint.",
    )
    parser.add_argument("table", type=Path, metavar="CSV", help=say("bảng các chốt", "the table of checkpoints"))
    flashing_options(parser)
    centre_options(parser)
    pattern = say("các cổng, như '/dev/ttyUSB*' (mặc định: mọi cổng USB)", "ports, as '/dev/ttyUSB*' (default: all on USB)")
    parser.add_argument("--ports", metavar="PATTERN", help=pattern)
    parser.add_argument("--jobs", type=int, default=1, help=say("mấy bo một lúc (1)", "so many boards at once (1)"))
    idle = say("dừng khi không có bo mới trong ngần ấy giây", "end when no new board has come for so many seconds")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help=idle)
    parser.add_argument("--no-test", action="store_true", help=say("không khám", "do not examine them"))
    lists_option(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Work until every checkpoint has its board; Ctrl-C ends it and says what is done."""
    from host_tools.device.batch import Batch, rows
    from host_tools.device.enrolling import centre
    from host_tools.device.flashing import Maker
    from host_tools.device.micropython import load
    from host_tools.tables import read_table

    batch = Batch(
        rows(read_table(args.table), args.table.parent),
        Maker(load(args.micropython), args.board),
        centre(args.collector, args.board_url, args.ca),
        pattern=args.ports,
        jobs=max(1, args.jobs),
        examines=not args.no_test,
        lists=read_bytes(args.lists, "--lists"),
        tell=lambda line: print(line, flush=True),
    )
    print(say("cắm bo mạch; Ctrl-C để dừng", "plug boards in; Ctrl-C ends it"), flush=True)
    try:
        batch.run(args.idle)
    except KeyboardInterrupt:
        print()
    done = sum(row.done for row in batch.rows)
    for row in batch.rows:
        what = row.device if row.done else (row.problem or say("chưa có bo mạch", "no board yet"))
        print(f"{say('xong', 'done') if row.done else say('CÒN', 'OPEN'):<5} {row.checkpoint}  {what}")
    print(say(f"{done}/{len(batch.rows)} chốt có bo mạch", f"{done} of {len(batch.rows)} checkpoints have their board"))
    write_json(args.json, {"rows": [row.as_json() for row in batch.rows], "failures": batch.failures})
    return EXIT_OK if done == len(batch.rows) else EXIT_DEVICE
