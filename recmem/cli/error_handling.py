"""Error handling of the command line: every failure becomes a message on stderr and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperCommand

from recmem.cli.console import complain
from recmem.cli.printable import printable

REFUSED = 1
"""Exit code for refused data and for unexpected errors; typer itself exits with 2 on a usage error."""
_FULL_DISK = ("No space left on device", "database or disk is full", "Disk quota exceeded")
"""Messages of the operating system and SQLite for a full disk. Libraries wrap them in errors of many types."""
_LOST_DRIVE = (
    "Input/output error",
    "Stale file handle",
    "Transport endpoint is not connected",
    "Software caused connection abort",
    "Host is down",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "database disk image is malformed",
)
"""Messages of the operating system and SQLite for a drive that went away, or a database that cannot be reached."""
_RUST_PANIC = "PanicException"
"""Raised by polars and deltalake for a panic in Rust. It is not an `Exception`, so it is recognised by its name."""
_SECRET_VARIABLE = re.compile(r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY|ACCOUNT_KEY|API_KEY)(_ID)?$", re.IGNORECASE)
"""Names of environment variables whose values are not shown."""
_SHORTEST_SECRET = 6
"""A shorter value of such a variable may be an ordinary word of a message."""


class UsageError(typer.BadParameter):
    """A usage error whose text names the options itself. `typer.BadParameter` would print "Invalid value: " first."""

    def format_message(self) -> str:
        """The text as it is, but for control characters."""
        return printable(self.message)


class GuardedCommand(TyperCommand):
    """A command that reports failures in words; `recmem --debug ...` shows the traceback instead."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Refused data and unexpected errors end with exit code 1."""
        if ctx.find_root().params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except (typer.BadParameter, typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            raise  # `recmem memory ... | head`: typer ends quietly
        except BaseException as error:  # broad on purpose: bad input must not end in a library's traceback
            if not isinstance(error, Exception) and type(error).__name__ != _RUST_PANIC:
                raise
            complain(without_known_secrets(_in_words(error)))
            raise typer.Exit(REFUSED) from error


def show_traceback(error: BaseException) -> None:
    """Prints the traceback of an error to stderr, without secrets and control characters."""
    complain(without_known_secrets("".join(traceback.format_exception(error)).rstrip("\n")))


def without_known_secrets(text: str) -> str:
    """The text without the secrets of the command's addresses and of the environment.

    Libraries quote addresses in their errors, or the password alone.
    """
    from feature_store.addresses import redact

    arguments = [argument.partition("=")[2] if argument.startswith("-") else argument for argument in sys.argv[1:]]
    addresses = [value for value in (*arguments, *os.environ.values()) if "://" in value]
    secrets = [
        value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST_SECRET
    ]
    return redact(text, addresses=addresses, secrets=secrets)


def _in_words(error: BaseException) -> str:
    """The error as the user reads it: the text of recmem's own errors, type and text of others."""
    from feature_store import DataError

    text = str(error).strip()
    if isinstance(error, DataError):
        return text
    if cause := _line_with(_FULL_DISK, text):
        return f"disk: expected free space, got none ({cause}). Free some space and run the command again."
    if _is_in_our_form(text):
        return text
    if cause := _line_with(_LOST_DRIVE, text) or (text if type(error) is OSError and error.filename is None else ""):
        remedy = "Reconnect the drive and run the command again; restore damaged files from a backup."
        return f"disk: expected files that can be read and written, got an error ({cause}). {remedy}"
    if isinstance(error, MemoryError):
        return "memory: expected enough memory, got too little. Give the process more, or use smaller tables."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: expected a usable file, got: {error.strerror}. Check the path and its permissions."
    first = text.partition("\n")[0] or "no message"
    return f"Unexpected {type(error).__name__}: {first}\nRun `recmem --debug ...` for the traceback."


def _line_with(messages: tuple[str, ...], text: str) -> str:
    """The first line that contains one of the messages; empty if none does."""
    return next((line for line in text.splitlines() if any(message in line for message in messages)), "").rstrip(".")


def _is_in_our_form(text: str) -> bool:
    """Whether the text has the form of recmem's errors: `<argument>: expected <what>, got <value>. <what to do>`."""
    return ": expected " in text and ", got " in text
