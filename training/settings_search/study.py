"""The trials of a search in Optuna's database, which a later call goes on with.

A trial changes the settings of one group; those of the other groups are the best trial's so far, so that what these
settings gave is used again. After each `RANKER_TRIALS` trials of the rankers alone there is one of the match module.
Within a group, values are drawn by TPE, which models the settings together. What is drawn depends on the seed and the
completed trials only: a search that is ended and resumed finds what one call would have found.

No trial is ended early: no step on the way to the figure gives an earlier one that could be compared between trials
(the match module's loss depends on how many negatives it is given).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.extras import install_command
from training.settings_search.search_space import Dimension

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DATABASE = "tuning.db"
BASE = "base"
"""The group of the first trial: the configuration that the search was begun with."""
RANKER_TRIALS = 3
"""Trials of the rankers for each of the match module, which takes several times as long."""
RANDOM_TRIALS = 8
"""So many trials are drawn at random before TPE has enough to go by."""
_NAME = "recmem tune"
_IDENTITY = "identity"
_SEEDS = 2**32


class MissingOptunaError(ImportError):
    """Optuna is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "optuna: expected it to be installed, which recmem tune searches with, got no module of that name. "
            f"Run {install_command('tune')}."
        )


@dataclass(frozen=True)
class Trial:
    """A completed or failed trial."""

    number: int
    group: str
    """`base`, or the group whose settings it changed."""
    settings: dict[str, float]
    """The values of the settings that are searched, by name."""
    value: float | None
    """NDCG@10 on the validation queries; None if it failed."""
    ships: str
    seconds: float
    cause: str
    """Why it failed; empty if it did not."""
    ranking_s: float = 0.0
    """Seconds of its rankers alone."""


@dataclass(frozen=True)
class Proposal:
    """A trial that has begun: `Study.complete`, `refuse` or `abandon` ends it."""

    number: int
    group: str
    settings: dict[str, float]
    begun: optuna.Trial
    """As Optuna has it."""


class Study:
    """The trials of a search; open one with `opened`."""

    def __init__(
        self,
        study: optuna.Study,
        dimensions: Sequence[Dimension],
        base: Mapping[str, float],
        groups: Sequence[str],
        seed: int,
    ) -> None:
        self._study = study
        self._dimensions = dimensions
        self._base = dict(base)
        self._groups = groups
        self._seed = seed

    @classmethod
    @contextmanager
    def opened(
        cls,
        folder: Path,
        dimensions: Sequence[Dimension],
        base: Mapping[str, float],
        groups: Sequence[str],
        seed: int,
    ) -> Iterator[Study]:
        """The study in the folder, a new one if there is none. Trials that a killed search left behind are failed.

        `base` are the base configuration's values of the settings in `dimensions`, of which those in `groups` are
        searched. Raises MissingOptunaError.
        """
        optuna = require_optuna()
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / DATABASE}")
        try:
            study = optuna.create_study(study_name=_NAME, storage=storage, direction="maximize", load_if_exists=True)
            for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            yield cls(study, dimensions, base, groups, seed)
        finally:
            storage.engine.dispose()
            optuna.logging.set_verbosity(before)

    @property
    def identity(self) -> dict[str, Any]:
        """What `set_identity` was given; empty for a new study."""
        identity: dict[str, Any] = self._study.user_attrs.get(_IDENTITY, {})
        return identity

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Notes what a later call must have in common with this one."""
        self._study.set_user_attr(_IDENTITY, dict(identity))

    def trials(self) -> list[Trial]:
        """All completed trials, and those that failed for a cause of their own, in their order."""
        found = (_trial(trial) for trial in self._study.get_trials(deepcopy=False))
        return [trial for trial in found if trial.value is not None or trial.cause]

    def completed(self) -> list[Trial]:
        """The completed trials."""
        return [trial for trial in self.trials() if trial.value is not None]

    def best(self) -> Trial | None:
        """The completed trial with the highest figure, the first of equals; None if there is none."""
        return max(self.completed(), key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def next_group(self) -> str:
        """What the next trial changes."""
        if not self.completed():
            return BASE
        if len(self._groups) == 1:
            return self._groups[0]
        return "match" if len(self.trials()) % (RANKER_TRIALS + 1) == 0 else "ranker"

    def propose(self, group: str) -> Proposal:
        """Begins a trial of the group."""
        optuna = require_optuna()
        best = self.best()
        held = self._base if best is None else {name: best.settings.get(name, self._base[name]) for name in self._base}
        fixed = {each.setting: held[each.setting] for each in self._dimensions if each.group != group}
        # Drawn anew for each trial, so that a resumed search draws what the search would have drawn.
        seed = (self._seed * 1_000_003 + len(self.trials())) % _SEEDS
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=RANDOM_TRIALS, seed=seed)
            self._study.sampler = optuna.samplers.PartialFixedSampler(fixed, sampler)
            trial = self._study.ask({each.setting: each.distribution() for each in self._dimensions})
        drawn = {
            each.setting: fixed.get(each.setting, each.rounded(trial.params[each.setting])) for each in self._dimensions
        }
        trial.set_user_attr("group", group)
        trial.set_user_attr("settings", drawn)
        return Proposal(trial.number, group, drawn, trial)

    def complete(self, proposal: Proposal, value: float, *, ships: str, seconds: float, ranking_s: float) -> Trial:
        """Ends a trial with its figure."""
        for name, noted in (("ships", ships), ("seconds", seconds), ("ranking_s", ranking_s)):
            proposal.begun.set_user_attr(name, noted)
        return _trial(self._study.tell(proposal.begun, value))

    def refuse(self, proposal: Proposal, cause: str, *, seconds: float) -> Trial:
        """Ends a trial that cannot be measured; it is not tried again."""
        for name, noted in (("cause", cause), ("seconds", seconds)):
            proposal.begun.set_user_attr(name, noted)
        return _trial(self._study.tell(proposal.begun, state=require_optuna().trial.TrialState.FAIL))

    def abandon(self, proposal: Proposal) -> None:
        """Ends a trial that was interrupted; a later call tries it again."""
        self._study.tell(proposal.begun, state=require_optuna().trial.TrialState.FAIL)

    def importances(self) -> dict[str, float]:
        """Share of the figures' variation that each setting accounts for, largest first; they sum to 1.

        fANOVA (Hutter et al., 2014): Optuna's default, PED-ANOVA, is misled by settings that are held for many trials.
        Empty where there are too few trials to say.
        """
        optuna = require_optuna()
        if len(self.completed()) < RANDOM_TRIALS:
            return {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
                found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except (RuntimeError, ValueError):  # all figures are equal, say
            return {}
        return {name: float(share) for name, share in found.items()}


def require_optuna() -> Any:
    """The module `optuna`. Raises MissingOptunaError if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MissingOptunaError from error
    return optuna


def _trial(trial: FrozenTrial) -> Trial:
    noted = trial.user_attrs
    return Trial(
        number=trial.number,
        group=noted.get("group", ""),
        settings=noted.get("settings", {}),
        value=trial.value if trial.state.name == "COMPLETE" else None,
        ships=noted.get("ships", ""),
        seconds=noted.get("seconds", 0.0),
        cause=noted.get("cause", ""),
        ranking_s=noted.get("ranking_s", 0.0),
    )
