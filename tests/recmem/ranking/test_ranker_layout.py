"""`ranker.json`: what is written, what earlier versions wrote, and what is refused."""

from __future__ import annotations

import json
import re

import pytest

from recmem.ranking.ranker import Ranker
from recmem.ranking.ranker_inputs import feature_of, neutral_names
from recmem.ranking.ranker_layout import VERSION, RankerLayout
from small_ranker import FEATURES, INPUTS, pairs, ranker
from tolerances import close

VERSION_1 = """{
 "columns": ["match_raw", "item_age", "user_gap", "item_price"],
 "features": ["match_raw_z", "item_age_z", "item_price_z", "item_age", "user_gap"],
 "blend": {"match_raw_z": 0.75, "item_price_z": -0.5}
}"""
"""As it was written before `ranker.json` had a version."""
OLD_INPUTS = ("match_raw_z", "item_age_z", "item_price_z", "item_age", "user_gap")
VERSION_2 = """{
 "version": 2,
 "features": ["match_raw", "item_age", "user_gap", "item_price"],
 "inputs": ["match_raw_z", "item_age_z", "item_price_z", "item_age", "user_gap"],
 "blend": {"match_raw_z": 0.75, "item_price_z": -0.5}
}"""
"""As it was written while columns of items were called as features of the table are."""


def test_layout_says_its_version_features_and_inputs() -> None:
    written = json.loads(ranker().to_files()["ranker.json"])
    assert written == {
        "version": VERSION,
        "features": list(FEATURES),
        "inputs": list(INPUTS),
        "blend": {"match_raw_z": 0.75, "items.price_z": -0.5},
    }
    assert VERSION == 3


@pytest.mark.parametrize("layout", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def test_a_layout_of_an_earlier_version_is_read_and_scores_the_same(layout: str) -> None:
    old = ranker().to_files() | {"ranker.json": layout}
    # Until then LightGBM knew the inputs by their names.
    for neutral, name in zip(neutral_names(INPUTS), OLD_INPUTS, strict=True):
        old["ranker.txt"] = re.sub(rf"\b{neutral}\b", name, old["ranker.txt"])
    again = Ranker.from_files(old)
    assert (again.features, again.inputs, again.blend) == (FEATURES, INPUTS, ranker().blend)
    close(again.scores(pairs()), ranker().scores(pairs()), "exact")
    assert again.importance() == ranker().importance()


def test_columns_of_an_earlier_version_that_end_as_a_z_score_does_keep_their_inputs() -> None:
    old = {
        "version": 2,
        "features": ["item_size", "item_size_z", "item_age", "item_width_z"],
        "inputs": ["item_size_z", "item_size_z_z", "item_age_z", "item_age", "item_width_z_z"],
        "blend": {"item_width_z": 1.0},  # it took the column itself for a z-score
    }
    layout = RankerLayout.from_json(json.dumps(old))
    assert layout.features == ("items.size", "items.size_z", "item_age", "items.width_z")
    assert layout.inputs == ("items.size_z", "items.size_z_z", "item_age_z", "item_age", "items.width_z_z")
    assert layout.blend == {"items.width_z": 1.0}
    assert [feature_of(name, layout.features) for name in ("items.size_z", "items.size_z_z", "items.width_z")] == [
        "items.size",
        "items.size_z",
        "items.width_z",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 4}, r"ranker\.version: expected 1 to 3, got 4"),
        ({"version": 2, "blend": {"item_shoe_z": 1.0}}, r"expected inputs of its own features, got item_shoe_z"),
        ({"inputs": ["match_raw_z", "popularity"]}, r"expected inputs of its own features, got popularity"),
        ({"blend": {"item_age": 1.0, "shown_z": 2.0}}, r"expected inputs of its own features, got shown_z"),
        ({"features": "match_raw"}, r"ranker\.features: expected a list"),
        ({"columns": []}, r"ranker: expected the keys of RankerLayout, got unknown keys \(columns\)"),
    ],
)
def test_a_layout_that_does_not_hold_together_is_refused(changed: dict[str, object], message: str) -> None:
    layout = json.loads(ranker().to_files()["ranker.json"]) | changed
    with pytest.raises(ValueError, match=message):
        RankerLayout.from_json(json.dumps(layout))


def test_trees_that_read_another_number_of_inputs_are_refused() -> None:
    files = ranker().to_files()
    layout = json.loads(files["ranker.json"])
    layout["inputs"].pop()
    with pytest.raises(ValueError, match="expected trees that read 4 inputs, got 5"):
        Ranker.from_files(files | {"ranker.json": json.dumps(layout)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 2, "version": 2}', "the key 'version' twice"),
        ('{"version": 2, "features": [], "inputs": [], "blend": {"a": NaN}}', "NaN, which is not finite"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_text_that_is_not_plain_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^ranker\.json: expected JSON, got invalid text \(.*{message}"):
        RankerLayout.from_json(text)


def test_inputs_that_cannot_be_computed_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected inputs of its own features, got user_gap_z"):
        RankerLayout(FEATURES, (*INPUTS, "user_gap_z"), {})  # the same for all candidates of a query: no z-score
    with pytest.raises(ValueError, match=r"ranker\.inputs: expected each once"):
        RankerLayout(FEATURES, (*INPUTS, INPUTS[0]), {})
    with pytest.raises(ValueError, match=r"ranker\.blend: expected weights up to 1e\+09, got more for 'item_age'"):
        RankerLayout(FEATURES, INPUTS, {"item_age": 1e300})
