"""The outcome of a search in sentences: for the terminal and for the head of `best.toml`."""

from __future__ import annotations

from collections.abc import Iterator

from training.evaluation.intervals import UNKNOWN_INTERVAL, Difference
from training.settings_search.gain import PARTS, Gain
from training.settings_search.study import BASE, Trial

FIGURE = ".4f"
"""NDCG@10 as it is shown here: gains are of the third digit."""


def gain_sentences(base: Trial, best: Trial, n_trials: int, gain: Gain) -> list[str]:
    """What the best trial gains over the base configuration, and how far that can be trusted."""
    return list(_gain_sentences(base, best, n_trials, gain))


def _gain_sentences(base: Trial, best: Trial, n_trials: int, gain: Gain) -> Iterator[str]:
    queries = f"{gain.queries:,} validation queries of {gain.users:,} users"
    trials = "1 trial" if n_trials == 1 else f"{n_trials} trials"
    if best.number == base.number:
        yield (
            f"None of {trials} is better than the base configuration, with NDCG@10 {_figure(base)} on {queries}."
            if n_trials > 1
            else f"Only the base configuration was measured: NDCG@10 {_figure(base)} on {queries}."
        )
        return
    yield (
        f"Best of {trials}: trial {best.number}, with NDCG@10 {_figure(best)} on {queries}; the base configuration "
        f"has {_figure(base)}. Gain: {_difference(gain.best)}."
    )
    yield (
        "The best of many trials owes part of its gain to luck, as it was chosen on these queries. Chosen on "
        f"{_share()} of the users and measured on the others, the gain is {_difference(gain.chosen_elsewhere)}."
    )
    if gain.is_noise:
        yield (
            "Caution: this gain is within the noise. Keep the base configuration, unless `recmem train` shows a gain "
            "on the test too."
        )


def trial_sentence(trial: Trial, best: Trial | None, *, queries: int, left_s: float) -> str:
    """A trial that has ended, and the time that is left, as a line."""
    what = "base configuration" if trial.group == BASE else trial.group
    head = f"Trial {trial.number}, {what}: "
    tail = f" {duration_text(trial.seconds)}; {duration_text(left_s)} left."
    if trial.value is None:
        return f"{head}failed: {trial.cause.rstrip('.')}.{tail}"
    if trial.group == BASE:
        return f"{head}NDCG@10 {_figure(trial)} on {queries:,} validation queries.{tail}"
    if best is None or best.number == trial.number:
        return f"{head}NDCG@10 {_figure(trial)}, the best so far.{tail}"
    return f"{head}NDCG@10 {_figure(trial)} (best: {_figure(best)}, trial {best.number}).{tail}"


def duration_text(seconds: float) -> str:
    """`12 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def value_text(value: float) -> str:
    """A setting's value as the table of changes has it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _figure(trial: Trial) -> str:
    return f"{trial.value:{FIGURE}}"


def _difference(difference: Difference) -> str:
    ends = (difference.low, difference.high)
    interval = (
        "too few users for an interval"
        if ends == UNKNOWN_INTERVAL
        else f"95% interval {ends[0]:+{FIGURE}} to {ends[1]:+{FIGURE}}"
    )
    return f"{difference.difference:+{FIGURE}} ({interval})"


def _share() -> str:
    return f"{(PARTS - 1) / PARTS:.0%}"
