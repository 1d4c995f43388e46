"""Which facts of items a model reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feature_store.settings import check_settings, setting

AUTO = "auto"


@dataclass(frozen=True)
class KnowledgeConfig:
    """Facts of items, from the facts table and from columns of the items table."""

    facts: bool = setting(True)
    """Whether the facts table is read, if the store has one."""
    columns: tuple[str, ...] = setting((), low=1, words='a list of names of columns, or ["auto"]')
    """Text columns of the items table whose values are facts too, such as author, brand or genre; several values in a
    cell may be separated by `;`, `|` or commas. "auto" takes those of few words that repeat among items."""
    steps: int = setting(2, low=1, high=2)
    """How far facts are followed from the items: 1 for an item's own, 2 also for those of their objects."""
    largest_share: float = setting(0.5, above=0, high=1)
    """Facts that a larger share of the items have are left out: they tell items apart the least."""
    language: str = setting("en", low=0, high=20)
    """Of several labels of a thing, the one in this language names it in reasons. It does not follow `language`, which
    changes reasons and no score: facts in memories (`memory.knowledge`) are read by the encoder under these names."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if len(set(self.columns)) < len(self.columns):
            yield f"columns: expected each column once, got {', '.join(self.columns)}. Remove the repeated one."
        if AUTO in self.columns and len(self.columns) > 1:
            yield f"columns: expected names, or {AUTO} alone, got {', '.join(self.columns)}. Leave one of them out."
