"""`python -m benchmarks.declared_interests FOLDER`: what declared interests are worth where nobody has clicked yet.

FOLDER holds a MovieLens: `movies.csv`, `ratings.csv` and `tags.csv` as published, or `items.parquet` with a column of
tags and `events.parquet`. Of 40% of the users, half of the films that they rated 4 or more are taken out of the log. Of
these films the three tags that are most their own (frequent among them, rare among all films) become the user's
declared interests. So no interest is made from a film that is to be found, none of the films behind it is in the log,
and tags are not in the items' texts. A model is trained on the rest. Its test queries of the users with interests are
then ranked over the whole catalogue: as they are, and as if these users had no events.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import recmem
from feature_store.ragged import Ragged
from recmem.cli.console import say
from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from training.evaluation.baselines import popularity_features
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.metrics import PerQuery, ndcg
from training.evaluation.queries_after_training import QueriesAfterTraining
from training.evaluation.ranks import rank_of_rows

SHARE_OF_USERS = 0.4
LIKED_FROM = 4
N_INTERESTS = 3
FEWEST_TAGGED = 3
"""Films with tags that interests are made from."""
LATEST = 0.1
"""Share of the log that `--validation` leaves out: the test period of a training on all of it."""


def tables(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Items without tags, ratings, and the tags: item_id, tag."""
    if (folder / "movies.csv").exists():
        films = pl.read_csv(folder / "movies.csv").select(item_id="movieId", title="title", genres="genres")
        ratings = pl.read_csv(folder / "ratings.csv")
        seconds = pl.from_epoch("timestamp", time_unit="s").dt.replace_time_zone("UTC")
        events = ratings.select(user_id="userId", item_id="movieId", timestamp=seconds, value="rating")
        tags = pl.read_csv(folder / "tags.csv").select(item_id="movieId", tag=pl.col("tag").cast(pl.String))
        return films, events, tags.with_columns(pl.col("tag").str.to_lowercase()).drop_nulls()
    films = pl.read_parquet(folder / "items.parquet")
    tags = films.select("item_id", tag=pl.col("tags").str.split(", ")).explode("tag").drop_nulls()
    return films.drop("tags"), pl.read_parquet(folder / "events.parquet"), tags.filter(pl.col("tag") != "")


def with_interests(events: pl.DataFrame, tags: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events without the films that interests are made from, and the users table of these interests."""
    random = np.random.default_rng(0)
    ids = events["user_id"].unique().sort()
    chosen = ids.filter(pl.Series(random.random(len(ids)) < SHARE_OF_USERS))
    liked = events.filter(pl.col("user_id").is_in(chosen.implode()), pl.col("value") >= LIKED_FROM)
    liked = liked.sort("user_id", "timestamp", "item_id")
    half = liked.filter(pl.Series(random.random(len(liked)) < 0.5)).select("user_id", "item_id")
    n_films = pl.col("item_id").n_unique()
    rarity = tags.group_by("tag").agg(rarity=(pl.lit(tags["item_id"].n_unique()) / n_films).log())
    own = half.join(tags, on="item_id").group_by("user_id", "tag").agg(n=n_films).filter(pl.col("n") > 1)
    best = own.join(rarity, on="tag").sort(pl.col("n") * pl.col("rarity"), "tag", descending=[True, False])
    interests = best.group_by("user_id", maintain_order=True).head(N_INTERESTS)
    users = interests.group_by("user_id", maintain_order=True).agg(interests=pl.col("tag").str.join("\n"))
    enough = half.join(tags.select("item_id").unique(), on="item_id").group_by("user_id").len()
    users = users.join(enough.filter(pl.col("len") >= FEWEST_TAGGED), on="user_id", how="semi").sort("user_id")
    used = half.join(users, on="user_id", how="semi")
    return events.join(used, on=["user_id", "item_id"], how="anti"), users


def figures(model: Model) -> None:
    """Prints NDCG@10 of popularity and of the model with and without interests, with the lifts' intervals."""
    after = QueriesAfterTraining.of(model, 4000)
    dataset = model.dataset
    queries = after.queries
    of_described = np.flatnonzero(dataset.interest_rows(queries.users, queries.times) >= 0)
    queries = queries.take(of_described)
    after = QueriesAfterTraining(model, queries, None)
    nobody = np.full(len(queries), -1)
    popular = popularity(model, queries.positives)
    say(f"{len(queries):,} queries of {len(np.unique(queries.users))} users with interests")
    for name, users in (("no history", nobody), ("as they are", queries.users)):
        ranked = {"popularity": popular}
        for words, described in (("without interests", nobody), ("with interests", queries.users)):
            batch = QueryBatch.of(dataset, users, queries.times, described=described)
            pairs = after.pairs(batch)
            ranked[words] = after.ndcg(pairs, model.bundle.ranker.scores(pairs), 0)
            ranked[f"match alone, {words}"] = after.ndcg(pairs, pairs.values["match_raw"].astype(np.float64), 0)
        for words, values in ranked.items():
            say(f"{name}, {words}: NDCG@10 {np.nanmean(values):.4f}")
        best = ranked["with interests"]
        for words in ("popularity", "without interests"):
            lift = paired_bootstrap(ranked[words], best, groups=queries.users, generator=np.random.default_rng(0))
            say(f"{name}, with interests over {words}: {lift.difference:+.4f} ({lift.low:+.4f} to {lift.high:+.4f})")


def popularity(model: Model, positives: Ragged) -> PerQuery:
    """NDCG@10 of the events of each item before the test, over the whole catalogue."""
    n_items = len(model.dataset.catalogue)
    everything = Ragged.from_lists([np.arange(n_items)])
    counts = popularity_features(model.dataset.log, model.bundle.config.learned_until, everything)
    scores = np.tile(counts["popularity_before_test"], len(positives))
    offsets = np.arange(len(positives) + 1) * n_items
    rows = positives.row_index * n_items + positives.values
    ranks = rank_of_rows(scores, offsets, rows, generator=np.random.default_rng(0))
    return ndcg(ranks, positives.offsets, k=10)


def main() -> None:
    """Trains and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--validation", action="store_true", help="leave the test period out, to choose settings")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=JSON", help="a setting of the training")
    options = parser.parse_args()
    items, events, tags = tables(options.folder)
    if options.validation:
        events = events.sort("timestamp").head(round(len(events) * (1 - LATEST)))
    events, users = with_interests(events, tags)
    say(f"{len(users)} users with interests, such as {users['interests'][0].splitlines()}")
    config = {"refit": False, "promote": "never"} | {
        name: json.loads(value) for name, value in (given.split("=", 1) for given in options.set)
    }
    with TemporaryDirectory(prefix="recmem-interests-") as out:
        result = recmem.train(items, events, users=users, out=out, config=config)
        figures(recmem.load(result.bundle))


if __name__ == "__main__":
    main()
