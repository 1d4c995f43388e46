"""The command that a report gives, and that it leads to the same configuration."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

import small_training
from feature_store import SignalConfig, Store
from recmem.retrieval.interleave import RetrievalConfig
from recmem.text.encoder import EncoderConfig
from training.config import TrainingConfig
from training.configuration.effective import effective_config
from training.fitting.fit_ranker import RankerConfig
from training.steps.train_command import train_command
from training.tables import Tables


@dataclass(frozen=True)
class RunOf:
    """As much of a run as the command is read from."""

    config: TrainingConfig
    out: Path = field(default_factory=lambda: Path("run").absolute())
    store: Store = field(default_factory=lambda: Store("run/store"))
    tables: Tables = field(default_factory=lambda: Tables("data/items.csv", "data/my events.csv"))


def command_of(config: TrainingConfig, **more: object) -> str:
    return train_command(RunOf(config, **more))  # type: ignore[arg-type]


def assignments_in(command: str) -> list[str]:
    arguments = shlex.split(command.replace("\\\n", ""))
    return [value for option, value in pairwise(arguments) if option == "--set"]


def test_the_command_names_the_tables_and_all_options_of_the_run() -> None:
    config = TrainingConfig(
        encoder=EncoderConfig("my encoders/small"),
        signals=SignalConfig(positive_from=4.5, negative_to=1.0, neutral_events=("view", "add to cart")),
        retrieval=RetrievalConfig(candidates=40, exclude_seen=False),
        seed=7,
    )
    assert command_of(config).replace("\\\n  ", "") == (
        "recmem train --items data/items.csv --events 'data/my events.csv' --out run --encoder 'my encoders/small' "
        "--pooling mean --max-tokens 256 --tune-encoder auto --candidates 40 "
        "--no-exclude-seen --positive-from 4.5 --negative-to 1 --neutral-events 'view,add to cart' --seed 7"
    )


def test_a_store_elsewhere_is_named_without_its_secrets() -> None:
    store = Store("s3://bucket/store")
    store.path = "s3://key:secret@bucket/store?token=1"
    assert "--store s3://bucket/store" in command_of(TrainingConfig(), store=store)
    alone = command_of(TrainingConfig(), tables=Tables())
    assert "--items" not in alone
    assert "--store run/store" in alone


def test_frames_are_marked_as_such() -> None:
    frames = Tables(small_training.items(), pl.DataFrame())
    first, second, *_ = command_of(TrainingConfig(), tables=frames).splitlines()
    assert first == "# ITEMS.parquet, EVENTS.parquet: frames that were given from Python"
    assert second.startswith("recmem train")


def test_the_command_names_folds_and_that_there_is_no_refit() -> None:
    command = command_of(TrainingConfig(refit=False, folds=3))
    assert "--no-refit" in command
    assert "--folds 3" in command


def test_the_command_names_weights_and_position_debiasing() -> None:
    config = TrainingConfig(event_weights=("click=0.2", "add to cart=2"), ranker=RankerConfig(position_debiasing=True))
    command = command_of(config)
    assert "--weight 'click=0.2,add to cart=2'" in command
    assert "--position-debiasing" in command
    assert "--weight" not in command_of(TrainingConfig())
    assert "--position-debiasing" not in command_of(TrainingConfig())


def test_the_command_sets_what_has_no_option_and_is_not_at_its_default() -> None:
    config = TrainingConfig(ranker=RankerConfig(leaves=31), signals=SignalConfig(rating_events=("stars", "how many")))
    assignments = assignments_in(command_of(config))
    assert assignments == ['signals.rating_events=["stars", "how many"]', "ranker.leaves=31"]
    assert effective_config(assignments=assignments) == config


@pytest.mark.parametrize("name", ["buy, later", " spaced", "with 'quotes', too"])
def test_names_that_commas_would_cut_are_set_as_lists(name: str) -> None:
    signals = SignalConfig(
        positive_events=("buy", name), negative_events=(f"{name} too",), neutral_events=(f"{name} three", "view")
    )
    config = TrainingConfig(signals=signals, features=(name, "ctr"), event_weights=(f"{name}=2",))
    command = command_of(config)
    assert not {"--positive-events", "--negative-events", "--neutral-events", "--features", "--weight"} & set(
        shlex.split(command)
    )
    assert effective_config(assignments=assignments_in(command)) == config
