"""The models of one bundle that a server keeps: over its own store, and over others that the operator allows."""

from __future__ import annotations

import os
import posixpath
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from feature_store import DataError

if TYPE_CHECKING:
    from recmem.serving.model import Model

MOST_OTHER_STORES = 4
"""Models over other stores that are kept; the least recently used one is dropped first."""
OWN = ""
"""Asks for the bundle's own store."""


class ServedModels:
    """Loads the bundle over a store when it is first needed. May be used by several threads."""

    def __init__(self, load: Callable[[str | None], Model], allowed: Collection[str]) -> None:
        """`load` gives the model over a store (None: the bundle's own). Of others, only those `allowed` are loaded."""
        self._load = load
        # What is loaded is always the operator's spelling: a client only chooses among these.
        self._allowed = {one_spelling(store): store for store in allowed}
        self._own = load(None)
        self._others: OrderedDict[str, Model] = OrderedDict()
        self._lock = Lock()

    def over(self, store: str) -> Model:
        """The model over the store. Raises DataError for a store that is not allowed."""
        if store == OWN:
            return self._own
        place = one_spelling(store)
        if place not in self._allowed:
            remedy = (
                "Leave it out for the model's own store. A server's operator allows others: "
                """MLFLOW_PYFUNC_INFERENCE_CONFIG='{"stores": ["/data/store"]}'."""
            )
            raise DataError(f"params.store: expected a store that this server allows, got {store!r}. {remedy}")
        with self._lock:
            if place not in self._others:
                self._others[place] = self._load(self._allowed[place])
            self._others.move_to_end(place)
            if len(self._others) > MOST_OTHER_STORES:
                self._others.popitem(last=False)
            return self._others[place]


def one_spelling(store: str) -> str:
    """The store's path or URL in one spelling: `/data/eu` for `/data/./eu/`, for `file:///data/eu`, and for a link."""
    try:
        parts = urlsplit(store)
        if parts.scheme == "file":
            return os.path.realpath(unquote(parts.path))
        if "://" not in store:
            return os.path.realpath(Path(store).expanduser())
    except (ValueError, RuntimeError):  # no path and no URL: a null byte, an unknown user's home, half a bracket
        return store
    path = posixpath.normpath(f"/{parts.path}").lstrip("/")
    return f"{parts.scheme}://{parts.netloc}/{path}"
