"""Fitted item-item models, kept among a store's derived files: fitting them anew would take most of a start's time.

A file's name is a digest of all that the models are fitted on: the events as they were known, the texts, the settings
and the code. So a file is never out of date, only unused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from types import ModuleType
from typing import Any

import numpy as np
import scipy
import scipy.sparse as sp
from safetensors import SafetensorError
from safetensors.numpy import load, save

from feature_store.arrays import IntArray
from feature_store.derived_files import MOST_BYTES, DerivedFiles
from feature_store.point_in_time import covisitation, covisitation_fit
from feature_store.point_in_time.covisitation import WEIGHTINGS, Covisitation, CovisitationConfig
from feature_store.point_in_time.event_log import EventLog

_PREFIX = "item_item-"
_CODE = (covisitation, covisitation_fit)
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True)
class CovisitationCache:
    """Models of one catalogue, fitted or read."""

    files: DerivedFiles
    describe_words: Callable[[], str]
    """A digest of what `words` of `fitted` is made from; asked for instead of the words, which take a second."""

    def fitted(
        self,
        log: EventLog,
        n_items: int,
        config: CovisitationConfig,
        words: Callable[[], sp.csr_matrix | None],
    ) -> Covisitation:
        """`Covisitation.fit` of the log, to the bit; read where it was fitted before."""
        code = [source_digest(module) for module in _CODE]
        if None in code:
            return Covisitation.fit(log, n_items, config, words())
        settings = sorted(asdict(config).items())
        parts = [*code, np.__version__, scipy.__version__, settings, n_items, self.describe_words()]
        name = _PREFIX + _digest(parts, _fitted_arrays(log))
        content = self.files.read(name)
        read = None if content is None else _from_bytes(content, n_items, config)
        if read is not None:
            return read
        models = Covisitation.fit(log, n_items, config, words())
        if _n_bytes(models) < MOST_BYTES:  # nothing larger is kept, so it need not be copied
            self.files.write(name, _to_bytes(models))
        return models


@cache
def source_digest(module: ModuleType) -> str | None:
    """A digest of a module's source; None if it came without."""
    try:
        return sha256(inspect.getsource(module).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def _fitted_arrays(log: EventLog) -> Iterable[IntArray]:
    """What of the log the models depend on: the events by user, and where the next user begins.

    Not the number of a user's row: it changes when somebody else comes in.
    """
    events = log.by_user.order
    users = log.user_rows[events]
    return np.flatnonzero(np.diff(users)), log.item_rows[events], log.times[events], log.signs[events].astype(np.int64)


def _digest(parts: list[Any], arrays: Iterable[IntArray]) -> str:
    digest = sha256(repr(parts).encode())
    for array in arrays:
        digest.update(f"\n{len(array)}:".encode())
        digest.update(np.ascontiguousarray(array, np.int64).data)
    return digest.hexdigest()


def _n_bytes(models: Covisitation) -> int:
    return sum(int(getattr(model, part).nbytes) for model in models.models.values() for part in _PARTS)


def _to_bytes(models: Covisitation) -> bytes:
    arrays = {f"{name}.{part}": getattr(model, part) for name, model in models.models.items() for part in _PARTS}
    content: bytes = save(arrays)
    return content


def _from_bytes(content: bytes, n_items: int, config: CovisitationConfig) -> Covisitation | None:
    """The models; None unless these are whole models of so many items."""
    try:
        arrays = load(content)
        models = {name: _model([arrays[f"{name}.{part}"] for part in _PARTS], n_items) for name in WEIGHTINGS}
    except (SafetensorError, KeyError, ValueError):
        return None
    return Covisitation(**models, config=config)


def _model(parts: list[np.ndarray], n_items: int) -> sp.csr_matrix:
    data, indices, indptr = parts
    if data.dtype != np.float32:
        raise ValueError(f"weights: expected float32, got {data.dtype}. Fit the models anew.")
    model = sp.csr_matrix((data, indices, indptr), shape=(n_items, n_items))
    # Compiled code trusts the positions.
    model.check_format(full_check=True)
    return model
