"""The configuration that a training takes: what overrides what, and every fault of every source at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feature_store import DataError
from recmem.text.encoder import EncoderConfig
from training.config import TrainingConfig
from training.configuration.all_settings import option_name
from training.configuration.effective import effective_config
from training.configuration.given_settings import ConfigError

FAULTY = """
seed = -3
encoder = "e5"
refit = "no"
xyzzy = 1

[ranker]
leavs = 31
rounds = "many"
smoothing = 4

[rankr]
leaves = 4

[memory]
recent = 0
retrieved = 9
retrieved_from = 4

[split]
ranker_from = 0.95

[signals]
negative_to = 5
negative_events = "skip"

[covisitation]
half_lives = [1, 2, 3]

[tuning]
learning_rate = "fast"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recmem.toml"
    path.write_text(text)
    return path


def faults_of(config: Any, *assignments: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        effective_config(config, assignments=assignments, options=options, label=option_name)
    return str(refused.value).splitlines()


def test_without_anything_given_all_are_the_defaults(tmp_path: Path) -> None:
    assert effective_config() == TrainingConfig()
    assert effective_config(write(tmp_path, "")) == TrainingConfig()


def test_an_option_overrides_set_which_overrides_the_file_which_overrides_the_default(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 1\nfolds = 2\n[ranker]\nleaves = 15\nrounds = 50\n[retrieval]\ncandidates = 20\n")
    config = effective_config(path, assignments=["seed=2", "ranker.leaves=31"], options={"seed": 3, "candidates": None})
    assert (config.seed, config.folds) == (3, 2)
    assert (config.ranker.leaves, config.ranker.rounds, config.ranker.l2) == (31, 50, 10.0)
    assert config.retrieval.candidates == 20
    assert effective_config(path, assignments=["seed=2"]).seed == 2


def test_an_option_can_bring_back_a_default_that_the_file_has_changed(tmp_path: Path) -> None:
    path = write(tmp_path, 'refit = false\n[tuning]\nkind = "full"\nlearning_rate = 1e-4\n')
    config = effective_config(path, assignments=["tuning.learning_rate=auto"], options={"refit": True})
    assert config.refit
    assert config.tuning.learning_rate is None
    assert effective_config(path, options={"tune_encoder": "auto"}).tuning.kind == "auto"


def test_a_dict_may_be_nested_or_have_names_with_dots() -> None:
    nested = effective_config({"seed": 3, "match": {"batch": {"queries": 32}}, "covisitation": {"half_lives": [3, 9]}})
    dotted = effective_config({"seed": 3, "match.batch.queries": 32, "covisitation.half_lives": (3.0, 9.0)})
    assert nested == dotted
    assert nested.match.batch.queries == 32
    assert type(nested.covisitation.half_lives[0]) is float


def test_all_faults_of_a_file_are_reported_at_once_with_the_nearest_names(tmp_path: Path) -> None:
    assert faults_of(write(tmp_path, FAULTY)) == [
        "seed (recmem.toml): expected 0 to 2,147,483,647, got -3. The default is 0.",
        "encoder (recmem.toml): expected a section with settings such as encoder.name, got 'e5'. `recmem config` lists "
        "all settings.",
        "refit (recmem.toml): expected true or false, got 'no'. The default is true.",
        "xyzzy (recmem.toml): expected the name of a setting, got an unknown one. `recmem config` lists all settings.",
        "ranker.leavs (recmem.toml): expected the name of a setting, got an unknown one. Did you mean ranker.leaves?",
        "ranker.rounds (recmem.toml): expected a whole number (1 to 50,000), got 'many'. The default is 150.",
        "ranker.smoothing (recmem.toml): expected an odd whole number (1 to 9,999), got 4. The default is 21.",
        "rankr.leaves (recmem.toml): expected the name of a setting, got an unknown one. Did you mean ranker.leaves?",
        "memory.recent (recmem.toml): expected 1 to 200, got 0. Only 200 events are read for a query.",
        "signals.negative_events (recmem.toml): expected a list of names of events, got 'skip'. The default is [].",
        "covisitation.half_lives (recmem.toml): expected a list of 2 numbers, each 1e-06 to 1,000,000,000,000, got "
        "[1.0, 2.0, 3.0]. The default is [3.0, 20.0].",
        "tuning.learning_rate (recmem.toml): expected a number (more than 0 and at most 10) or \"auto\", got 'fast'. "
        "Try 1e-4.",
        # What is wrong with two settings together is found although others are wrong by themselves.
        "signals.negative_to (recmem.toml): expected less than signals.positive_from (4.0), got 5.0. Leave room for "
        "neutral ratings between the two.",
        "memory.retrieved_from (recmem.toml): expected at least retrieved (9), got 4. Raise it.",
        "split.ranker_from (recmem.toml): expected less than split.test_from (0.9), got 0.95. Give shares of the "
        "events.",
    ]


def test_faults_of_file_set_and_options_are_reported_together_each_with_its_source(tmp_path: Path) -> None:
    found = faults_of(write(tmp_path, "seed = -1\n"), "ranker.leaves=x", pooling="max", folds=8)
    assert [fault.partition(": expected")[0] for fault in found] == [
        "seed (recmem.toml)",
        "ranker.leaves (--set)",
        "--pooling",
        "--folds",
    ]


def test_what_is_wrong_with_a_pair_names_each_as_it_was_given() -> None:
    assert faults_of({"signals.positive_from": 2.0}, negative_to=3.0) == [
        "--negative-to: expected less than signals.positive_from (2.0), got 3.0. Leave room for neutral ratings "
        "between the two."
    ]
    assert faults_of({"ranker.rounds": 40_000}, "tree_members=2") == [
        "ranker.rounds, tree_members (--set): expected at most 50,000 trees together, got 40000 x 2. Lower one of them."
    ]


def test_a_conflict_with_a_value_that_was_refused_is_not_reported() -> None:
    assert [fault.partition(":")[0] for fault in faults_of({"split.test_from": 2.0, "split.ranker_from": 0.95})] == [
        "split.test_from"
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, None, [], {}, {"a": 1}, b"1", "1"])
def test_a_value_of_another_kind_is_refused(value: Any) -> None:
    (found,) = faults_of({"ranker.leaves": value})
    assert found.startswith("ranker.leaves")
    assert ": expected" in found


def test_pooling_and_length_are_the_encoders_own_unless_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    own = effective_config(options={"encoder": tmp_path})
    given = effective_config(
        {"encoder": {"name": str(tmp_path), "pooling": "mean"}}, assignments=["encoder.max_tokens=64"]
    )
    auto = effective_config({"encoder": {"name": str(tmp_path), "pooling": "auto", "max_tokens": "auto"}})
    assert own.encoder == auto.encoder == EncoderConfig(str(tmp_path), pooling="cls", max_tokens=128)
    assert given.encoder == EncoderConfig(str(tmp_path), pooling="mean", max_tokens=64)


def test_an_encoder_that_is_not_there_is_refused_once_the_settings_are_right(tmp_path: Path) -> None:
    missing = str(tmp_path / "nope")
    with pytest.raises(DataError, match="encoder: expected a local folder or a Hugging Face id"):
        effective_config({"encoder.name": missing})
    assert len(faults_of({"encoder.name": missing, "seed": -1})) == 1


def test_options_may_be_texts() -> None:
    config = effective_config(
        options={"seed": "3.0", "refit": "false", "encoder": "all-MiniLM-L6-v2"}, options_are_text=True
    )
    assert (config.seed, config.refit) == (3, False)
