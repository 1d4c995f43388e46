"""What an ablation measures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from small_ablation import small_run
from training.ablation.kinds import KINDS
from training.ablation.plan import CONTROL, REFERENCE, plan_of
from training.configuration.effective import with_values
from training.run import Run


@pytest.fixture
def run() -> Run:
    return small_run()


def test_a_plan_has_what_was_given_and_each_kind_switched_over_and_another_seed(run: Run) -> None:
    plan = plan_of(run)
    names = [variant.name for variant in plan.variants]
    assert names[0] == REFERENCE
    assert names[1:-1] == [kind.name for kind, _ in plan.tried]
    assert {"learned_match", "text_similarity", "ease_text"} <= set(names)
    assert names[-1] == CONTROL
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
    assert [variant.name for variant in plan.variants if variant.retrains][1] == "retrieved"
    tried = [variant.retrains for _, variant in plan.tried]
    assert tried == sorted(tried)
    assert tried[0] != tried[-1]
    (retrieved,) = (variant for kind, variant in plan.tried if kind.name == "retrieved")
    assert retrieved.config.memory.retrieved == 10


def test_other_kinds_are_named_with_the_reason(run: Run) -> None:
    plan = plan_of(run)
    assert plan.not_tried["retrieved older events as slots"] == "no user has more than 50 events before the test"
    assert plan.not_tried["tuned text encoder"] == "the text encoder was not tuned"
    assert {kind.words for kind in KINDS} == {*plan.not_tried, *(kind.words for kind, _ in plan.tried)}


def test_a_kind_that_the_other_settings_forbid_says_so(run: Run) -> None:
    run.config = with_values(run.config, {"memory.recent": 4, "memory.retrieved_from": 5})
    reason = plan_of(run).not_tried["retrieved older events as slots"]
    assert reason.startswith("the other settings do not allow it (memory.retrieved_from: expected at least")


def test_the_control_of_another_seed_is_its_neighbour(run: Run) -> None:
    run.config = replace(run.config, seed=4)
    assert plan_of(run).control.config.seed == 3


def test_with_another_seed_a_kind_of_features_has_the_controls_match_module(run: Run) -> None:
    run.config = with_values(run.config, {"memory.recent": 2})
    plan = plan_of(run)
    tried = dict((kind.name, variant) for kind, variant in plan.tried)
    for name, match_of in (("ease_text", plan.control), ("retrieved", None)):
        again = plan.with_another_seed(tried[name])
        assert again.config == replace(tried[name].config, seed=1)
        assert again.name == f"{name}-control"
        assert again.match_of == match_of
