"""`recmem.RecmemFeatures`: the match features as a scikit-learn transformer, cross-fitted for training rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from feature_store import DataError
from feature_store.arrays import Float32Array
from recmem.serving.frames import column_names, to_polars
from recmem.serving.loading import load
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS
from training.cross_fit.windows import FoldConfig
from training.training_features import TrainingFeatures, training_features

if TYPE_CHECKING:
    from training.configuration.effective import ConfigInput
    from training.tables import TableInput

_LOG = logging.getLogger("recmem")
_ROWS = ("user_id", "item_id", "timestamp")


class RecmemFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Adds what the match knows of (user, item, time) rows to a ranker of your own.

    `fit_transform` gives the rows that a ranker is fitted on their cross-fitted features, each from a match module that
    has not seen the row: see `recmem.training_features`. `transform` gives new rows the features of the model that has
    learned from the whole log, as `Model.match` does. As with scikit-learn's TargetEncoder, `fit_transform(X)` is
    therefore not `fit(X).transform(X)`: the latter would be in sample, and warns.

    Rows are polars or pandas frames or Arrow tables with `user_id`, `item_id` and `timestamp` (for new rows it may be
    left out: now); other columns are left alone. The result is float32[row, feature], or a frame: see `set_output`.

    What is learned lies as files in `out`, not in the transformer: pickled or copied, it holds the path alone.

    >>> match = recmem.RecmemFeatures(items, events, out="run").set_output(transform="polars")  # doctest: +SKIP
    >>> train_columns = match.fit_transform(train_rows)  # doctest: +SKIP
    >>> new_columns = match.transform(new_rows)  # doctest: +SKIP

    The arguments are those of `recmem.training_features`. Fitted, it has `bundle_`, the folder of the model that
    serves, and `feature_names_in_`.
    """

    def __init__(
        self,
        items: TableInput | None = None,
        events: TableInput | None = None,
        *,
        impressions: TableInput | None = None,
        vectors: TableInput | None = None,
        vectors_name: str | None = None,
        out: str | os.PathLike[str] | None = None,
        store: str | os.PathLike[str] | None = None,
        config: ConfigInput | None = None,
        encoder: str | os.PathLike[str] | None = None,
        pooling: str | None = None,
        max_tokens: int | None = None,
        text_prefix: str | None = None,
        folds: int = FoldConfig.folds,
        positive_from: float | None = None,
        negative_to: float | None = None,
        positive_events: Sequence[str] | None = None,
        negative_events: Sequence[str] | None = None,
        neutral_events: Sequence[str] | None = None,
        weight: Mapping[str, float] | None = None,
        seed: int | None = None,
    ) -> None:
        self.items = items
        self.events = events
        self.impressions = impressions
        self.vectors = vectors
        self.vectors_name = vectors_name
        self.out = out
        self.store = store
        self.config = config
        self.encoder = encoder
        self.pooling = pooling
        self.max_tokens = max_tokens
        self.text_prefix = text_prefix
        self.folds = folds
        self.positive_from = positive_from
        self.negative_to = negative_to
        self.positive_events = positive_events
        self.negative_events = negative_events
        self.neutral_events = neutral_events
        self.weight = weight
        self.seed = seed

    def fit(self, X: Any, y: object = None) -> RecmemFeatures:  # noqa: N803 - scikit-learn's name
        """Fits the folds on the log, and leaves the model that serves in `bundle_`. `X` and `y` teach it nothing.

        Raises DataError for rows, tables or settings that cannot be used, see `recmem.training_features`.
        """
        # Without rows: only their columns are checked.
        self._fit(to_polars(X, "X", wanted=_ROWS).clear(), X)
        return self

    def fit_transform(self, X: Any, y: object = None) -> Float32Array:  # noqa: N803
        """Fits, and gives each row its cross-fitted features; NaN where no module had learned by the row's time.

        float32[row, feature]. Raises DataError as `fit` does.
        """
        found = self._fit(X, X)
        features = _array(found.frame)
        if found.n_without:
            _LOG.warning(
                f"{found.n_without:,} of {len(features):,} rows are older than the first fold: their learned match "
                "features are missing."
            )
        return features

    def transform(self, X: Any) -> Float32Array:  # noqa: N803
        """The features of new rows, from the model that has learned from the whole log: float32[row, feature].

        Rows without a timestamp are read as of just after the log. Rows that the model has learned from are counted in
        a warning. Raises DataError for rows that `Model.match` refuses, scikit-learn's NotFittedError before `fit`.
        """
        check_is_fitted(self, "bundle_")
        to_polars(X, "X", wanted=_ROWS)  # so that an error calls the rows X
        return _array(self.model().match(X))

    def model(self) -> Model:
        """The model that serves, loaded on first use. Raises NotFittedError before `fit`."""
        check_is_fitted(self, "bundle_")
        if "_loaded" not in vars(self):
            self._loaded = load(self.bundle_)
        return self._loaded

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """The names of the columns that `transform` gives; they do not depend on the input."""
        del input_features
        return np.array(MATCH_OUTPUTS, dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        state = cast(dict[str, Any], super().__getstate__())
        # Read again from `bundle_`: nothing that was learned is pickled.
        return {name: value for name, value in state.items() if name != "_loaded"}

    def _fit(self, rows: Any, given: Any) -> TrainingFeatures[Any]:
        """Fits the folds, and gives `rows` their features; `given` is what the caller passed."""
        if self.out is None:
            raise DataError("out: expected a folder, got none. Give one: what is learned lies there as files.")
        settings: dict[str, Any] = dict(self.get_params(deep=False))
        found = training_features(rows, settings.pop("items"), settings.pop("events"), **settings)
        self.bundle_ = str(found.bundle)
        self.feature_names_in_ = np.array(column_names(given), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.__dict__.pop("_loaded", None)
        return found


def _array(frame: object) -> Float32Array:
    """The match features of a frame that has them: float32[row, feature], NaN for null."""
    features = to_polars(frame, "X", wanted=MATCH_OUTPUTS).select(pl.col(MATCH_OUTPUTS).cast(pl.Float32))
    return np.ascontiguousarray(features.fill_null(np.nan).to_numpy())
