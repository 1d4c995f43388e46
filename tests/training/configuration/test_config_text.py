"""The configuration as a file: complete, commented, and the same when it is read again."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.ranking.tree_checks import MAX_LEAVES
from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.config_text import WIDTH, config_toml, toml_value
from training.configuration.effective import effective_config
from training.tracking.parameters import flat_parameters


def changed() -> TrainingConfig:
    """A configuration in which every setting has another value than its default, but for two."""
    others: dict[str, Any] = {
        "encoder.pooling": "cls",
        "encoder.text_prefix": 'Instruct: "find"\n\tQuery: \\ ',
        "signals.rating_events": ["stars", 'a "b"'],
        "signals.negative_events": ["zurück"],
        "signals.neutral_events": ["ansehen ä"],
        "signals.positive_events": ["kauf", "a, b"],
        "signals.name_list": 1,
        "signals.unnamed": "neutral",
        "features": ["ctr_7d", "device"],
        "users.features": ["plan"],
        "users.interests": "hobbies",
        "event_weights": ["view=0.2", "a=b=3"],
        "ranker.position_bias_regularization": 0.1,
        "knowledge.columns": ["section"],
        "knowledge.steps": 1,
        "knowledge.language": "de",
        "match.impressions": 1.0,
        "promote": "never",
        "registered_name": "another",
        "language": "de",
        "split.test_until": 0.97,
        "tuning.kind": "last",
        "tuning.averages": [0.3],
        "tuning.learning_rate": 1e-05,
        "tuning.chunk_tokens": 9,
        "covisitation.half_lives": [0.1, 1e12],
        "retrieval.search": "faiss",
        "encoder.name": "all-MiniLM-L6-v2",
        "vectors_name": "",  # it goes with no other setting of an encoder
        "ranker.smoothing": 5,
        "ranker.leave_out": ["ease"],
        "ablate": False,  # it goes with no folds
        "memory.recent": 40,
        "split.ranker_from": 0.6,
    }
    for name, setting in all_settings().items():
        if name not in others:
            default = setting.field.default
            others[name] = not default if isinstance(default, bool) else default + 1 if default >= 1 else default / 2
            if name in ("seed", "memory.retrieved", "memory.consolidated", "memory.knowledge", "memory.not_clicked"):
                others[name] = 3
            if name.startswith("split") and name != "split.windows":
                others[name] = default - 0.1
    return effective_config(others)


def test_the_file_gives_the_configuration_that_it_was_written_from(tmp_path: Path) -> None:
    config = changed()
    before = flat_parameters(TrainingConfig())
    same = [name for name, value in flat_parameters(config).items() if value == before[name]]
    assert set(same) == {"encoder.name", "vectors_name", "ablate"}
    own_vectors = replace(TrainingConfig(), vectors_name='clip "v1" ä')
    for each in (config, TrainingConfig(), replace(TrainingConfig(), refit=False, ablate=True), own_vectors):
        path = tmp_path / "recmem.toml"
        path.write_text(config_toml(each), encoding="utf-8")
        assert effective_config(path) == each


def test_the_file_has_every_setting_once_with_its_meaning_bounds_default_and_option() -> None:
    text = config_toml(TrainingConfig())
    assert set(flat_parameters(tomllib.loads(text))) == set(all_settings())
    lines = " ".join(line.removeprefix("# ") for line in text.splitlines())
    assert (
        "Leaves of a tree at most (LightGBM's `num_leaves`). A whole number (2 to 4,096). Default: 15. leaves = 15"
        in lines
    )
    assert MAX_LEAVES == 4096
    assert "Default: 0. Option: --seed. seed = 0" in lines
    assert max(map(len, text.splitlines())) <= WIDTH


def test_settings_that_follow_from_others_can_be_left_to_them() -> None:
    written = tomllib.loads(config_toml(TrainingConfig(), automatic=["encoder.pooling"]))
    assert written["encoder"]["pooling"] == "auto"
    assert written["encoder"]["max_tokens"] == 256
    assert written["tuning"]["learning_rate"] == "auto"


@given(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
    )
)
def test_a_value_in_toml_is_read_as_what_it_was(value: Any) -> None:
    found = tomllib.loads(f"value = {toml_value(value)}")["value"]
    assert (tuple(found) if isinstance(found, list) else found) == value
    assert isinstance(found, list) or type(found) is type(value)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (0.001, "0.001"), ((), "[]"), ('a"\x7f', r'"a\"\u007f"')])
def test_values_are_written_as_toml(value: Any, text: str) -> None:
    assert toml_value(value) == text
