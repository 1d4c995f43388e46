"""The ablation of a training: measures each kind, and trains with the kinds that pay on validation.

Every variant is a run in a folder of its own, whose steps are kept under their keys: an ablation that was killed goes
on with the variant that it was at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from feature_store.atomic_files import write_text_atomically
from training.ablation.choice import chosen_variant, passes_again, to_switch
from training.ablation.figures import metric_of
from training.ablation.kinds import Kind
from training.ablation.measure import Measure, StepOf
from training.ablation.plan import Plan, plan_of
from training.ablation.variant import Variant
from training.ablation.worth import deciding_interval, worth_by_part
from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.config_text import value_of
from training.evaluation.ablation import PARTS, VALIDATION, Ablation, KindWorth
from training.evaluation.ledger import Lift
from training.run import Run
from training.steps.report import ABLATION
from training.tracking.tracker import Tracker


def ablate(run: Run, tracker: Tracker, step_of: StepOf, on_plan: Callable[[Plan], None] = lambda _: None) -> Ablation:
    """Measures all kinds, leaves `ablation.json` in `work/ablate`, and gives the run the settings that were chosen.

    It follows the step `tune`. `on_plan` is called before anything is trained. Raises DataError if the log has too few
    queries to choose by.
    """
    plan = plan_of(run)
    on_plan(plan)
    measure = Measure(run, plan.reference, tracker, step_of)
    figures: dict[str, pl.DataFrame] = {}
    with run.progress.stage("Ablation", len(plan.variants)) as advance:
        for variant in plan.variants:
            figures[variant.name] = measure.figures(variant)
            advance(1)

    def figures_of(variant: Variant) -> pl.DataFrame:
        if variant.name not in figures:
            figures[variant.name] = measure.figures(variant)
        return figures[variant.name]

    given = figures[plan.reference.name]
    control = _lifts(given, figures[plan.control.name], run.config.seed)
    kinds = [_kind_worth(kind, plan, given, figures[variant.name]) for kind, variant in plan.tried]
    passed = [
        _measured_again(kind, plan, figures_of) for kind in to_switch(kinds, control=control[VALIDATION].difference)
    ]
    measured_again = {kind.name: kind for kind in passed}
    kinds = [measured_again.get(kind.name, kind) for kind in kinds]
    chosen, switched = chosen_variant(plan, list(filter(passes_again, passed)), figures_of)
    result = Ablation(
        metric=metric_of(run),
        seed=run.config.seed,
        queries={part: int(given.filter(part=part)["figure"].is_not_nan().sum()) for part in PARTS},
        users={part: given.filter(part=part)["user"].n_unique() for part in PARTS},
        figures={part: lift.without for part, lift in control.items()},
        control=control,
        kinds=tuple(replace(kind, is_on=kind.was_on != (kind.name in switched)) for kind in kinds),
        not_tried=plan.not_tried,
        changed=_changes(plan.reference.config, chosen.config),
        chosen=_lifts(given, figures_of(chosen), run.config.seed) if switched else {},
    )
    write_text_atomically(run.folder("ablate") / ABLATION, json.dumps(result.to_document(), indent=2) + "\n")
    _go_on_with(run, chosen)
    return result


def _kind_worth(kind: Kind, plan: Plan, given: pl.DataFrame, switched: pl.DataFrame) -> KindWorth:
    """What a kind is worth, before anything is chosen."""
    config = plan.reference.config
    is_on = kind.is_on(config)
    without, with_ = _in_order(given, switched, is_on=is_on)
    return KindWorth(
        name=kind.name,
        words=kind.words,
        was_on=is_on,
        is_on=is_on,
        retrained=kind.retrains,
        changes=kind.switched(config),
        parts=worth_by_part(without, with_, seed=config.seed),
        decides=deciding_interval(without, with_, n_kinds=len(plan.tried), seed=config.seed),
    )


def _measured_again(kind: KindWorth, plan: Plan, figures_of: Callable[[Variant], pl.DataFrame]) -> KindWorth:
    """The kind with the interval that it has with the control's seed."""
    (variant,) = (variant for tried, variant in plan.tried if tried.name == kind.name)
    switched = figures_of(plan.with_another_seed(variant))
    without, with_ = _in_order(figures_of(plan.control), switched, is_on=kind.was_on)
    again = deciding_interval(without, with_, n_kinds=len(plan.tried), seed=plan.reference.config.seed)
    return replace(kind, again=again)


def _in_order(given: pl.DataFrame, switched: pl.DataFrame, *, is_on: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The figures without and with a kind that is on or off in what was given."""
    return (switched, given) if is_on else (given, switched)


def _lifts(without: pl.DataFrame, with_: pl.DataFrame, seed: int) -> dict[str, Lift]:
    return {part: worth.all for part, worth in worth_by_part(without, with_, seed=seed).items()}


def _changes(given: TrainingConfig, chosen: TrainingConfig) -> Mapping[str, Any]:
    """The settings that differ, with their values as JSON has them."""
    values = {name: value_of(chosen, each) for name, each in all_settings().items()}
    changed = {name: value for name, value in values.items() if value != value_of(given, all_settings()[name])}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def _go_on_with(run: Run, chosen: Variant) -> None:
    """Gives the run the settings of a variant; those of its own encoder are read from the variant's folder."""
    variant = chosen.run_within(run)
    if "tune" in chosen.own_steps(run):
        run.shared["tune"] = variant.folder("tune")
        run.__dict__.pop("tuned", None)
    if chosen.rereads or "tune" in chosen.own_steps(run):
        run.forget()
    run.config = replace(chosen.config, ablate=True)
