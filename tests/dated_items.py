"""A model over items whose size changes while the log goes on."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store.schema import ITEM_CHANGES
from recmem.dataset.dataset import Dataset
from recmem.serving.model import Model


def with_item_changes(model: Model) -> Model:
    """The model with a new `size_kb` at every tenth event, of one item after the other."""
    dataset = model.dataset
    times = dataset.events["timestamp"].sort()[::10]
    items = dataset.catalogue.ids.gather(np.arange(len(times)) % len(dataset.catalogue))
    sizes = pl.Series("size_kb", 10.0 + np.arange(len(times)))
    empty = [pl.lit(None, dtype).alias(name) for name, dtype in ITEM_CHANGES.schema().items() if name != "item_id"]
    changes = pl.DataFrame([items, sizes]).with_columns(empty).with_columns(times.alias("timestamp"))
    model.dataset = Dataset.of(
        dataset.catalogue, dataset.events, dataset.impressions, dataset.config, item_changes=changes
    )
    return model
