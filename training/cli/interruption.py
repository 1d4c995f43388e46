"""Ctrl-C during a long command: a line that says what is kept, in place of a traceback or of nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from recmem.cli.console import complain

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
STEPS_ARE_KEPT = "Finished steps are kept, and the same command goes on from there."
FOLDS_ARE_KEPT = (
    "What was read and encoded is kept, and so are the folds once all are fitted: the same command goes on from there."
)

Command = TypeVar("Command", bound=Callable[..., None])


def interruptible(kept: str) -> Callable[[Command], Command]:
    """Lets a command end with `INTERRUPTED` and a line that it was interrupted, and what is `kept`."""

    def with_message(command: Command) -> Command:
        @functools.wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            try:
                command(*arguments, **options)
            except KeyboardInterrupt:
                complain(f"Interrupted. {kept}")
                raise typer.Exit(INTERRUPTED) from None

        return run  # type: ignore[return-value]

    return with_message
