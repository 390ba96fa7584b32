"""`chot sim`: runs a scenario on virtual boards and says whether every promise held."""

from __future__ import annotations

import argparse
import json
import signal
import time
from pathlib import Path

from host_tools.errors import EXIT_OK, EXIT_PROMISE_BROKEN, UserError
from host_tools.simulator import scenario as scenarios
from host_tools.simulator import soak
from host_tools.simulator.report import LiveTable, text
from host_tools.simulator.run import REPOSITORY_FIRMWARE, Outcome, Run
from host_tools.simulator.soak import SoakOutcome
from host_tools.text import say

SUMMARY = ("chạy một kịch bản trên bo ảo", "run a scenario on virtual boards")
EXAMPLE = "chot sim scenarios/demo.toml --json demo.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `chot sim`."""
    parser.add_argument("scenario", type=Path, help=say("tệp kịch bản (TOML)", "scenario file (TOML)"))
    parser.add_argument("--json", type=Path, help=say("ghi báo cáo vào tệp này", "write the report to this file"))
    parser.add_argument(
        "--keep",
        type=Path,
        help=say("giữ flash, khoá, nhật ký và cơ sở dữ liệu ở đây", "leave flash, keys, logs and database here"),
    )
    parser.add_argument(
        "--firmware", type=Path, default=REPOSITORY_FIRMWARE, help=say("thư mục firmware", "firmware directory")
    )
    parser.add_argument("--seed", type=int, help=say("seed thay cho của kịch bản", "seed instead of the scenario's"))
    parser.add_argument(
        "--days",
        type=int,
        help=say("chỉ chừng ấy ngày đầu của một kịch bản dài", "only so many first days of a long scenario"),
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help=say("chạy xong vẫn mở trang cho tới Ctrl-C", "keep the page up after the run, until Ctrl-C"),
    )


def run(args: argparse.Namespace) -> int:
    """Run the scenario, print the table; 0 when every promise held, else 1."""
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, _interrupted)  # ends like Ctrl-C: boards stopped, keys and flash images removed
    scenario = scenarios.load(args.scenario)
    if args.seed is not None:
        scenario.seed = args.seed
    if args.days is not None:
        scenario.shorten(max(1, args.days))
    print(f"{scenario.name} (seed {scenario.seed})")
    with Run(scenario, firmware=args.firmware, keep=args.keep) as running:
        print(say(f"Trang của trung tâm: {running.page_url}", f"The centre's page: {running.page_url}"), flush=True)
        outcome: Outcome | SoakOutcome
        if scenario.soak is None:
            outcome = running.play(LiveTable(running))
            print("\n" + text(outcome), flush=True)
        else:
            outcome = soak.play(running, day_lines=True)
            print("\n" + outcome.text(), flush=True)
        if args.json is not None:
            _write_report(args.json, outcome)
        if args.serve:
            url = running.page_url
            print(
                say(f"Trang còn mở: {url} (Ctrl-C để dừng)", f"The page stays up: {url} (Ctrl-C ends it)"), flush=True
            )
            _until_interrupted()
    return EXIT_OK if outcome.passed else EXIT_PROMISE_BROKEN


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _write_report(path: Path, outcome: Outcome | SoakOutcome) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(outcome.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            say(f"không ghi được {path}: {error.strerror}", f"cannot write {path}: {error.strerror}"),
            hint=say("chọn chỗ khác cho --json", "choose another place for --json"),
        ) from None


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()
