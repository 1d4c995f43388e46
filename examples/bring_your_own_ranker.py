"""A LightGBM ranker of one's own, with and without recmem's match features, measured on later rows.

Which package will a software project depend on next? The script does what a team would do that has a ranker already:

1. its own candidates and features, computed from the log as it was at each row's time;
2. `recmem.training_features`: the match features of its training rows, cross-fitted, and the model that serves;
3. LightGBM (lambdarank) on its features alone, and with the match features;
4. the mistake to avoid: training rows that are scored by the model that serves, which has learned from them;
5. all three on rows from after the log: NDCG@10, and the lift with its interval.

    python examples/bring_your_own_ranker.py            # 1,000 projects; --projects 0 for all 2,995
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
import scipy.sparse as sp

import recmem

SAMPLE = Path(__file__).parent / "debian_dependencies"
OUT = Path("runs/bring_your_own_ranker")
LATER_FROM = datetime(2026, 1, 1, tzinfo=UTC)
"""The log that is learned from ends before; what comes after is what the rankers are measured on."""
MAX_TOKENS = 64
"""Texts are cut to this many tokens, so that the script takes some minutes only."""
N_NEGATIVES = 60
"""Candidates of a query beside its positives."""
K = 10
SHRINKAGE = 3.0
OWN = ["popularity", "recent_popularity", "user_events", "same_section", "together"]
MATCH = ["match_score", "match_raw", "match_prior", "similarity_max", "similarity_mean", "similarity_top3"]
QUERY = ["user_id", "timestamp"]


@dataclass(frozen=True)
class Result:
    """NDCG@10 of each query, on the rows that a ranker was fitted on and on later ones."""

    training: pl.DataFrame
    later: pl.DataFrame


# %% The log, and what the team has of it


def read_log(n_projects: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items and events of the first projects in an order by chance, or of all."""
    items = pl.read_parquet(SAMPLE / "items.parquet")
    events = pl.read_parquet(SAMPLE / "events.parquet")
    if n_projects:
        users = events["user_id"].unique().sort().sample(n_projects, shuffle=True, seed=0)
        events = events.filter(pl.col("user_id").is_in(users.implode()))
        items = items.join(events, on="item_id", how="semi")
    return items, events.sort("timestamp", "user_id", "item_id")


def candidates(items: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """A query per project and release: what it newly depends on, and other packages, many of them popular."""
    random = np.random.default_rng(0)
    catalogue = items["item_id"].sort()
    counts = events["item_id"].value_counts()
    popular = catalogue.to_frame().join(counts, on="item_id", how="left")["count"].fill_null(0).to_numpy()
    chance = 0.5 * (popular + 1) / (popular + 1).sum() + 0.5 / len(catalogue)
    first = events["timestamp"].min()
    rows = []
    had: dict[str, set[str]] = {}
    for (user, time), query in events.group_by(QUERY, maintain_order=True):
        chosen = query["item_id"].to_list()
        before = had.setdefault(str(user), set())
        if time != first and before:
            drawn = catalogue.gather(random.choice(len(catalogue), N_NEGATIVES, replace=False, p=chance)).to_list()
            others = [item for item in drawn if item not in before and item not in chosen]
            rows += [(user, time, item, 1) for item in chosen] + [(user, time, item, 0) for item in others]
        before.update(chosen)
    schema = {"user_id": pl.String, "timestamp": events.schema["timestamp"], "item_id": pl.String, "label": pl.Int8}
    # Not the positives first: equal scores are ranked in the order of the rows.
    return pl.DataFrame(rows, schema=schema, orient="row").sort("timestamp", "user_id", "item_id")


def own_features(rows: pl.DataFrame, items: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The rows with the team's features, each read from the log strictly before the row's time."""
    parts = [
        _features_at(part, items, events.filter(pl.col("timestamp") < time))
        for (time,), part in rows.group_by("timestamp", maintain_order=True)
    ]
    return pl.concat(parts)


def _features_at(rows: pl.DataFrame, items: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    item_row = {item: row for row, item in enumerate(items["item_id"])}
    users = pl.concat([rows["user_id"], past["user_id"]]).unique().sort()
    user_row = {user: row for row, user in enumerate(users)}
    section = items["section"].fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    places = ([user_row[user] for user in past["user_id"]], [item_row[item] for item in past["item_id"]])
    shape = (len(users), len(items))
    had = sp.csr_matrix((np.ones(len(past), np.float32), places), shape=shape)
    newest = (past["timestamp"] == past["timestamp"].max()).to_numpy().astype(np.float32)
    popularity = np.asarray(had.sum(axis=0)).ravel()
    recent = np.asarray(sp.csr_matrix((newest, places), shape=shape).sum(axis=0)).ravel()
    u = np.array([user_row[user] for user in rows["user_id"]])
    c = np.array([item_row[item] for item in rows["item_id"]])
    of_section = sp.csr_matrix((np.ones(len(items)), (np.arange(len(items)), section)))
    n_had = np.asarray(had.sum(axis=1)).ravel()
    # Cosine between the users of two packages, summed over what the project has.
    scale = sp.diags(1 / np.sqrt(popularity + SHRINKAGE))
    together = np.asarray((had @ scale @ (scale @ had.T @ had @ scale).tocsr())[u, c]).ravel()
    return rows.with_columns(
        popularity=pl.Series(popularity[c]),
        recent_popularity=pl.Series(recent[c]),
        user_events=pl.Series(n_had[u]),
        same_section=pl.Series(np.asarray((had @ of_section)[u, section[c]]).ravel() / np.maximum(n_had[u], 1)),
        together=pl.Series(together),
    )


# %% Their ranker


def fit(rows: pl.DataFrame, features: list[str]) -> lgb.LGBMRanker:
    """LightGBM's lambdarank on whole queries."""
    ranker = lgb.LGBMRanker(
        n_estimators=150, num_leaves=15, learning_rate=0.05, min_child_samples=100, random_state=0, n_jobs=1, verbose=-1
    )
    groups = rows.group_by(QUERY, maintain_order=True).len()["len"].to_numpy()
    return ranker.fit(rows.select(features).to_numpy(), rows["label"].to_numpy(), group=groups)


def ndcg(ranker: lgb.LGBMRanker, rows: pl.DataFrame, features: list[str]) -> pl.DataFrame:
    """NDCG@10 of each query: user_id, timestamp, ndcg."""
    scores = pl.Series(ranker.predict(rows.select(features).to_numpy()))
    place = pl.col("score").rank("ordinal", descending=True).over(QUERY)
    ranked = rows.with_columns(score=scores).with_columns(place=place)
    gain = (pl.col("label") / (pl.col("place") + 1).log(2)).filter(pl.col("place") <= K).sum()
    n_best = pl.col("label").sum().clip(upper_bound=K)
    ideal = dict(enumerate(np.cumsum(1 / np.log2(np.arange(2, K + 2))).tolist(), start=1))
    per_query = ranked.group_by(QUERY, maintain_order=True).agg(gain=gain, n_best=n_best)
    return per_query.select(
        *QUERY, ndcg=pl.col("gain") / pl.col("n_best").replace_strict(ideal, return_dtype=pl.Float64)
    )


def lift(without: pl.DataFrame, with_: pl.DataFrame) -> tuple[float, float, float]:
    """Mean gain in NDCG@10 and its 95% interval: a paired bootstrap that draws whole projects."""
    paired = without.join(with_, on=QUERY, suffix="_with")
    gains = paired.group_by("user_id", maintain_order=True).agg(
        gain=(pl.col("ndcg_with") - pl.col("ndcg")).sum(), n=pl.len()
    )
    gain = gains["gain"].to_numpy()
    n = gains["n"].to_numpy()
    drawn = np.random.default_rng(0).integers(len(gain), size=(2000, len(gain)))
    low, high = np.percentile(gain[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return float(gain.sum() / n.sum()), float(low), float(high)


# %% With and without the match


def compare(n_projects: int = 1000, out: Path = OUT) -> dict[str, Result]:
    """Fits the three rankers, and measures each on the rows that it was fitted on and on later ones."""
    items, events = read_log(n_projects)
    past = events.filter(pl.col("timestamp") < LATER_FROM)
    later_events = events.filter(pl.col("timestamp") >= LATER_FROM)
    rows = own_features(candidates(items, events), items, events)
    later = rows.filter(pl.col("timestamp") >= LATER_FROM)
    earlier = rows.filter(pl.col("timestamp") < LATER_FROM)

    # Match features of the training rows, each from a module that has not seen the row.
    found = recmem.training_features(earlier, items, past, out=out, max_tokens=MAX_TOKENS)
    print(f"{found.n_without:,} of {len(earlier):,} training rows are older than the first fold: left out here.")
    training = found.frame.drop_nulls("match_score")

    # The same features of new rows, from the model that serves.
    model = recmem.load(found.bundle)
    model.observe(later_events)  # what a service would have seen by the time of each row
    new = model.match(later)

    # The mistake: the serving model has learned from the training rows.
    scored = model.match_with_report(training.drop(*MATCH, "similarity_last"))
    print(f"{scored.n_in_sample:,} of {len(training):,} training rows would be in sample with the model that serves.")

    fitted_on = {"own features": training, "with the match": training, "with the match, in sample": scored.frame}
    results = {}
    for name, frame in fitted_on.items():
        features = OWN if name == "own features" else OWN + MATCH
        ranker = fit(frame, features)
        results[name] = Result(ndcg(ranker, frame, features), ndcg(ranker, new, features))
    return results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--projects", type=int, default=1000, help="projects in the sample; 0 for all")
    results = compare(arguments.parse_args().projects)
    show(results)


def show(results: dict[str, Result]) -> None:
    """Prints a line per ranker, and what the mistake costs."""
    own = results["own features"]
    title = f"NDCG@{K}, {len(own.later):,} later queries"
    print(f"\n{title:<34}{'training':>10}{'later':>8}    lift later, 95% interval")
    for name, result in results.items():
        gain = "" if result is own else "    {:+.3f} ({:+.3f} to {:+.3f})".format(*lift(own.later, result.later))
        print(f"{name:<34}{result.training['ndcg'].mean():>10.3f}{result.later['ndcg'].mean():>8.3f}{gain}")
    cost = lift(results["with the match, in sample"].later, results["with the match"].later)
    print("cross-fitted against in sample, later: {:+.3f} ({:+.3f} to {:+.3f})".format(*cost))


if __name__ == "__main__":
    main()
