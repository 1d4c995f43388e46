"""`python -m benchmarks.memory_kinds FOLDER VARIANT ...`: which memory pays, on validation queries.

FOLDER has `items.parquet` and `events.parquet`. A variant is settings of the memory as JSON without braces, such as
'"consolidated": 4'. Of each, the match module learns on the log before the ranker's windows, as in a training. By its
raw score it ranks the whole catalogue for queries of these windows. The test period is not read. Differences to the
default memory are paired, over users, of the mean of all seeds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from feature_store import Store
from recmem.cli.console import say
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.match_module import MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.retrieval.retrieve import seen_items
from training.config import TrainingConfig
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.metrics import PerQuery, ndcg
from training.evaluation.ranks import rank_of_rows
from training.fitting.beside_events import beside_events
from training.fitting.fit_match import fit_match
from training.fitting.match_batches import MatchBatches
from training.queries import Queries, queries_between
from training.training_data import TrainingData, read_training_data

N_QUERIES = 2000
QUERIES_AT_ONCE = 100


def fitted(data: TrainingData, memory: MemoryConfig, seed: int) -> Matcher:
    """The matcher that the step `match` of a training fits first."""
    config = TrainingConfig()
    until = data.split.ranker_from
    dataset = data.dataset
    module = MatchModule(config.match_config(data.unit.shape[1]), torch.Generator().manual_seed(seed))
    batches = MatchBatches(
        dataset.log_at(until),
        len(dataset.catalogue),
        until=until,
        memory=memory,
        config=config.match.batch,
        seed=seed,
        reads=dataset.reads,
        cancelled=dataset.cancelled,
        beside=beside_events(dataset, data.unit, memory, seed=seed),
    )
    steps = config.match.steps(batches.n_examples)
    generator = torch.Generator().manual_seed(seed)
    fit_match(module, data.unit, batches, steps=steps, config=config.match, generator=generator)
    return Matcher.of(module, data.unit, memory)


def figures(data: TrainingData, matcher: Matcher, queries: Queries) -> PerQuery:
    """NDCG@10 of each query by the raw match score."""
    items = np.arange(len(data.dataset.catalogue))
    ranks = []
    for begin in range(0, len(queries), QUERIES_AT_ONCE):
        part = queries.take(np.arange(begin, min(begin + QUERIES_AT_ONCE, len(queries))))
        batch = QueryBatch.of(data.dataset, part.users, part.times)
        scores = matcher.features(batch.histories, items)["match_raw"].astype(np.float64)
        seen = seen_items(data.dataset, batch)
        scores[seen.row_index, seen.values] = -np.inf
        rows = part.positives.row_index * len(items) + part.positives.values
        offsets = np.arange(len(part) + 1) * len(items)
        ranks.append(rank_of_rows(scores.ravel(), offsets, rows, generator=np.random.default_rng(0)))
    return ndcg(np.concatenate(ranks), queries.positives.offsets, k=10)


def main() -> None:
    """Fits and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("variants", nargs="+", help="settings of the memory as JSON without braces")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="recmem-memory-kinds-") as folder:
        store = Store.create(Path(folder) / "store")
        store.append_items(pl.read_parquet(options.folder / "items.parquet"))
        store.append_events(pl.read_parquet(options.folder / "events.parquet"))
        data = read_training_data(store, TrainingConfig(), encoder=None)
    log = data.dataset.log_at(data.split.test_from)
    queries = queries_between(log, data.split.ranker_from, data.split.test_from).spread(N_QUERIES)
    n_events = data.dataset.histories(queries.users, queries.times, 200).items.lengths
    is_long = n_events > MemoryConfig().recent
    say(f"{len(queries):,} queries, {is_long.mean():.0%} of users with more than {MemoryConfig().recent} events")
    found: dict[str, PerQuery] = {}
    for variant in ("", *options.variants):
        memory = replace(MemoryConfig(), **json.loads("{" + variant + "}"))
        of_seeds = [figures(data, fitted(data, memory, seed), queries) for seed in range(options.seeds)]
        found[variant] = np.mean(of_seeds, axis=0)
        words = f"{variant or 'default'}: NDCG@10 {np.nanmean(found[variant]):.4f}"
        for name, chosen in (("all", np.ones(len(queries), bool)), ("long", is_long)):
            if variant and chosen.any():
                lift = paired_bootstrap(
                    found[""][chosen],
                    found[variant][chosen],
                    groups=queries.users[chosen],
                    generator=np.random.default_rng(0),
                )
                words += f"; {name} {lift.difference:+.4f} ({lift.low:+.4f} to {lift.high:+.4f})"
        say(words)


if __name__ == "__main__":
    main()
