"""The strongest reasons for the scores of many pairs: as text for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.arrays import Float64Array
from feature_store.ragged import Ragged
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.serving.explain import ADDS_UP_TO, BASE_SCORE, match_parts
from recmem.serving.phrases import Language
from recmem.serving.slot_names import described_slots

MOST_REASONS = 20
"""Of each kind in a row."""
REASONS = "reasons"
_DIGITS = 7
"""Decimal places of a contribution in `REASONS`."""

Texts = NDArray[np.object_]


def reason_names(n_reasons: int, *, ranks: bool) -> tuple[str, ...]:
    """The columns that hold `n_reasons` of each kind; none for 0. `ranks`: whether there is a ranking score."""
    if not n_reasons:
        return ()
    kinds = ("match_reason", "score_reason") if ranks else ("match_reason",)
    return (*(f"{kind}_{place}" for kind in kinds for place in range(1, n_reasons + 1)), REASONS)


def check_number(n_reasons: object, *, argument: str = "explain") -> int:
    """The number of reasons as an int. Raises DataError unless it is one from 0 to `MOST_REASONS`."""
    is_whole = isinstance(n_reasons, int | np.integer) and not isinstance(n_reasons, bool)
    if not is_whole or not 0 <= n_reasons <= MOST_REASONS:  # type: ignore[operator]
        remedy = "Give the number of reasons to add to each row."
        raise DataError(f"{argument}: expected 0 to {MOST_REASONS}, got {n_reasons!r}. {remedy}")
    return int(n_reasons)  # type: ignore[call-overload, no-any-return]


def row_reasons(
    matcher: Matcher,
    catalogue: Catalogue,
    queries: QueryBatch,
    items: Ragged,
    match_raw: NDArray[Any],
    n_reasons: int,
    *,
    score_parts: tuple[float, Mapping[str, Float64Array]] | None = None,
    scores: NDArray[Any] | None = None,
    language: Language = "en",
) -> dict[str, Texts]:
    """The columns `reason_names`, of each pair of `items` (per query its candidates): text or None.

    `match_reason_1`, ...: the memories that add most to or take most from `match_raw`, several of one item together.
    `score_reason_1`, ...: the same for the features of the ranker and `score`. `reasons`: both as JSON, with the base
    score or constant and the sum of all that is not named, so that each list adds up to its score. `language`: of what
    slots that are no events are called.

    Raises ArithmeticError if the parts do not add up to the scores.
    """
    kinds: dict[str, list[list[dict[str, Any]]]] = {"match": [], "score": []}
    for row in range(len(queries)):
        kinds["match"] += _match_reasons(
            matcher,
            catalogue,
            queries.take(np.array([row])),
            items.row(row),
            match_raw[items.offsets[row] : items.offsets[row + 1]],
            n_reasons,
            language,
        )
    scales = {"match": "match_raw"}
    if score_parts is not None and scores is not None:
        kinds["score"] = _score_reasons(*score_parts, scores, n_reasons)
        scales["score"] = "score"
    columns = {
        f"{kind}_reason_{place + 1}": _texts([_in_words(parts, place) for parts in kinds[kind]])
        for kind in scales
        for place in range(n_reasons)
    }
    whole = [
        json.dumps({scale: kinds[kind][pair] for kind, scale in scales.items()}, ensure_ascii=False)
        for pair in range(len(items.values))
    ]
    return columns | {REASONS: _texts(whole)}


def _match_reasons(
    matcher: Matcher,
    catalogue: Catalogue,
    query: QueryBatch,
    items: NDArray[np.int64],
    match_raw: NDArray[Any],
    n_reasons: int,
    language: Language,
) -> list[list[dict[str, Any]]]:
    """Of each item of one query: the base score, the strongest memories, and the others as one."""
    prior, null, parts = match_parts(matcher, query.histories, items)
    _check_sums("match_raw", prior + null + parts.sum(axis=0), match_raw)
    slots = described_slots(matcher, catalogue, query.histories, language)
    # Several events of one item are one part, and so are slots of one name that are no events.
    keys = [(slot.row, "" if slot.is_event else slot.title) for slot in slots]
    place = {key: number for number, key in enumerate(sorted(set(keys)))}
    # float64[item of the memory, cand]
    by_item = np.zeros((len(place), len(items)))
    np.add.at(by_item, np.array([place[key] for key in keys], np.int64), parts)
    named = dict(zip(keys, slots, strict=True))
    names = [{"part": named[key].title, "item_id": named[key].item_id} for key in place]
    base = [{"part": BASE_SCORE, "contribution": _rounded(value)} for value in prior + null]
    return _strongest(names, by_item, base, "other memories", n_reasons)


def _score_reasons(
    constant: float, contributions: Mapping[str, Float64Array], scores: NDArray[Any], n_reasons: int
) -> list[list[dict[str, Any]]]:
    """Of each pair: the constant, the strongest features, and the others as one."""
    parts = np.array(list(contributions.values())).reshape(len(contributions), len(scores))
    _check_sums("score", constant + parts.sum(axis=0), scores)
    base = [{"part": "constant", "contribution": _rounded(constant)}] * len(scores)
    return _strongest([{"part": name} for name in contributions], parts, base, "other features", n_reasons)


def _strongest(
    names: Sequence[dict[str, Any]], parts: Float64Array, base: Sequence[dict[str, Any]], others: str, n_reasons: int
) -> list[list[dict[str, Any]]]:
    """Of each column of `parts` [part, pair]: its base, the largest parts by their size without sign, and the rest."""
    order = np.argsort(-np.abs(parts), axis=0, kind="stable")[:n_reasons]
    chosen = np.take_along_axis(parts, order, axis=0)
    rest = parts.sum(axis=0) - chosen.sum(axis=0)
    found = []
    for pair, first in enumerate(base):
        named = [
            {**names[int(part)], "contribution": _rounded(value)}
            for part, value in zip(order[:, pair], chosen[:, pair], strict=True)
            if value
        ]
        found.append([first, *named, {"part": others, "contribution": _rounded(rest[pair])}])
    return found


def _in_words(parts: Sequence[dict[str, Any]], place: int) -> str | None:
    """The reason at this place, from 0: without the base at the beginning and the rest at the end; None if none is."""
    if place + 2 >= len(parts):
        return None
    reason = parts[place + 1]
    return f"{reason['part']} {reason['contribution']:+.2f}"


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def _texts(cells: Sequence[str | None]) -> Texts:
    texts = np.empty(len(cells), object)
    texts[:] = cells
    return texts


def _check_sums(name: str, totals: Float64Array, wholes: NDArray[Any]) -> None:
    apart = np.abs(totals - wholes) > ADDS_UP_TO * np.maximum(1.0, np.abs(wholes))
    if apart.any():
        pair = int(np.flatnonzero(apart)[0])
        raise ArithmeticError(
            f"{name}: expected parts that add up to {wholes[pair]}, got {totals[pair]}. Please report this."
        )
