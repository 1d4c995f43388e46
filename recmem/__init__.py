"""Text features, learned from each user's history, for LightGBM rankers.

>>> import recmem
>>> model = recmem.load("models:/recmem@champion")  # doctest: +SKIP
>>> model.rank(candidates)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Imported on first use: torch and transformers take seconds to import, and `recmem --help` needs neither.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from feature_store import DataError, Receipt
    from recmem.serving.explain import Explanation
    from recmem.serving.loading import load
    from recmem.serving.model import Model

    train: Callable[..., Any]
    """Trains a model on items and events; `help(recmem.train)` shows the arguments."""
    tune: Callable[..., Any]
    """Searches for settings that rank better on validation queries; `help(recmem.tune)` shows the arguments."""
    training_features: Callable[..., Any]
    """Match features of past rows, for a ranker of one's own; `help(recmem.training_features)` shows the arguments."""
    RecmemFeatures: Callable[..., Any]
    """The same as a scikit-learn transformer."""

__all__ = [
    "DataError",
    "Explanation",
    "Model",
    "Receipt",
    "RecmemFeatures",
    "load",
    "train",
    "training_features",
    "tune",
]

_MODULES = {
    "DataError": "feature_store",
    "Receipt": "feature_store",
    "Explanation": "recmem.serving.explain",
    "Model": "recmem.serving.model",
    "load": "recmem.serving.loading",
}
_FUNCTION_GROUP = "recmem.functions"
"""Entry point group of functions that other packages offer here: recmem itself does not import training."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    if name in __all__:
        return _registered(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _registered(name: str) -> object:
    """The function registered under this name, recmem's own first. Raises AttributeError if there is none."""
    from importlib.metadata import entry_points

    points = list(entry_points(group=_FUNCTION_GROUP, name=name))
    points.sort(key=lambda point: point.dist is None or point.dist.name != "recmem")
    if not points:
        raise AttributeError(
            f"recmem.{name}: expected recmem to be installed, got an outdated or missing installation. "
            "Run pip install again, for a checkout: pip install -e ."
        )
    return points[0].load()
