"""An ablation in sentences and rows, for the report and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from training.evaluation.ablation import ALL, PARTS, TEST, VALIDATION, Ablation, KindWorth
from training.evaluation.ledger import Lift
from training.report.labels import metric_label, slice_label
from training.report.number_text import figure_text, interval_text, signed_text

DIGITS = 4
"""Of differences: a kind is often worth a few thousandths."""
_WHERE = {VALIDATION: "on validation", TEST: "on the test"}


@dataclass(frozen=True)
class AblationRow:
    """A kind as a row of a table."""

    kind: KindWorth
    validation: Lift
    """With the interval that decides."""
    test: Lift

    @property
    def chosen(self) -> str:
        """Whether the training goes on with it: "on", "off", or that it was switched."""
        words = "on" if self.kind.is_on else "off"
        return f"switched {words}" if self.kind.is_switched else words

    @property
    def how(self) -> str:
        """What was trained to measure it."""
        return "match module and ranker trained anew" if self.kind.retrained else "ranker fitted anew"


def ablation_rows(ablation: Ablation) -> list[AblationRow]:
    """The kinds in the order in which they were tried."""
    return [
        AblationRow(kind, replace(kind.parts[VALIDATION].all, ci95=kind.decides), kind.parts[TEST].all)
        for kind in ablation.kinds
    ]


def ablation_slices(ablation: Ablation) -> dict[str, str]:
    """The parts of the test that a kind has figures of, in order, with their names for people."""
    found = dict.fromkeys(name for kind in ablation.kinds for name in kind.parts[TEST].slices if name != ALL)
    return {name: slice_label(name) for name in found}


def ablation_sentences(ablation: Ablation) -> list[str]:
    """What was measured, what was chosen and why, and what it is worth."""
    return [sentence for sentence in _sentences(ablation) if sentence]


def choice_sentence(ablation: Ablation) -> str:
    """What the training goes on with, as one sentence."""
    if not ablation.switched:
        with_both = " with both seeds" if any(kind.again is not None for kind in ablation.kinds) else ""
        return (
            f"Nothing was switched over: on validation, no kind is significantly worse than its alternative{with_both}."
        )
    named = {word: [kind.words for kind in ablation.switched if kind.is_on == (word == "on")] for word in ("on", "off")}
    parts = [f"{' and '.join(words)} {word}" for word, words in named.items() if words]
    return f"Switched over, since that pays on validation: {', '.join(parts)}."


def _sentences(ablation: Ablation) -> Iterator[str]:
    metric = metric_label(ablation.metric)
    n_kinds = len(ablation.kinds)
    counts = " and ".join(
        f"{ablation.queries[part]:,} queries of {ablation.users[part]:,} users {_WHERE[part]}" for part in PARTS
    )
    if not n_kinds:
        yield "No kind of memory or of text features could be switched over on this data."
    else:
        kinds = "One kind" if n_kinds == 1 else f"{n_kinds} kinds"
        yield (
            f"{kinds} of memory and of text features switched over, one at a time. Worth: {metric} with it minus "
            f"without it, of the ranker with text features, on {counts}."
        )
    yield choice_sentence(ablation)
    yield _gain(ablation, metric)
    control = ablation.control[VALIDATION].difference
    of_test = ablation.control[TEST].difference
    yield (
        "Validation alone decides, by intervals that hold together for all kinds "
        f"({100 - 5 / max(n_kinds, 1):.1f}% each). What is switched must also gain more than chance makes of a "
        f"training: with another seed, {metric} changes by {signed_text(control, DIGITS)} on validation and by "
        f"{signed_text(of_test, DIGITS)} on the test. It must also pass with that seed."
    )
    for kind in ablation.kinds:
        if kind.again is not None and not kind.is_switched:
            yield f"With the other seed, the interval of {kind.words} is {interval_text(kind.again, DIGITS)}."
    if ablation.not_tried:
        reasons = "; ".join(f"{words} ({reason})" for words, reason in ablation.not_tried.items())
        yield f"Not tried: {reasons}."


def _gain(ablation: Ablation, metric: str) -> str:
    if not ablation.chosen:
        return ""
    changes = " and ".join(
        f"from {figure_text(lift.without)} to {figure_text(lift.with_)} {_WHERE[part]} "
        f"({signed_text(lift.difference, DIGITS)}, 95% interval: {interval_text(lift.ci95, DIGITS)})"
        for part, lift in ablation.chosen.items()
    )
    settings = ", ".join(f"{name} = {_value(value)}" for name, value in ablation.changed.items())
    return f"So {metric} goes {changes}. Settings: {settings}."


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
