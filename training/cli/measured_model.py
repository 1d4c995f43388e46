"""The model that `recmem cascade` and `recmem staleness` measure: one that has not learned from the queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recmem.cli.console import complain

if TYPE_CHECKING:
    from recmem.serving.model import Model


def model_to_measure(source: str, store: str | None) -> Model:
    """The model of `source`; if it was refitted on all that the store holds, the measured one that lies beside it."""
    import recmem
    from training.evaluation.queries_after_training import has_later_queries, measured_beside

    model = recmem.load(source, store=store)
    if has_later_queries(model):
        return model
    measured = measured_beside(Path(source), model.bundle.config)
    if measured is None:
        return model
    complain(
        f"{source} has learned from the whole log, so there is nothing left to measure it on. "
        f"This measures {measured}, the model before it was refitted."
    )
    return recmem.load(measured, store=store)
