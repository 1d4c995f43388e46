"""Why this score: the memories that speak for an item, and what each ranking column adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
import torch

from feature_store.arrays import Float64Array, IntArray
from feature_store.point_in_time.histories import Histories
from recmem.dataset.catalogue import Catalogue
from recmem.kernels import PER_ITEM, MatchTables, match_contributions
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import kind_names

N_REASONS = 2
"""Memories that a sentence names, at most."""
ADDS_UP_TO = 1e-5
"""How far the parts may be from the whole: absolute, and relative to a whole beyond 1. float32 against float64 sums."""


@dataclass(frozen=True)
class SlotReason:
    """What one remembered event says about an item."""

    item_id: object
    title: str
    age: int
    """PastQueries of the user since then; 0 for the newest."""
    kind: str
    """Name of the slot's memory kind, such as "positive"."""
    contribution: float
    """What it adds to the raw match score."""


@dataclass(frozen=True)
class Explanation:
    """A match score and a ranking score taken apart; raises ArithmeticError where the parts do not make the whole."""

    title: str
    """Of the item that is explained."""
    match_raw: float
    prior: float
    """What the item's text says by itself."""
    null: float
    """What it says when no memory in particular is looked at."""
    slots: tuple[SlotReason, ...]
    """The memory, newest first."""
    columns: dict[str, float]
    """What each ranking column adds to the score, and `constant`."""
    score: float

    def __post_init__(self) -> None:
        _check_sum("match_raw", [self.prior, self.null, *(slot.contribution for slot in self.slots)], self.match_raw)
        _check_sum("score", list(self.columns.values()), self.score)

    def sentence(self) -> str:
        """The reason in words, such as "libcurl (TLS): because it builds on libssl (+0.41) and zlib (+0.12)"."""
        return f"{self.title}: {self.reason()}"

    def reason(self) -> str:
        """The sentence without the item's title."""
        titles = [slot.title for slot in self.slots]
        return in_words(titles, [slot.contribution for slot in self.slots], numbers=True)

    def to_frame(self) -> pl.DataFrame:
        """All parts as rows: `of` (match_raw or score), `part`, `contribution`; they add up within each `of`."""
        match = [("prior", self.prior), ("null", self.null), *((slot.title, slot.contribution) for slot in self.slots)]
        rows = [("match_raw", *part) for part in match] + [("score", *part) for part in self.columns.items()]
        return pl.DataFrame(rows, schema={"of": pl.String, "part": pl.String, "contribution": pl.Float64}, orient="row")


def in_words(titles: Sequence[str], contributions: Sequence[float], *, numbers: bool = False) -> str:
    """The one or two memories that say most for an item, in words; a memory of an item twice counts together."""
    if not titles:
        return "because of the item itself: nothing is remembered of the user yet"
    total: dict[str, float] = {}
    for title, contribution in zip(titles, contributions, strict=True):
        total[title] = total.get(title, 0.0) + contribution
    best = sorted(((title, part) for title, part in total.items() if part > 0), key=lambda reason: -reason[1])
    named = [f"{title} ({part:+.2f})" if numbers else title for title, part in best[:N_REASONS]]
    if not named:
        return "because of the item itself: no memory speaks for it"
    return f"because it builds on {' and '.join(named)}"


def match_parts(
    matcher: Matcher, history: Histories, candidates: IntArray
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Prior [cand], null part [cand] and slots' contributions [slot, cand] of one memory: float64, on the CPU.

    The slots are those of `history.newest(matcher.memory.n_events)`, newest last.
    """
    slots = matcher.slots(history)
    rows = torch.cat([slots.rows, torch.from_numpy(candidates).to(matcher.device)])
    retrieved = slots.retrieved and slots.retrieved.to(torch.device("cpu"))
    tables = _double(matcher.tables, rows)
    remembered, asked = torch.arange(len(rows)).split([len(slots.rows), len(candidates)])
    with torch.inference_mode():
        bias, sign = (term.double().cpu() for term in matcher.module.slot_terms(slots))
        prior, null, parts = match_contributions(tables, remembered, bias, sign, asked, retrieved)
    return prior.numpy(), null.numpy(), parts.numpy()


def slot_reasons(
    matcher: Matcher, catalogue: Catalogue, history: Histories, parts: Float64Array
) -> tuple[SlotReason, ...]:
    """One reason per slot of the memory, newest first; `parts` are its contributions, newest last."""
    remembered = history.newest(matcher.memory.n_events)
    columns = (remembered.items.values, remembered.recency, kind_names(remembered), parts)
    reasons = [
        SlotReason(
            item_id=catalogue.ids[int(row)],
            title=catalogue.title(int(row)),
            age=int(age),
            kind=kind,
            contribution=float(part),
        )
        for row, age, kind, part in zip(*columns, strict=True)
    ]
    return tuple(reversed(reasons))


def _double(tables: MatchTables, rows: torch.Tensor) -> MatchTables:
    """The given rows of the tables, and what all rows share, in float64 on the CPU."""
    parts = {field.name: getattr(tables, field.name) for field in fields(tables)}
    taken = {name: part[rows] if name in PER_ITEM else part for name, part in parts.items()}
    return replace(tables, **{name: part.detach().double().cpu() for name, part in taken.items()})


def _check_sum(name: str, parts: Sequence[float], whole: float) -> None:
    total = float(np.sum(parts))
    if not abs(total - whole) <= ADDS_UP_TO * max(1.0, abs(whole)):
        raise ArithmeticError(f"{name}: expected parts that add up to {whole}, got {total}. Please report this.")
