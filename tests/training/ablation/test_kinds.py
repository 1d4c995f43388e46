"""The table of kinds, and what switching one over changes."""

from __future__ import annotations

from operator import attrgetter

import pytest

from recmem.ranking.feature_table import TEXT_FEATURES
from small_ablation import small_run
from training.ablation.kinds import KINDS, Kind
from training.config import TrainingConfig
from training.configuration.effective import with_values

BY_NAME = {kind.name: kind for kind in KINDS}
RETRIEVED = BY_NAME["retrieved"]
EASE = BY_NAME["ease_text"]


def test_kinds_have_names_and_words_of_their_own() -> None:
    assert len(BY_NAME) == len({kind.words for kind in KINDS}) == len(KINDS)


def test_every_text_feature_belongs_to_one_kind() -> None:
    switched = [name for kind in KINDS for name in kind.features if name in TEXT_FEATURES]
    assert sorted(switched) == sorted(TEXT_FEATURES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_features_or_settings_that_can_be_read(kind: Kind) -> None:
    assert bool(kind.features) != bool(kind.off)
    for name in (*kind.on, *kind.off):
        attrgetter(name)(TrainingConfig())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "tuned_encoder"], ids=lambda kind: kind.name)
def test_switching_over_twice_gives_the_same_again(kind: Kind) -> None:
    # The values that it is switched on with: a configuration with others is not restored.
    config = with_values(TrainingConfig(), kind.on)
    switched = with_values(config, kind.switched(config))
    assert kind.is_on(switched) != kind.is_on(config)
    assert with_values(switched, kind.switched(switched)) == config


def test_a_kind_with_another_value_than_that_of_off_is_on() -> None:
    config = with_values(TrainingConfig(), {"memory.retrieved": 3})
    assert RETRIEVED.is_on(config)
    assert RETRIEVED.switched(config) == {"memory.retrieved": 0}


def test_features_that_are_left_out_anyway_stay_so() -> None:
    config = with_values(TrainingConfig(), {"ranker.leave_out": ["popularity"]})
    off = with_values(config, EASE.switched(config))
    assert off.ranker.leave_out == ("popularity", *EASE.features)
    assert with_values(off, EASE.switched(off)).ranker.leave_out == ("popularity",)


def test_a_kind_with_one_of_its_features_left_out_is_on() -> None:
    assert EASE.is_on(with_values(TrainingConfig(), {"ranker.leave_out": [EASE.features[0]]}))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("retrieved", "no user has more than 50 events before the test"),
        ("interests_similarity", "no user has declared interests"),
        ("tuned_encoder", "the text encoder was not tuned"),
        ("ease_text", ""),
    ],
)
def test_a_kind_that_the_data_have_nothing_of_says_so(name: str, reason: str) -> None:
    assert BY_NAME[name].why_not(small_run()) == reason


def test_histories_are_long_where_a_memory_is_short() -> None:
    run = small_run()
    run.config = with_values(run.config, {"memory.recent": 2})
    assert RETRIEVED.why_not(run) == ""
