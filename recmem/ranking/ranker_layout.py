"""`ranker.json`: which features a ranker needs, what its trees read, and the weights of its blend."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from recmem.config_json import from_json, parse_json
from recmem.ranking.feature_table import RELATIVE_SUFFIX, per_query_features

VERSION = 2
"""Of `ranker.json`. Version 1 had no number, and called the features `columns` and the inputs `features`."""
MAX_CHARACTERS = 10_000
"""Of a feature's name."""
MAX_WEIGHT = 1e9
"""Of an input in the blend."""


@dataclass(frozen=True)
class RankerLayout:
    """A ranker without its trees."""

    features: tuple[str, ...]
    """See `Ranker.features`."""
    inputs: tuple[str, ...]
    """See `Ranker.inputs`."""
    blend: dict[str, float]
    """Weight by input."""
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(
                f"ranker.version: expected 1 or {VERSION}, got {self.version}. Use the version of recmem that wrote it."
            )
        for name, values in (("features", self.features), ("inputs", self.inputs)):
            if len(set(values)) < len(values):
                raise ValueError(f"ranker.{name}: expected each once, got some twice. Train again.")
        if not all(0 < len(name) <= MAX_CHARACTERS and name.isprintable() for name in self.features):
            raise ValueError("ranker.features: expected printable names, got others. Train again.")
        too_large = [name for name, weight in self.blend.items() if abs(weight) > MAX_WEIGHT]
        if too_large:
            raise ValueError(f"ranker.blend: expected weights up to {MAX_WEIGHT:g}, got more for {too_large[0]!r}.")
        # A feature that is the same for all candidates of a query has no z-score.
        compared = (name for name in self.features if name not in per_query_features())
        foreign = {*self.inputs, *self.blend} - {*self.features, *(name + RELATIVE_SUFFIX for name in compared)}
        if foreign:
            raise ValueError(
                f"ranker.inputs: expected inputs of its own features, got {', '.join(sorted(foreign))}. Train again."
            )

    def to_json(self) -> str:
        """The layout as the text of `ranker.json`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> RankerLayout:
        """The layout in a `ranker.json` of any version. Raises ValueError if it is not one."""
        layout: RankerLayout = from_json(cls, _upgraded(parse_json(text, "ranker.json")), "ranker")
        return layout


def _upgraded(layout: Any) -> Any:
    """A layout of version 1 with the keys of version 2; any other unchanged."""
    if not isinstance(layout, dict) or set(layout) != {"columns", "features", "blend"}:
        return layout
    return {
        "version": VERSION,
        "features": layout["columns"],
        "inputs": layout["features"],
        "blend": layout["blend"],
    }
