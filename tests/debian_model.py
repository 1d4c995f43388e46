"""A small model for tests of serving: sixty Debian packages, their users, real text vectors, an untrained match module.

`trained_model` builds it once per process. A test that changes a store or a bundle copies the folder first.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from feature_store import Store
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation import CovisitationConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, Table
from feature_store.signals import SignalConfig
from feature_store.table_checks import check_table
from recmem.dataset.catalogue import Catalogue, numeric_columns
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval.interleave import RetrievalConfig
from recmem.serving.bundle import Bundle, BundleConfig, load_bundle, save_bundle
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.item_text import text_columns
from recmem.text.vector_cache import VectorCache
from tolerances import close
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_ranker import RankerConfig, RankingData, fit_ranker

SAMPLE = Path(__file__).parents[1] / "examples" / "debian_dependencies"
N_ITEMS = 60
N_USERS = 80
N_TRAINING_QUERIES = 60
SEED = 7
SCORES = [*MATCH_OUTPUTS, "score"]
"""Columns of scores that `Model.rank` adds."""


@dataclass(frozen=True)
class TrainedModel:
    """Where the store and the bundle are, and what was ingested."""

    folder: Path
    items: pl.DataFrame
    events: pl.DataFrame

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def model(self) -> Model:
        """A model of its own, which may observe events unseen by other tests."""
        return Model.load(self.bundle, store=self.store, device="cpu")


@functools.cache
def encoder() -> TextEncoder:
    """The real encoder in float32, so that the same text gives the same vector in any batch."""
    return TextEncoder.load(EncoderConfig(), device="cpu", dtype="float32")


@functools.cache
def sample() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items with a number column, and events with ratings and late arrivals among them."""
    events = pl.read_parquet(SAMPLE / "events.parquet")
    frequent = events["item_id"].value_counts(sort=True).sort("count", "item_id", descending=[True, False])
    kept = events.join(frequent.head(N_ITEMS), on="item_id", how="semi")
    users = kept["user_id"].value_counts().sort("count", "user_id", descending=[True, False])["user_id"].head(N_USERS)
    kept = kept.filter(pl.col("user_id").is_in(users.implode())).sort("timestamp", "user_id", "item_id")
    # Days of their own: the sample has few distinct dates, and baskets that hold nearly everything.
    random = np.random.default_rng(SEED)
    hours = pl.Series(random.integers(0, 24 * 300, len(kept)) // 12 * 12)
    kinds = pl.Series(random.choice(["depends", "rating", "skip"], len(kept), p=[0.8, 0.15, 0.05]))
    value = pl.Series(random.choice([1.0, 3.0, 5.0], len(kept)))
    kept = kept.with_columns(
        timestamp=pl.col("timestamp") + pl.duration(hours=hours),
        event=kinds,
        value=pl.when(kinds == "rating").then(value),
    )
    late = pl.Series(random.random(len(kept)) < 0.05)
    kept = kept.with_columns(available_at=pl.when(late).then(pl.col("timestamp") + pl.duration(days=20)))
    items = pl.read_parquet(SAMPLE / "items.parquet").join(frequent.head(N_ITEMS), on="item_id", how="semi")
    items = items.sort("item_id").with_columns(size_kb=pl.Series(random.integers(1, 900, N_ITEMS)).cast(pl.Float64))
    return items, kept.sample(fraction=1.0, shuffle=True, seed=SEED)


def with_cancellations(events: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """The events, each with an id; every ninth is cancelled within half a year, some before they arrive."""
    random = np.random.default_rng(seed)
    named = events.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String))
    gone = named.filter(pl.Series(random.random(len(named)) < 1 / 9))
    days = pl.Series(random.integers(0, 180, len(gone)))
    orders = gone.select(
        "user_id", "item_id", pl.col("timestamp") + pl.duration(days=days, seconds=1), cancels=pl.col("event_id")
    )
    return pl.concat([named, orders], how="diagonal")


def untrained(dim: int) -> MatchModule:
    """A match module whose every weight is random, so that no zero weight hides a part of it."""
    generator = torch.Generator().manual_seed(SEED)
    module = MatchModule(MatchConfig(dim=dim, n_heads=2, head_dim=8), generator)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return module.eval()


def model_of(
    events: pl.DataFrame,
    impressions: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    *,
    memory: MemoryConfig | None = None,
) -> Model:
    """The trained model as if its store held these tables; also with another memory configuration."""
    trained = trained_model()
    bundle = load_bundle(trained.bundle)
    config = replace(bundle.config, memory=memory or bundle.config.memory)
    catalogue = Catalogue.of(_checked(trained.items if items is None else items, ITEMS), config.text_columns)
    shown = pl.DataFrame(schema=IMPRESSIONS.schema()) if impressions is None else _checked(impressions, IMPRESSIONS)
    known = _checked(events, EVENTS) if len(events) else pl.DataFrame(schema=EVENTS.schema())
    dataset = Dataset.of(catalogue, known, shown, config.dataset)
    space = LazyEncoder.of(config.encoder, fingerprint=config.fingerprint, dim=config.match.dim, device="cpu")
    return Model(
        replace(bundle, config=config), dataset, CachedEncoder.of(space, Store.open(trained.store)), device="cpu"
    )


def _checked(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    checked = check_table(frame, table)
    assert not checked.problems
    return checked.kept


@functools.cache
def trained_model() -> TrainedModel:
    """Store and bundle in a folder of their own."""
    items, events = sample()
    trained = TrainedModel(Path(tempfile.mkdtemp(prefix="recmem-model-")), items, events)
    store = Store.create(trained.store)
    store.append_items(items)
    store.append_events(events)
    columns = tuple(text_columns(items))
    numbers = numeric_columns(items)
    catalogue = Catalogue.of(store.items(), columns, numbers)
    dataset = Dataset.of(catalogue, store.events(), store.impressions(), _dataset_config(store))
    cache = VectorCache(trained.store / "vectors", encoder().fingerprint, encoder().dim)
    unit = torch.nn.functional.normalize(cache.get_or_encode(catalogue.texts, encoder()), dim=1)
    module = untrained(encoder().dim)
    memory = MemoryConfig(recent=20, negatives=True)
    retrieval = RetrievalConfig(candidates=25)
    data = _ranking_data(dataset, Matcher.of(module, unit, memory), retrieval)
    config = RankerConfig(rounds=20, smoothing=5, leaves=5, min_rows_in_leaf=20)
    fitted = fit_ranker(data, tuple(data.pairs.values), config, SEED)
    bundle_config = BundleConfig(
        encoder=encoder().config,
        fingerprint=encoder().fingerprint,
        text_columns=columns,
        number_columns=numbers,
        match=module.config,
        memory=memory,
        retrieval=retrieval,
        dataset=dataset.config,
        calibration=fit_calibration(data.pairs.values["match_raw"], data.labels),
        store=str(trained.store),
        store_versions=store.versions(),
        learned_until=dataset.config.refresh_origin + 3 * dataset.config.refresh_every,
        recmem_version="0",
        created="2026-01-01T00:00:00+00:00",
    )
    bundle = Bundle(bundle_config, module, fitted.ranker)
    save_bundle(bundle, trained.bundle, sample_vectors=unit, sample_pairs=data.pairs.take(np.arange(3)))
    return trained


def _dataset_config(store: Store) -> DatasetConfig:
    events = store.events()
    users = events["user_id"].unique().sort()
    items = store.items()["item_id"].sort()
    signals = SignalConfig(positive_events=("depends",), unnamed="neutral")
    log = EventLog.from_frame(events, users, items, signals)
    begin, end = (int(np.quantile(log.times, share)) for share in (0.3, 0.9))
    return DatasetConfig(
        signals=signals,
        counters=CounterConfig.from_log(log),
        covisitation=CovisitationConfig(neighbours=30, ease_items=40),
        refresh_origin=begin,
        refresh_every=(end - begin) // 3,
    )


def _ranking_data(dataset: Dataset, matcher: Matcher, retrieval: RetrievalConfig) -> RankingData:
    """Queries at late events; the items that the user interacted with at that time are positive."""
    log = dataset.log
    chosen = np.unique(np.linspace(len(log) // 2, len(log) - 1, N_TRAINING_QUERIES).astype(np.int64))
    users = log.user_rows[chosen]
    times = log.times[chosen]
    pairs: PairFeatures = retrieved_features(dataset, matcher, QueryBatch.of(dataset, users, times), retrieval)
    owner = pairs.candidates.row_index
    pair = log.user_rows * len(dataset.catalogue) + log.item_rows
    taken = pair[log.times >= times.min()]
    labels = np.isin(users[owner] * len(dataset.catalogue) + pairs.candidates.values, taken)
    return RankingData(pairs, labels.astype(np.int8))


def same_scores(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Asserts that two frames have the same scores, up to float32 sums in another order, and the same ranks."""
    for name in SCORES:
        close(actual[name].to_numpy(), expected[name].to_numpy(), "float32")
    assert actual["rank"].to_list() == expected["rank"].to_list()
