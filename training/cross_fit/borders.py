"""How the folds meet: the same pairs, scored by the modules on both sides of a border.

The pairs are those of the window after the border. Neither module has learned from them: the earlier one has learned up
to the border before, the later one up to this border. If the mean calibrated score differs, a ranker that is fitted on
rows of both folds would see a jump that is not in the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.arrays import Float32Array
from recmem.dataset.query_batch import QueryBatch
from training.cross_fit.chain import Chain, WindowPairs
from training.cross_fit.row_features import CrossFitted


@dataclass(frozen=True)
class Border:
    """A border between two folds."""

    time: int
    """Microseconds: the later module has learned up to here."""
    n_pairs: int
    positive_rate: float
    """Share of the pairs that are positives."""
    before: float
    """Mean calibrated score of the pairs by the earlier fold."""
    after: float
    """Mean calibrated score of the same pairs by the later fold, which is the one that scores such rows."""

    @property
    def jump(self) -> float:
        """How much higher the mean calibrated score is behind the border, for the same pairs."""
        return self.after - self.before


def borders(chain: Chain, fitted: CrossFitted) -> list[Border]:
    """The borders between folds that pairs of the log lie behind, in order of time; empty with fewer than three folds.

    The newest fold has no pairs behind it yet: what it scores is still to come.
    """
    found = []
    for number, window in enumerate(chain.windows[2:], start=1):
        earlier = _scores(fitted, number - 1, window)
        later = _scores(fitted, number, window)
        if len(later):
            labels = window.data.labels
            found.append(
                Border(
                    time=fitted.folds[number].until,
                    n_pairs=len(labels),
                    positive_rate=float(labels.mean()),
                    before=float(earlier.mean()),
                    after=float(later.mean()),
                )
            )
    return found


def _scores(fitted: CrossFitted, number: int, window: WindowPairs) -> Float32Array:
    """The calibrated score that a fold gives each pair of a window."""
    batch = QueryBatch.of(fitted.dataset, window.queries.users, window.queries.times)
    features = fitted.matchers[number].pair_features(batch.histories, window.data.pairs.candidates)
    return fitted.folds[number].calibration.probability(features["match_raw"])
