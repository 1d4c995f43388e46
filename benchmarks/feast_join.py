"""`python -m benchmarks.feast_join`: counts of earlier events, by Feast's local offline store and by recmem.

Feast is not a dependency, because it pins versions of its own. Install it into a separate environment
(`pip install feast`), make recmem's packages importable after Feast's (a .pth file that names their folder), and run
this there. Feast joins the newest row at or before the time, recmem the rows strictly before it, so no query here has
the time of an event.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.timing import Row, compare, write
from feature_store import EventLog

N_EVENTS = 1_000_000
N_QUERIES = 100_000
N_ITEMS = 50_000
SPAN_S = 10**8
RETAIL = Path(__file__).parents[1] / "examples" / "online_retail" / "events.parquet"

METHOD = (
    "Medians over alternating rounds, after a warm-up. Feast: FeatureStore.get_historical_features on a local "
    "repository (file offline store, the default), one feature, a running count precomputed in a Parquet file. recmem: "
    "the same file is read, indexed and counted. Both are checked to be equal first."
)


def feast_rows() -> list[Row]:
    """A log in which all items are equally frequent, and a shop's; queries are events of the log, a second later."""
    rng = np.random.default_rng(0)
    even = pd.DataFrame(
        {"item_id": rng.integers(0, N_ITEMS, N_EVENTS), "second": 2 * rng.integers(0, SPAN_S, N_EVENTS)}
    )
    shop = pl.read_parquet(RETAIL).select(
        pl.col("item_id").cast(pl.Categorical).to_physical().cast(pl.Int64),
        second=pl.col("timestamp").dt.epoch("s") // 2 * 2,
    )
    rows = _rows("items alike", even, N_QUERIES, rng)
    return rows + _rows("online_retail", pd.DataFrame(shop.to_dict(as_series=False)), N_QUERIES // 5, rng)


def _rows(name: str, log: pd.DataFrame, n_queries: int, rng: np.random.Generator) -> list[Row]:
    """The same counts by both, from one Parquet file."""
    # Feast keeps a single row of those that share item and time, among events and among queries.
    log = log.drop_duplicates().sort_values("second")
    n_items = int(log["item_id"].max()) + 1
    drawn = log.iloc[rng.choice(len(log), n_queries, replace=False)]
    query_items = drawn["item_id"].to_numpy()
    query_seconds = drawn["second"].to_numpy() + 1

    with TemporaryDirectory() as folder:
        events = pd.DataFrame(
            {"item_id": log["item_id"], "event_timestamp": pd.to_datetime(log["second"], unit="s", utc=True)}
        )
        events["n"] = events.groupby("item_id").cumcount() + 1
        events.to_parquet(Path(folder) / "events.parquet")
        store = _repository(Path(folder))
        queries = pd.DataFrame(
            {"item_id": query_items, "event_timestamp": pd.to_datetime(query_seconds, unit="s", utc=True)}
        )
        queries["row"] = np.arange(n_queries)

        def joined() -> np.ndarray:
            found = store.get_historical_features(entity_df=queries, features=["items:n"]).to_df()
            # Feast leaves out queries of items without an earlier event.
            result = np.zeros(n_queries, np.int64)
            result[found["row"]] = found["n"]
            return result

        def counts() -> np.ndarray:
            events = pl.read_parquet(Path(folder) / "events.parquet", columns=["item_id", "event_timestamp"])
            rows = events["item_id"].to_numpy()
            times = events["event_timestamp"].dt.epoch("us").to_numpy()
            log = EventLog(np.zeros(len(rows), np.int64), rows, times, times + 1, np.ones(len(rows), np.int8))
            return log.by_item.counts(query_items, query_seconds * 10**6)

        if not np.array_equal(joined(), counts()):
            raise ArithmeticError("counts: expected the same from Feast and recmem, got others. Nothing was timed.")
        ways = {"Feast, local offline store": joined, "recmem": counts}
        shape = f"{name}: {len(log):,} events, {n_queries:,} queries, {n_items:,} items"
        unit = "events and queries/s"
        return compare("count as of t", shape, ways, amount=len(log) + n_queries, unit=unit, rounds=3)


def _repository(folder: Path) -> Any:
    """A feature store with one view on `events.parquet`, applied."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Int64

    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    source = FileSource(path=str(folder / "events.parquet"), timestamp_field="event_timestamp")
    view = FeatureView(
        name="items",
        entities=[item],
        ttl=timedelta(days=365 * 10),
        schema=[Field(name="n", dtype=Int64)],
        source=source,
    )
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=None,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([item, view])
    return store


if __name__ == "__main__":
    print(write("feast", feast_rows(), METHOD).read_text())
