"""Which kinds are switched over, and which together."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from small_ablation import kind
from training.ablation.choice import CHOSEN, chosen_variant, passes_again, to_switch
from training.ablation.kinds import KINDS
from training.ablation.plan import CONTROL, REFERENCE, Plan
from training.ablation.variant import Variant
from training.config import TrainingConfig
from training.configuration.effective import with_values

GIVEN = TrainingConfig()


def plan() -> Plan:
    tried = tuple(
        (each, Variant(each.name, with_values(GIVEN, each.switched(GIVEN)), retrains=each.retrains))
        for each in KINDS
        if each.name in ("retrieved", "ease_text", "text_similarity")
    )
    return Plan(Variant(REFERENCE, GIVEN), Variant(CONTROL, GIVEN), tried, {})


def names(kinds: list) -> list[str]:  # type: ignore[type-arg]
    return [each.name for each in kinds]


def test_one_that_hurts_is_switched_off_and_one_that_helps_on() -> None:
    kinds = [kind("ease_text", -0.01), kind("retrieved", 0.02, was_on=False)]
    assert names(to_switch(kinds, control=0.0)) == ["retrieved", "ease_text"]  # what gains most comes first


def test_one_that_helps_stays_on_and_one_that_hurts_stays_off() -> None:
    kinds = [kind("ease_text", 0.01), kind("retrieved", -0.02, was_on=False)]
    assert to_switch(kinds, control=0.0) == []


@pytest.mark.parametrize("decides", [(-0.02, 0.001), (-1.0, 1.0)])
def test_nothing_is_switched_by_an_interval_that_includes_zero(decides: tuple[float, float]) -> None:
    assert to_switch([kind(difference=-0.01, decides=decides)], control=0.0) == []


@pytest.mark.parametrize(("control", "switched"), [(0.009, ["ease_text"]), (-0.011, []), (0.011, [])])
def test_what_is_switched_gains_more_than_another_seed_changes(control: float, switched: list[str]) -> None:
    assert names(to_switch([kind("ease_text", -0.01)], control=control)) == switched


@pytest.mark.parametrize(
    ("again", "passes"), [(None, False), ((-0.02, -0.001), True), ((-0.02, 0.001), False), ((0.001, 0.02), False)]
)
def test_one_that_is_on_has_to_hurt_with_the_other_seed_too(again: tuple[float, float] | None, passes: bool) -> None:
    assert passes_again(replace(kind("ease_text", -0.01), again=again)) == passes


def test_one_that_is_off_has_to_help_with_the_other_seed_too() -> None:
    helps = kind("retrieved", 0.02, was_on=False)
    assert passes_again(replace(helps, again=(0.001, 0.02)))
    assert not passes_again(replace(helps, again=(-0.02, -0.001)))


def figures(value: float) -> pl.DataFrame:
    return pl.DataFrame({"part": ["validation"], "figure": [value]})


def test_nothing_that_passes_leaves_what_was_given() -> None:
    assert chosen_variant(plan(), [], lambda _: figures(0)) == (plan().reference, set())


def test_one_that_passes_is_chosen_without_further_measurement() -> None:
    def never(variant: Variant) -> pl.DataFrame:
        raise AssertionError(f"measured {variant.name}")

    chosen, switched = chosen_variant(plan(), [kind("retrieved", 0.02, was_on=False)], never)
    assert (chosen.name, switched) == ("retrieved", {"retrieved"})
    assert chosen.config.memory.retrieved == 10


def test_several_that_pass_are_switched_together_if_that_is_better_than_the_best_alone() -> None:
    passed = [kind("ease_text", -0.02), kind("text_similarity", -0.01), kind("retrieved", 0.005, was_on=False)]
    value = {"ease_text": 0.3, CHOSEN: 0.31}
    chosen, switched = chosen_variant(plan(), passed, lambda variant: figures(value[variant.name]))
    assert switched == {"ease_text", "text_similarity", "retrieved"}
    assert chosen.retrains
    assert chosen.config.memory.retrieved == 10
    assert {"ease_text", "similarity_max"} <= set(chosen.config.ranker.leave_out)


def test_several_that_are_worse_together_than_the_best_alone_leave_that_one() -> None:
    passed = [kind("ease_text", -0.02), kind("text_similarity", -0.01)]
    value = {"ease_text": 0.3, CHOSEN: 0.3}
    chosen, switched = chosen_variant(plan(), passed, lambda variant: figures(value[variant.name]))
    assert (chosen.name, switched) == ("ease_text", {"ease_text"})
