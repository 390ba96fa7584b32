"""The one exception that means "the user can mend this": a line that says what is wrong and a hint that says what to do."""

from __future__ import annotations

# Exit codes of `chot`, the same for every command.
EXIT_OK = 0
EXIT_PROMISE_BROKEN = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_ENVIRONMENT = 4
EXIT_DEVICE = 5  # the board, its port or its cable
EXIT_INTERRUPTED = 130  # Ctrl-C


class UserError(Exception):
    """An error for a person: `message` in one line, `hint` says what to do, `exit_code` is what the command returns."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = EXIT_INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
