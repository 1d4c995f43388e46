"""The registered model as an MLflow pyfunc, logged as code: nothing is pickled.

`training.tracking.registry` logs this file with a bundle as its artifact, and MLflow runs it to load
`models:/recmem@champion` as a pyfunc. In Python, `recmem.load("models:/recmem@champion")` offers more.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd  # at run time: MLflow reads the annotations of `predict`
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

import recmem
from feature_store import DataError
from feature_store.forked_process import refuse_forked

if TYPE_CHECKING:
    from recmem.serving.model import Model

OUTPUTS = ("rank", "match")
"""Values of `params["output"]`."""


class PyfuncModel(PythonModel):
    """Candidates as a pandas frame in; the same rows in the same order out, with their scores."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._lock = Lock()  # a model server calls `predict` from several threads

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the bundle now, so that the first request does not have to wait for it."""
        self._model(context, store="")

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """What `recmem.Model.rank` or `recmem.Model.match` gives for these candidates.

        MLflow passes only the columns of the model's signature. To have your other columns beside the scores, join
        them by the index, which must be unique: `candidates.join(result[["score", "rank"]])`.
        `params`: `output`, "rank" or "match"; `store`, the feature store to read instead of the bundle's own.
        """
        settings = {"output": "rank", "store": "", **(params or {})}
        output = settings["output"]
        if output not in OUTPUTS:
            raise DataError(f"params.output: expected {' or '.join(OUTPUTS)}, got {output!r}. Leave it out for rank.")
        model = self._model(context, store=str(settings["store"]))
        return model.rank(model_input) if output == "rank" else model.match(model_input)

    def _model(self, context: PythonModelContext, *, store: str) -> Model:
        """The model of the bundle over this store, loaded once."""
        refuse_forked()  # before the lock, which another thread may have held when the process was forked
        with self._lock:
            if store not in self._models:
                device = (context.model_config or {}).get("device", "auto")
                self._models[store] = recmem.load(context.artifacts["bundle"], store=store or None, device=device)
            return self._models[store]


set_model(PyfuncModel())
