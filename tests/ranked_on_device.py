"""`Model.rank` on a device, also on one that is no GPU, beside the CPU."""

from __future__ import annotations

import polars as pl
import pytest

from recmem.serving import scoring
from recmem.serving.model import Model
from tolerances import close


def same_ranks_on_device(
    model: Model, rows: pl.DataFrame, *, on_device: Model | None = None, trees_share: float = 1.0
) -> pl.DataFrame:
    """Asserts that a device gives the scores and the ranks of the CPU, and returns them.

    `on_device`: the same model on the device; by default the model itself, in torch on the CPU.
    """
    expected = model.rank(rows, trees_share=trees_share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "ranks_on_device", lambda matcher, n_pairs: True)
        found = (on_device or model).rank(rows, trees_share=trees_share)
    assert found.schema == expected.schema
    is_same_device = on_device is None or on_device.matcher.device == model.matcher.device
    for name in expected.columns:
        if name in rows.columns:
            assert found[name].equals(expected[name])
        elif is_same_device and name != "match_score":
            assert found[name].equals(expected[name], null_equal=True), name
        else:
            close(found[name].to_numpy(), expected[name].to_numpy(), "float32")
    assert found["rank"].equals(expected["rank"])
    return found
