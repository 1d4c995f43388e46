"""The outermost door: what fails inside a command leaves as a sentence and an exit code."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from recmem.cli.console import complain

REFUSED = 1
"""Exit code of refused data, and of what nobody foresaw; typer itself exits with 2 on wrong use."""
_FULL_DISK = ("No space left on device", "database or disk is full", "Disk quota exceeded")
"""What the system, and SQLite, say then; libraries wrap it into errors of many kinds."""
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
"""What the system, and SQLite, say where a drive has gone; of a database that is damaged or out of reach too."""
_RUST_PANIC = "PanicException"
"""What polars and deltalake raise when they give up; no `Exception`, so it is known by its name."""


class GuardedCommand(TyperCommand):
    """A command whose failures are told in words; `recmem --debug ...` lets the traceback through."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Refused data and anything unforeseen end with exit code 1."""
        if ctx.find_root().params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except (typer.BadParameter, typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            raise  # `recmem memory ... | head`: typer ends quietly
        except BaseException as error:  # the outermost door: whatever a library says of bad input is no traceback
            if not isinstance(error, Exception) and type(error).__name__ != _RUST_PANIC:
                raise
            complain(_in_words(error))
            raise typer.Exit(REFUSED) from error


def _in_words(error: BaseException) -> str:
    """The error as the user should read it; of our own refusals the text, of others also their kind."""
    from feature_store import DataError

    text = str(error).strip()
    if isinstance(error, DataError):
        return text
    if cause := _line_with(_FULL_DISK, text):
        return f"disk: expected room to write, got none ({cause}). Make room, and run the command again."
    if _is_in_our_form(text):
        return text
    if cause := _line_with(_LOST_DRIVE, text) or (text if type(error) is OSError and error.filename is None else ""):
        remedy = "Bring the drive back, and run the command again; what is damaged is to be restored from a copy."
        return f"disk: expected files that can be read and written, got an error ({cause}). {remedy}"
    if isinstance(error, MemoryError):
        return "memory: expected enough to go on, got none. Give the process more, or smaller tables."
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename}: expected a file that can be used, got: {error.strerror}. Check the path and its rights."
        )
    first = text.partition("\n")[0] or "no message"
    hint = "`recmem --debug ...` shows where."
    return f"Stopped by {type(error).__name__}: {first}\n{hint}"


def _line_with(signs: tuple[str, ...], text: str) -> str:
    """The first line that has one of the signs; empty where none has."""
    return next((line for line in text.splitlines() if any(sign in line for sign in signs)), "").rstrip(".")


def _is_in_our_form(text: str) -> bool:
    """Whether the text is one of our ValueErrors: `<argument>: expected <what>, got <value>. <what to do>`."""
    return ": expected " in text and ", got " in text
