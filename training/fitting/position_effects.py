"""What position debiasing has learned: how much less often the same item is clicked further down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from feature_store.arrays import BoolArray, Float32Array, IntArray
from training.queries import UNKNOWN_POSITION


@dataclass(frozen=True)
class PositionEffect:
    """Neighbouring positions that count as one, in the impressions that the ranker was fitted on."""

    first: int | None
    """The first and the last of them; None for the rows without a position."""
    last: int | None
    rows: int
    """Items shown there, in impressions with a click."""
    clicks: int
    effect: float
    """What the linear part adds to the score of a click there, minus what it adds at the first positions. In a softmax
    over what was shown, a difference of scores is the logarithm of a ratio of chances."""

    @property
    def times(self) -> float:
        """How many times as likely the same item is to be clicked there as at the first positions."""
        return math.exp(self.effect)

    @property
    def click_rate(self) -> float:
        """Clicks per item shown."""
        return self.clicks / max(self.rows, 1)


def position_effects(
    positions: IntArray, groups: IntArray, is_clicked: BoolArray, biases: Float32Array
) -> tuple[PositionEffect, ...]:
    """What was learned of each group: the positions in order, rows without one last.

    One entry per shown item in `positions`, its group in `groups` (see `position_groups`), and one per group in
    `biases`: float32[group].
    """
    effects = []
    for group, bias in enumerate(biases.tolist()):
        of_group = groups == group
        placed = positions[of_group]
        if not len(placed):
            continue
        is_known = bool((placed != UNKNOWN_POSITION).any())
        effects.append(
            PositionEffect(
                first=int(placed.min()) if is_known else None,
                last=int(placed.max()) if is_known else None,
                rows=len(placed),
                clicks=int(is_clicked[of_group].sum()),
                effect=bias - float(biases[0]),
            )
        )
    return tuple(effects)


def effects_document(effects: Sequence[PositionEffect]) -> list[dict[str, float | int | None]]:
    """The effects as JSON takes them, with the ratio of chances; six digits."""
    return [asdict(each) | {"effect": round(each.effect, 6) + 0.0, "times": round(each.times, 6)} for each in effects]


def effects_from(document: Sequence[dict[str, float | int | None]]) -> tuple[PositionEffect, ...]:
    """The effects of a document that `effects_document` made."""
    names = PositionEffect.__dataclass_fields__
    return tuple(PositionEffect(**{name: entry[name] for name in names}) for entry in document)  # type: ignore[arg-type]


def effects_to_json(effects: Sequence[PositionEffect]) -> str:
    """The text of a file of them."""
    return json.dumps(effects_document(effects), indent=1) + "\n"


def effects_from_json(text: str) -> tuple[PositionEffect, ...]:
    """What `effects_to_json` wrote."""
    return effects_from(json.loads(text))
