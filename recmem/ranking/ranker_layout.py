"""`ranker.json`: which features a ranker needs, what its trees read, and the weights of its blend."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from recmem.config_json import from_json, parse_json
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX, RELATIVE_SUFFIX, compared_features, is_in_table
from recmem.ranking.ranker_inputs import feature_of

VERSION = 3
"""Of `ranker.json`. Until version 2, the features of numeric item columns were called `item_<name>`. Version 1 had no
number, and called the features `columns` and the inputs `features`."""
MAX_CHARACTERS = 10_000
"""Of a feature's name."""
MAX_WEIGHT = 1e9
"""Of an input in the blend."""
_OLD_PREFIX = "item_"


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
                f"ranker.version: expected 1 to {VERSION}, got {self.version}. Use the version of recmem that wrote it."
            )
        for name, values in (("features", self.features), ("inputs", self.inputs)):
            if len(set(values)) < len(values):
                raise ValueError(f"ranker.{name}: expected each once, got some twice. Train again.")
        if not all(0 < len(name) <= MAX_CHARACTERS and name.isprintable() for name in self.features):
            raise ValueError("ranker.features: expected printable names, got others. Train again.")
        too_large = [name for name, weight in self.blend.items() if abs(weight) > MAX_WEIGHT]
        if too_large:
            raise ValueError(f"ranker.blend: expected weights up to {MAX_WEIGHT:g}, got more for {too_large[0]!r}.")
        compared = {name + RELATIVE_SUFFIX for name in compared_features(self.features)}
        foreign = {*self.inputs, *self.blend} - {*self.features, *compared}
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
        parts, is_old = _in_todays_keys(parse_json(text, "ranker.json"))
        layout: RankerLayout = from_json(cls, parts, "ranker")
        return _with_current_names(layout) if is_old else layout


def current_name(feature: str) -> str:
    """Today's name of a feature of an earlier version: `items.price` for `item_price`; any other unchanged."""
    if is_in_table(feature) or not feature.startswith(_OLD_PREFIX):
        return feature
    return ATTRIBUTE_PREFIX + feature.removeprefix(_OLD_PREFIX)


def _in_todays_keys(layout: Any) -> tuple[Any, bool]:
    """A layout of any version with today's keys, and whether its features have names of an earlier version."""
    if not isinstance(layout, dict):
        return layout, False
    if set(layout) == {"columns", "features", "blend"}:
        parts = {"features": layout["columns"], "inputs": layout["features"], "blend": layout["blend"]}
        return {"version": VERSION, **parts}, True
    is_old = layout.get("version") == 2
    return (layout | {"version": VERSION} if is_old else layout), is_old


def _with_current_names(old: RankerLayout) -> RankerLayout:
    names = {name: current_name(name) for name in old.features}

    def renamed(input_name: str) -> str:
        feature = feature_of(input_name, names)
        return names[feature] + input_name.removeprefix(feature)

    return RankerLayout(
        features=tuple(names.values()),
        inputs=tuple(renamed(name) for name in old.inputs),
        blend={renamed(name): weight for name, weight in old.blend.items()},
    )
