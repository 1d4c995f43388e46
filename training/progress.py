"""How a run tells how far it is: stages that the caller shows, or does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows stages of work; `recmem.cli.console.Bars` draws them."""

    def stage(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """A stage of `total` steps (None: nobody knows); what it gives is called with the steps just done."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A stage that nobody sees."""
        del title, total
        yield lambda steps: None
