"""The versions of a registered model, with the figures and the verdict that their training left in their tags."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from feature_store import DataError
from recmem.serving.champions import BY_HAND_TAG
from recmem.serving.registry import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NDCG_TAG = "ndcg_at_10"
"""Tag of a version: NDCG@10 of the ranker that ships, on its own test queries."""
LIFT_TAGS = ("lift_ndcg_at_10", "lift_low", "lift_high")
"""Tags of a version: the lift of NDCG@10 by text features on its own test queries, and the ends of its 95% interval;
also where the ranker that ships does without them."""
VERDICT_TAG = "verdict"
"""Tag of a version: a few words on its promotion."""
DATA_TAG = "data"
"""Tag of a version: how many events it has learned from, and the last day of these."""
LIFT_JSON_TAG = "recmem.lift"
"""Tag of a version: the lift as JSON, all that those of an earlier recmem have."""
SHIPS_TAG = "recmem.ships"
"""Tag of a version: the row of the ledger that is its ranker."""
TEXT_TAG = "ships"
"""Tag of a version: the same in words, see `SHIPS_WORDS`. Without it, an earlier recmem wrote the tags, whose lift is
zero where text features do not rank."""
SHIPS_WORDS = {"ranker_with_match": "with text features", "ranker_without_match": "without text features"}
"""Row of the ledger -> how its ranker ranks, for people."""
REASON_TAG = "recmem.verdict"
"""Tag of a version: its verdict as a sentence."""
_WITHOUT_TEXT = "ranker_without_match"


@dataclass(frozen=True)
class VersionRow:
    """One version; a figure that it does not carry is NaN, a text that it does not carry is empty."""

    version: str
    aliases: tuple[str, ...]
    registered_at: datetime
    ndcg: float
    lift: tuple[float, float, float]
    """The lift of NDCG@10 that was measured, and the ends of its 95% interval."""
    ships: str
    """The row of the ledger that is its ranker: `ranker_with_match` or `ranker_without_match`."""
    verdict: str
    by_hand: str
    """What `recmem promote` or `recmem rollback` last did with it."""
    data: str

    @property
    def ranks_without_text(self) -> bool:
        """Whether the ranker that ships does without text features."""
        return self.ships == _WITHOUT_TEXT

    def document(self) -> dict[str, object]:
        """All of it by name, as JSON takes it: a figure that the version does not carry is None."""
        difference, low, high = (None if math.isnan(figure) else figure for figure in self.lift)
        return {
            "version": self.version,
            "aliases": list(self.aliases),
            "registered_at": self.registered_at.isoformat(timespec="seconds"),
            "verdict": self.verdict,
            "changed_by_hand": self.by_hand,
            "data": self.data,
            "ships": SHIPS_WORDS.get(self.ships, self.ships),
            NDCG_TAG: None if math.isnan(self.ndcg) else self.ndcg,
            **dict(zip(LIFT_TAGS, (difference, low, high), strict=True)),
        }


def versions_of(client: MlflowClient, name: str) -> list[VersionRow]:
    """All versions of a registered model, the newest first. Raises DataError if there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [model.name for model in all_pages(client.search_registered_models)]
        there = f"the registry has {', '.join(names)}" if names else "the registry is empty"
        raise DataError(
            f"--registered-name: expected a registered model, got {name!r}, but {there}. "
            "Give one that there is, or train a model first."
        ) from error
    found = list(all_pages(partial(client.search_model_versions, f"name = '{name}'")))
    return [_row(version, aliases) for version in sorted(found, key=lambda each: -int(each.version))]


def _row(version: ModelVersion, aliases: Mapping[str, str]) -> VersionRow:
    tags = version.tags
    return VersionRow(
        version=str(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
        registered_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        ndcg=_number(tags.get(NDCG_TAG)),
        lift=_lift(tags),
        ships=tags.get(SHIPS_TAG, ""),
        verdict=tags.get(VERDICT_TAG) or tags.get(REASON_TAG, ""),
        by_hand=tags.get(BY_HAND_TAG, ""),
        data=tags.get(DATA_TAG, ""),
    )


def _lift(tags: Mapping[str, str]) -> tuple[float, float, float]:
    """The measured lift. An earlier recmem did not keep it where the ranker without text features ships."""
    if TEXT_TAG not in tags and tags.get(SHIPS_TAG) == _WITHOUT_TEXT:
        return math.nan, math.nan, math.nan
    if LIFT_TAGS[0] in tags or LIFT_JSON_TAG not in tags:
        difference, low, high = (_number(tags.get(tag)) for tag in LIFT_TAGS)
        return difference, low, high
    try:
        lift = json.loads(tags[LIFT_JSON_TAG])
        return float(lift["difference"]), float(lift["ci95"][0]), float(lift["ci95"][1])
    except (ValueError, KeyError, TypeError, IndexError):  # anyone may write a tag
        return math.nan, math.nan, math.nan


def _number(text: str | None) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        return math.nan
