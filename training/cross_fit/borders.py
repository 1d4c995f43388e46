"""How the windows meet: the same pairs, scored by the modules on both sides of a border.

The pairs are those of the window after the border. Neither module has learned from them: the earlier one has learned up
to the border before, the later one up to this border. If the mean calibrated score differs, a ranker that is fitted on
rows of both windows would see a jump that is not in the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.arrays import Float32Array
from recmem.dataset.query_batch import QueryBatch
from training.cross_fit.chain import Chain, WindowPairs
from training.cross_fit.row_features import CrossFitted


@dataclass(frozen=True)
class Border:
    """A border between two windows."""

    time: int
    """Microseconds: the later module has learned up to here."""
    n_pairs: int
    before: float
    """Mean calibrated score of the pairs by the earlier window's module."""
    after: float
    """Mean calibrated score of the same pairs by the later window's module, which scores such rows."""

    @property
    def jump(self) -> float:
        """How much higher the mean calibrated score is behind the border, for the same pairs."""
        return self.after - self.before


def borders(chain: Chain, fitted: CrossFitted) -> list[Border]:
    """The borders between windows that pairs of the log lie behind, in order of time; it takes three modules for one.

    The newest module has no pairs to score yet: its rows are still to come.
    """
    found = []
    for number, window in enumerate(chain.windows[2:], start=1):
        earlier = _scores(fitted, number - 1, window)
        later = _scores(fitted, number, window)
        if len(later):
            found.append(
                Border(
                    time=fitted.modules[number].until,
                    n_pairs=len(later),
                    before=float(earlier.mean()),
                    after=float(later.mean()),
                )
            )
    return found


def _scores(fitted: CrossFitted, number: int, window: WindowPairs) -> Float32Array:
    """The calibrated score that a module gives each pair of a window."""
    batch = QueryBatch.of(fitted.dataset, window.queries.users, window.queries.times)
    features = fitted.matchers[number].pair_features(batch.histories, window.data.pairs.candidates)
    return fitted.modules[number].calibration.probability(features["match_raw"])
