"""`chot doctor`: a board's parts one by one, over USB or as the collector knows them: how each is, and what to do."""

from __future__ import annotations

import argparse
import json
import urllib.request
from http.client import HTTPException
from typing import Any

from host_tools.cli.board_options import json_option, write_json
from host_tools.errors import EXIT_DEVICE, EXIT_ENVIRONMENT, EXIT_OK, UserError
from host_tools.text import say

SUMMARY = ("khám bo mạch", "examine a board")
EXAMPLE = "chot doctor /dev/ttyUSB0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    where = say(
        "cổng USB; với --collector: mã thiết bị hay tên chốt", "the USB port; with --collector: a device id or checkpoint"
    )
    parser.add_argument("board", metavar="BOARD", help=where)
    parser.add_argument("--collector", metavar="URL", help=say("hỏi trung tâm thay vì qua USB", "ask the collector instead"))
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Examine, print the table; exit status 5 if something is broken."""
    from host_tools.device.examining import examine, healthy
    from host_tools.device.heard import from_collector

    if args.collector is None:
        findings = examine(args.board, lambda finding: print(line(finding), flush=True))
    else:
        findings = from_collector(_state(args.collector), args.board)
        for finding in findings:
            print(line(finding))
    write_json(args.json, [finding.as_json() for finding in findings])
    return EXIT_OK if healthy(findings) else EXIT_DEVICE


def line(finding: Any) -> str:
    """A finding as a row of the table."""
    marks = {"good": say("tốt", "good"), "look": say("xem", "look"), "bad": say("HỎNG", "BAD"), "absent": "–"}
    advice = f"  → {finding.advice}" if finding.advice else ""
    return f"{finding.part:<12} {marks[finding.state]:<5} {finding.found}{advice}"


def _state(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/v1/state", timeout=20) as answer:
            state = json.load(answer)
            if not isinstance(state, dict) or not isinstance(state.get("boards"), list):
                raise ValueError(say("đó không phải trung tâm", "that is no collector"))
            return state
    except (OSError, ValueError, HTTPException) as error:
        raise UserError(
            say(f"không hỏi được trung tâm {url}: {error}", f"cannot ask the collector at {url}: {error}"),
            hint=say("xem lại --collector", "check --collector"),
            exit_code=EXIT_ENVIRONMENT,
        ) from None
