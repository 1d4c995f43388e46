"""The registered model as an MLflow pyfunc, logged as code: nothing is pickled.

`training.tracking.registry` logs this file with a bundle as its artifact, and MLflow runs it to load
`models:/recmem@champion` as a pyfunc. In Python, `recmem.load("models:/recmem@champion")` offers more.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd  # at run time: MLflow reads the annotations of `predict`
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import DataType, Schema

import recmem
from feature_store import DataError
from feature_store.forked_process import refuse_forked
from recmem.serving.served_answer import RequestParams, answer
from recmem.serving.served_frame import request_frame
from recmem.serving.served_models import OWN, ServedModels

STORE_VARIABLE = "RECMEM_STORE"
"""The environment variable that names the store, where it is not at the place that it was trained on."""


class RequestError(MlflowException, DataError):
    """A DataError that a model server answers with status 400 and its text, in place of a traceback."""

    def __init__(self, refused: DataError) -> None:
        super().__init__(str(refused), error_code=INVALID_PARAMETER_VALUE)


class PyfuncModel(PythonModel):
    """Candidates as a pandas frame in; the same rows in the same order out, with their scores."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the bundle now, so that the first request does not have to wait for it.

        The model's configuration: `device`; `store`, where the feature store is, if not where the model was trained on
        it (the environment variable RECMEM_STORE says so too); and `stores`, others that requests may name. The
        environment variable MLFLOW_PYFUNC_INFERENCE_CONFIG sets all of them, as JSON.
        """
        config = context.model_config or {}
        device = config.get("device", "auto")
        bundle = context.artifacts["bundle"]
        own = config.get("store") or os.environ.get(STORE_VARIABLE) or None
        if not isinstance(own, str | None):
            raise DataError(f"store: expected a path or URL, got {own!r}. Correct the model_config.")
        stores = config.get("stores") or []
        if not isinstance(stores, list) or not all(isinstance(store, str) and store for store in stores):
            raise DataError(f"stores: expected a list of paths or URLs, got {stores!r}. Correct the model_config.")
        self._models = ServedModels(lambda store: recmem.load(bundle, store=store or own, device=device), stores)
        _let_csv_hold_any_type()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """What `recmem.Model` gives for these candidates or users, with `unknown_user` and `unknown_item` in each row.

        A model with features of your own adds `missing_features`: whether one of them counts as missing in the row.

        MLflow passes only the columns of the model's signature. To have your other columns beside the scores, join
        them by the index, which must be unique: `candidates.join(result[["score", "rank"]])`. A history is a list, so
        CSV requests cannot hold one.
        `params`: `output`, "rank", "match" or "recommend", which takes users only. `k`: with "rank", only rows of a
        rank up to `k` come back, all of them by default; with "recommend", the items of each user, 10 by default.
        `explain`: the number of reasons of each row. `store`: the feature store to read instead of the model's own,
        which has to be among the `stores` of the model's configuration.
        """
        del context
        refuse_forked()  # before the lock, which another thread may have held when the process was forked
        given = params or {}
        try:
            settings = RequestParams.of(given)
            return answer(self._models.over(str(given.get("store", OWN))), request_frame(model_input), settings)
        except DataError as refused:
            raise RequestError(refused) from refused


def _let_csv_hold_any_type() -> None:
    """Lets MLflow's server read CSV for this model: columns of any type are read as text.

    It reads from the signature's schema the columns' pandas types, and there refuses all but its own plain types.
    """
    plain = Schema.pandas_types
    if getattr(plain, "holds_any_type", False):
        return

    def pandas_types(self: Schema) -> list[np.dtype[Any]]:
        if self.is_tensor_spec():
            return plain(self)
        return [spec.type.to_pandas() if isinstance(spec.type, DataType) else np.dtype(object) for spec in self]

    pandas_types.holds_any_type = True  # type: ignore[attr-defined]
    Schema.pandas_types = pandas_types  # type: ignore[method-assign]


set_model(PyfuncModel())
