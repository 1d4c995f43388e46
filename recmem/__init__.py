"""A text memory per user for recommenders: one more column of the ranker, and the reasons with it.

>>> import recmem
>>> model = recmem.load("models:/recmem@champion")  # doctest: +SKIP
>>> model.match(candidates)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Loaded when first asked for: torch and transformers take seconds, and `recmem --help` needs neither.
if TYPE_CHECKING:
    from recmem.serving.model import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from recmem.serving import model

    return getattr(model, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
