"""How much events of a name count as training targets: the setting `event_weights`, in texts such as `click=0.2`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from feature_store import SignalConfig
from feature_store.arrays import Float64Array
from feature_store.event_names import spelling
from feature_store.warnings.event_kinds import EventKind

EXPECTED = "NAME=WEIGHT with a number above 0, such as click=0.2"


def weight_texts(weights: Mapping[str, float] | Sequence[str] | None) -> list[str] | None:
    """The setting for weights by name; texts stay as they are, and None is None."""
    if isinstance(weights, Mapping):
        return [f"{name}={weight}" for name, weight in weights.items()]
    return None if weights is None else list(weights)


def event_weights_faults(texts: Sequence[str]) -> Iterator[str]:
    """What is wrong with the setting: a line for each text that is not NAME=WEIGHT, and for each name given twice."""
    seen: dict[str, str] = {}
    for text in texts:
        name, weight = _parts(text)
        if not name or weight is None:
            yield f"event_weights: expected {EXPECTED}, got {text!r}. Correct it."
        elif spelling(name) in seen:
            other = seen[spelling(name)]
            yield f"event_weights: expected each event once, got {other!r} and {text!r}. Remove one of them."
        else:
            seen[spelling(name)] = text


def weights_by_name(texts: Sequence[str]) -> dict[str, float]:
    """The weights by name, as the setting spells it; the texts must be without faults."""
    parts = [_parts(text) for text in texts]
    return {name: weight for name, weight in parts if weight is not None}


def weights_of_events(events: pl.DataFrame, texts: Sequence[str], signals: SignalConfig) -> Float64Array:
    """The weight of each row of an events table, 1 where nothing gives one: float64[event].

    That of its name times its own in the column `weight`.
    """
    given = weights_by_name(texts)
    spelt = spelling if signals.common_names else str
    by_spelling = {spelt(name): weight for name, weight in given.items()}
    names = [name for name in events["event"].unique().drop_nulls() if spelt(name) in by_spelling]
    weights = np.ones(len(events))
    if names:
        of_name = events["event"].replace_strict(
            names, [by_spelling[spelt(name)] for name in names], default=1.0, return_dtype=pl.Float64
        )
        weights *= of_name.to_numpy()
    if "weight" in events.columns:
        weights *= events["weight"].fill_null(1.0).to_numpy()
    return weights


def weight_warnings(kinds: Sequence[EventKind], texts: Sequence[str], signals: SignalConfig) -> Iterator[str]:
    """A sentence about each name of the setting that weighs nothing in a log of these kinds."""
    spelt = spelling if signals.common_names else str
    by_spelling = {spelt(kind.event): kind for kind in kinds if kind.event is not None}
    for name in weights_by_name(texts):
        kind = by_spelling.get(spelt(name))
        if kind is None:
            known = ", ".join(repr(each.event) for each in kinds[:5] if each.event is not None)
            hint = f"The log has {known}." if known else "No event of the log has a name."
            yield f"event: no event is named {name!r}, so its weight has no effect. {hint}"
        elif not kind.n_positive:
            yield (
                f"event: {kind.event!r} is {kind.taken_as}, and only positive events are targets, so its weight has no "
                "effect."
            )


def _parts(text: str) -> tuple[str, float | None]:
    """Name and weight; None for a weight that is none. A name may hold "=" itself."""
    name, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        return name.strip(), None
    return name.strip(), weight if weight > 0 and math.isfinite(weight) else None
