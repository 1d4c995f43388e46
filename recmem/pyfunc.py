"""The registered model as MLflow's Python function, from this code: nothing is pickled.

`training.tracking.registry` logs this file with a bundle as its artifact; MLflow runs it when `models:/recmem@champion` is
loaded as a pyfunc. In Python, `recmem.load("models:/recmem@champion")` gives more than a pyfunc can.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

import recmem
from feature_store import DataError

if TYPE_CHECKING:
    from recmem.serving.model import Model

OUTPUTS = ("rank", "match")
"""What `params["output"]` can ask for."""


class PyfuncModel(PythonModel):
    """Candidates as a pandas frame in, the same rows in the same order out, with their scores."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._lock = Lock()  # a model server asks from several threads

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the bundle at once, so that the first request does not wait for it."""
        self._model(context, store="")

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The candidates with the match columns, and with `score` and `rank` unless only the match is asked for.

        `model_input` has the columns of `recmem.Model.rank`; they and the index come back as they came. MLflow hands
        over the signature's columns alone: `candidates.join(result[["score", "rank"]])` has the others, if the index is
        unique.
        `params`: `output`, "rank" or "match"; `store`, another feature store than the bundle's own.
        """
        asked = {"output": "rank", "store": "", **(params or {})}
        if asked["output"] not in OUTPUTS:
            expected = " or ".join(OUTPUTS)
            raise DataError(f"params.output: expected {expected}, got {asked['output']!r}. Leave it out for rank.")
        model = self._model(context, store=str(asked["store"]))
        candidates = _to_polars(model_input)
        scored = model.rank(candidates) if asked["output"] == "rank" else model.match(candidates)
        added = scored.select(name for name in scored.columns if name not in candidates.columns)
        return pd.concat([model_input, added.to_pandas().set_index(model_input.index)], axis=1)

    def _model(self, context: PythonModelContext, *, store: str) -> Model:
        """The bundle with this store, loaded once."""
        with self._lock:
            if store not in self._models:
                device = (context.model_config or {}).get("device", "auto")
                self._models[store] = recmem.load(context.artifacts["bundle"], store=store or None, device=device)
            return self._models[store]


def _to_polars(frame: pd.DataFrame) -> pl.DataFrame:
    # Times without their zone, in UTC: how recmem reads them, and Arrow warns about zones under pandas 3.
    zoned = frame.select_dtypes("datetimetz").columns
    plain = frame.assign(**{name: frame[name].dt.tz_convert(None) for name in zoned})
    try:
        return pl.DataFrame(pa.Table.from_pandas(plain, preserve_index=False))
    except pa.ArrowException as error:
        cause = ", ".join(str(part) for part in error.args)
        remedy = "Make it one type, as text with astype(str)."
        raise DataError(f"candidates: expected one type in a column, got several ({cause}). {remedy}") from error


set_model(PyfuncModel())
