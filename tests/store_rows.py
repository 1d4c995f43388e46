"""Small frames for the tables of a store, and the counts of a receipt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from feature_store.receipts import Receipt

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def event_rows(*rows: tuple[Any, Any, int], **columns: Any) -> pl.DataFrame:
    """Events of (user, item, day of January)."""
    users, items, days = zip(*rows, strict=True)
    times = [DAY + timedelta(days=day - 1) for day in days]
    return pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times} | columns)


def item_rows(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(columns)


def counts(receipt: Receipt) -> tuple[int, int, int, int]:
    assert receipt.n_in == receipt.n_new + receipt.n_duplicate + receipt.n_rejected + receipt.n_known
    assert sum(receipt.reasons.values()) == receipt.n_rejected
    return receipt.n_in, receipt.n_new, receipt.n_duplicate, receipt.n_rejected
