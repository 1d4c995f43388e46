"""What an ablation measures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from small_ablation import small_run
from training.ablation.plan import CONTROL, REFERENCE, plan_of
from training.configuration.effective import with_values
from training.run import Run


@pytest.fixture
def run() -> Run:
    return small_run()


def test_a_plan_has_what_was_given_and_each_kind_switched_over_and_another_seed(run: Run) -> None:
    plan = plan_of(run)
    assert [variant.name for variant in plan.variants] == [
        REFERENCE,
        "learned_match",
        "text_similarity",
        "ease_text",
        CONTROL,
    ]
    given = replace(run.config, ablate=False)
    assert plan.reference.config == given
    assert plan.control.config == replace(given, seed=1)
    without_match = dict((kind.name, variant) for kind, variant in plan.tried)["learned_match"]
    assert without_match.config == with_values(given, {"ranker.leave_out": ["match_raw", "match_prior"]})


def test_only_what_was_given_and_the_control_train_a_match_module_where_all_kinds_are_features(run: Run) -> None:
    assert plan_of(run).n_modules == 2


def test_kinds_that_share_pairs_are_measured_before_those_that_have_others(run: Run) -> None:
    run.config = with_values(run.config, {"memory.recent": 2})
    plan = plan_of(run)
    assert [variant.retrains for variant in plan.variants] == [True, False, False, False, True, True]
    assert plan.variants[4].config.memory.retrieved == 10


def test_other_kinds_are_named_with_the_reason(run: Run) -> None:
    assert plan_of(run).not_tried == {
        "retrieved older events as slots": "no user has more than 50 events before the test",
        "tuned text encoder": "the text encoder was not tuned",
        "similarity to declared interests": "no user has declared interests",
    }


def test_a_kind_that_the_other_settings_forbid_says_so(run: Run) -> None:
    run.config = with_values(run.config, {"memory.recent": 4, "memory.retrieved_from": 5})
    reason = plan_of(run).not_tried["retrieved older events as slots"]
    assert reason.startswith("the other settings do not allow it (memory.retrieved_from: expected at least")


def test_the_control_of_another_seed_is_its_neighbour(run: Run) -> None:
    run.config = replace(run.config, seed=4)
    assert plan_of(run).control.config.seed == 3
