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
    if any(sign in text for sign in _FULL_DISK):
        cause = next(line for line in text.splitlines() if any(sign in line for sign in _FULL_DISK)).rstrip(".")
        return f"disk: expected room to write, got none ({cause}). Make room, and run the command again."
    if isinstance(error, MemoryError):
        return "memory: expected enough to go on, got none. Give the process more, or smaller tables."
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename}: expected a file that can be used, got: {error.strerror}. Check the path and its rights."
        )
    first = text.partition("\n")[0] or "no message"
    hint = "`recmem --debug ...` shows where."
    return text if _is_in_our_form(text) else f"Stopped by {type(error).__name__}: {first}\n{hint}"


def _is_in_our_form(text: str) -> bool:
    """Whether the text is one of our ValueErrors: `<argument>: expected <what>, got <value>. <what to do>`."""
    return ": expected " in text and ", got " in text
