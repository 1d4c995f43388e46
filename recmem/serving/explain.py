"""Why this score: the memories that a match score builds on, and what each feature adds to the ranking score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
import torch

from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.point_in_time.histories import Histories
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.declared_slots import DECLARED
from recmem.kernels import PER_ITEM, MatchTables, match_contributions
from recmem.matching.matcher import Matcher
from recmem.ranking.feature_table import INTERESTS_SIMILARITY, TEXT_FEATURES
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.phrases import PHRASES, Language, Phrases
from recmem.serving.slot_names import PHRASED, described_slots, joined, newest_first

N_REASONS = 2
"""How many memories a sentence names at most."""
ADDS_UP_TO = 1e-5
"""How far a sum of parts may be from the whole: absolute, and relative to a whole beyond 1. The parts are float64 sums,
the whole a float32 one."""
BASE_SCORE = "base score (not from any memory slot)"
"""How the sum of the prior and the null slot is labelled for people."""


@dataclass(frozen=True)
class SlotReason:
    """What one slot of the memory, most often a remembered event, adds to an item's match score."""

    item_id: object
    """None for a slot that is of no item."""
    title: str
    """The item's title, or what the slot is in the bundle's language."""
    age: int | None
    """Visits of the user since then; 0 for the newest visit, None for a slot that is no event."""
    kind: str
    """Name of the slot's memory kind, such as "positive"."""
    contribution: float
    """Part of `match_raw`: on the scale of the raw match score, not of the ranking score."""

    @property
    def is_event(self) -> bool:
        """Whether the slot is an event."""
        return self.age is not None


@dataclass(frozen=True)
class SharedFact:
    """A fact of an item that items of the user have too."""

    words: str
    """Such as "author: Ursula K. Le Guin", in the bundle's language."""
    n_items: int
    """Items of the user that have it."""
    title: str | None
    """The title of that item if it is one."""


@dataclass(frozen=True)
class Explanation:
    """A match score and a ranking score, each taken apart.

    The two are on different scales: a slot's contribution is a part of `match_raw`, which is itself one of the features
    behind `score`. Raises ArithmeticError if either's parts do not add up to it.
    """

    title: str
    """Title of the explained item."""
    match_raw: float
    """The raw match score: prior + null + the slots' contributions."""
    prior: float
    """Part of `match_raw` that depends on the item's text alone."""
    null: float
    """Part of `match_raw` from the null slot, which is attended to if no memory matches."""
    slots: tuple[SlotReason, ...]
    """The memory: its events, newest first, then what is no event, likewise."""
    already_in_memory: bool
    """Whether the explained item is itself in the memory."""
    features: dict[str, float]
    """What each feature of the ranker adds to `score`, and its `constant`."""
    score: float
    """The ranking score, among the candidates that `Model.recommend` ranks for this user."""
    interests: float | None = None
    """Cosine of the item's text and the interests that the user has declared, if it is higher than the mean of the
    candidates; None if it is not, or the user has declared none."""
    fact: SharedFact | None = None
    """The fact that the item shares most of with the user's items; None if it shares no more than the candidates in the
    mean, or the ranker reads no facts."""
    language: Language = "en"
    """Of `sentence` and `reason`: the bundle's setting `language`."""

    def __post_init__(self) -> None:
        _check_sum("match_raw", [self.prior, self.null, *(slot.contribution for slot in self.slots)], self.match_raw)
        _check_sum("score", list(self.features.values()), self.score)

    @property
    def base_score(self) -> float:
        """Part of `match_raw` that no memory contributes: prior + null."""
        return self.prior + self.null

    def sentence(self) -> str:
        """The item with its reason, for example "libcurl (TLS): because it builds on libssl (+0.41) ..."."""
        phrases = PHRASES[self.language]
        title = phrases.seen.format(title=self.title) if self.already_in_memory else self.title
        return phrases.sentence.format(title=title, reason=self.reason())

    def reason(self) -> str:
        """The reason alone; its numbers are parts of the raw match score."""
        titles = [slot.title for slot in self.slots]
        contributions = [slot.contribution for slot in self.slots]
        by_text = reads_texts(self.features)
        return in_words(
            titles,
            contributions,
            numbers=True,
            ranks_by_text=by_text,
            interests=self.interests,
            fact=self.fact,
            kinds=[slot.kind for slot in self.slots],
            language=self.language,
        )

    def to_frame(self) -> pl.DataFrame:
        """All parts as rows: `of` (match_raw or score), `part`, `contribution`; they add up within each `of`."""
        slots = [("match_raw", slot.title, slot.contribution) for slot in self.slots]
        features = [("score", name, contribution) for name, contribution in self.features.items()]
        rows = [("match_raw", BASE_SCORE, self.base_score), *slots, *features]
        return pl.DataFrame(rows, schema={"of": pl.String, "part": pl.String, "contribution": pl.Float64}, orient="row")


def reads_texts(features: Iterable[str]) -> bool:
    """Whether a ranker with these features reads texts; one whose text features did not pass their test does not."""
    return not set(TEXT_FEATURES).isdisjoint(features)


def in_words(
    titles: Sequence[str],
    contributions: Sequence[float],
    *,
    numbers: bool = False,
    ranks_by_text: bool = True,
    interests: float | None = None,
    fact: SharedFact | None = None,
    kinds: Sequence[str] = (),
    language: Language = "en",
) -> str:
    """The memories that add most to an item's match score, in words. Several memories of one item count together.

    They are the reason for an item's rank only if the ranker `ranks_by_text`; otherwise the words say so. `interests`:
    the similarity to what the user has declared, and `fact` what is shared with the user's items, if these are reasons
    too. `kinds`: the memory kind of each title, by its name; empty if all are events.
    """
    phrases = PHRASES[language]
    kind_of = dict(zip(titles, kinds, strict=False))
    best = _strongest(titles, contributions)
    if best:
        phrase = phrases.builds_on if ranks_by_text else phrases.reads_no_texts
        scale = phrases.scale if numbers else ""
        reason = phrase.format(titles=_named(best, kind_of, phrases, numbers=numbers), scale=scale)
    else:
        reason = phrases.no_memory_raises if titles else phrases.empty_memory
    if not ranks_by_text:
        return reason
    is_reason = bool(best)
    named = [title for title, _ in best]
    # A fact or an interest that is quoted as a memory needs no second mention.
    if fact is not None and fact.words not in named:
        items = fact.title or phrases.own_items.format(n=f"{fact.n_items:,}")
        phrase = phrases.and_shares_fact if is_reason else phrases.shares_fact
        reason = phrase.format(reason=reason, fact=fact.words, items=items)
        is_reason = True
    if interests is not None and not any(kind_of.get(title) == DECLARED for title in named):
        similarity = phrases.similarity.format(value=interests) if numbers else ""
        phrase = phrases.and_fits_interests if is_reason else phrases.fits_interests
        reason = phrase.format(reason=reason, similarity=similarity)
    return reason


def fitting_interests(pairs: PairFeatures) -> list[float | None]:
    """Of each pair: its similarity to the declared interests, if that is higher than the mean of its query."""
    if INTERESTS_SIMILARITY.name not in pairs.values:
        return [None] * len(pairs.candidates.values)
    # A query has interests or has none: all of its values are NaN, or none is.
    is_higher = higher_than_mean(pairs, INTERESTS_SIMILARITY.name)
    values = pairs.values[INTERESTS_SIMILARITY.name]
    return [float(value) if higher else None for value, higher in zip(values, is_higher, strict=True)]


def higher_than_mean(pairs: PairFeatures, name: str) -> BoolArray:
    """Whether each pair's feature of this name is higher than the mean of its query: bool[pair]."""
    values = pairs.values[name].astype(np.float64)
    query = pairs.candidates.row_index
    totals = np.bincount(query, values, minlength=len(pairs.candidates))
    is_higher: BoolArray = values > (totals / np.maximum(pairs.candidates.lengths, 1))[query]
    return is_higher


def _strongest(titles: Sequence[str], contributions: Sequence[float]) -> list[tuple[str, float]]:
    """The titles that add most, with the sums of what they add; none that takes away."""
    total: dict[str, float] = {}
    for title, contribution in zip(titles, contributions, strict=True):
        total[title] = total.get(title, 0.0) + contribution
    positive = [(title, part) for title, part in total.items() if part > 0]
    return sorted(positive, key=lambda reason: -reason[1])[:N_REASONS]


def _named(best: Sequence[tuple[str, float]], kind_of: Mapping[str, str], phrases: Phrases, *, numbers: bool) -> str:
    """The titles, quoted as the language does, as one list."""
    named = [title if kind_of.get(title) in PHRASED else phrases.quoted.format(title=title) for title, _ in best]
    parts = [f" ({part:+.2f})" if numbers else "" for _, part in best]
    return joined([title + part for title, part in zip(named, parts, strict=True)], phrases)


def match_parts(
    matcher: Matcher, history: Histories, candidates: IntArray
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Prior [cand], null part [cand] and contributions of the slots [slot, cand] of one memory.

    Computed in float64 on the CPU. The slots are those of `recmem.serving.slot_names.described_slots`, newest last.
    """
    tables, slots, placed = matcher.placed(matcher.slots(history), torch.from_numpy(candidates).to(matcher.device))
    # The memory's texts, then the candidates: the only rows of the tables that are needed.
    rows = torch.cat([slots.rows, placed])
    tables = _float64_rows(tables, rows)
    slot_rows, candidate_rows = torch.arange(len(rows)).split([len(slots.rows), len(candidates)])
    retrieved = slots.retrieved and slots.retrieved.to(torch.device("cpu"))
    with torch.inference_mode():
        bias, sign = (term.double().cpu() for term in matcher.module.slot_terms(slots))
        prior, null, parts = match_contributions(tables, slot_rows, bias, sign, candidate_rows, retrieved)
    return prior.numpy(), null.numpy(), parts.numpy()


def slot_reasons(
    matcher: Matcher, catalogue: Catalogue, history: Histories, parts: Float64Array, language: Language
) -> tuple[SlotReason, ...]:
    """One reason per slot of the memory, see `newest_first`; `parts` are the slots' contributions, newest last."""
    slots = described_slots(matcher, catalogue, history, language)
    reasons = [
        SlotReason(slot.item_id, slot.title, slot.age, slot.kind, float(part))
        for slot, part in zip(slots, parts, strict=True)
    ]
    return tuple(reasons[place] for place in newest_first(slots))


def _float64_rows(tables: MatchTables, rows: torch.Tensor) -> MatchTables:
    """The given rows of the tables, and what all rows share, in float64 on the CPU."""
    parts = {field.name: getattr(tables, field.name) for field in fields(tables)}
    taken = {name: part[rows] if name in PER_ITEM else part for name, part in parts.items()}
    return replace(tables, **{name: part.detach().double().cpu() for name, part in taken.items()})


def _check_sum(name: str, parts: Sequence[float], whole: float) -> None:
    total = float(np.sum(parts))
    if not abs(total - whole) <= ADDS_UP_TO * max(1.0, abs(whole)):
        raise ArithmeticError(f"{name}: expected parts that add up to {whole}, got {total}. Please report this.")
