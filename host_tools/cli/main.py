"""`chot`: finds the command, runs it, and turns a UserError into one line, a hint and an exit code."""

from __future__ import annotations

import argparse
import importlib
import io
import sys

from host_tools import __version__
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from host_tools.text import say

COMMANDS = (
    "batch",
    "build",
    "cards",
    "collector",
    "config",
    "doctor",
    "enroll",
    "flash",
    "lists",
    "logs",
    "ports",
    "pull",
    "replace",
    "rescue",
    "shell",
    "sim",
    "trace",
    "wipe",
)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line and a hint, like every other user error."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(message, hint=say(f"xem '{self.prog} --help'", f"see '{self.prog} --help'"), exit_code=EXIT_USAGE)


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """The parser; only the wanted command's module is asked for its arguments, so one command never slows another."""
    parser = _Parser(prog="chot", description=say("Chốt: máy quét thẻ QR ở cửa", "Chốt: the QR checkpoint scanner"))
    parser.add_argument("--version", action="version", version=f"chot {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"host_tools.cli.{name}")
        vi, en = module.SUMMARY
        sub = subparsers.add_parser(
            name,
            help=say(vi, en),
            description=say(vi, en),
            epilog=say("Ví dụ: ", "Example: ") + module.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if wanted in (None, name):
            module.arguments(sub)
        sub.set_defaults(module=module)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run `chot` with `argv` (default: the process's own) and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # Vietnamese on a terminal that knows ASCII alone
    wanted = next((word for word in argv if not word.startswith("-")), None)
    try:
        args = _parser(wanted).parse_args(argv)
        return int(args.module.run(args))
    except UserError as error:
        print(f"chot: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"      {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        # What no command foresaw: a full disk behind standard output, a file taken away meanwhile.
        print(f"chot: {error}", file=sys.stderr)
        return EXIT_ENVIRONMENT


if __name__ == "__main__":
    sys.exit(main())
