"""How a run reports its progress: in stages, which the caller may show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows the stages of a run; `recmem.cli.console.Bars` draws them as bars."""

    def stage(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """A stage of `total` steps (None if that is unknown); its function is called with the number just done."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A stage that is not shown."""
        del title, total
        yield lambda steps: None
