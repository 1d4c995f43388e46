"""Features of one's own: which columns may be some, and that one that tells the label lifts the ranker, everywhere."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import IMPRESSIONS, DataError, Store
from ranked_on_device import same_ranks_on_device
from recmem.dataset.candidate_features import CandidateFeature
from recmem.serving.model import Model
from tolerances import close
from training.api import train
from training.config import TrainingConfig
from training.own_features import own_features
from training.run import TrainingResult
from training.tracking.registry import save_pyfunc

FEATURES = ("ctr_7d", "badge")


@functools.cache
def impressions() -> pl.DataFrame:
    """What each project was shown at each date: six items, of which chance chose the clicked one.

    Only `ctr_7d` tells it, but for some noise, and it is missing here and there; `badge` is chance.
    """
    random = np.random.default_rng(1)
    every = small_training.items()["item_id"].to_list()
    visits = small_training.events().select("user_id", "timestamp").unique().sort("timestamp", "user_id")
    rows = []
    for user, time in visits.iter_rows():
        for place, item in enumerate(random.choice(every, 6, replace=False).tolist()):
            label = int(place == 0)
            ctr = None if random.random() < 0.1 else 3 * label + random.normal()
            rows.append((f"{user} {time}", user, time, item, label, ctr, "new" if random.random() < 0.5 else "sale"))
    names = ["impression_id", "user_id", "timestamp", "item_id", "label", "ctr_7d", "badge"]
    return pl.DataFrame(rows, schema=names, orient="row")


@functools.cache
def trained(features: tuple[str, ...]) -> TrainingResult:
    """A training on the impressions, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-own-features-")
    return train(
        small_training.items(),
        small_training.events(),
        impressions=impressions(),
        features=features,
        out=out,
        tune_encoder="off",
    )


def candidates() -> pl.DataFrame:
    """What was shown at the last date."""
    shown = impressions()
    return shown.filter(pl.col("timestamp") == shown["timestamp"].max()).drop("label")


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings and pyfuncs of this file are tracked in a database of their own."""


def model() -> Model:
    return recmem.load(trained(FEATURES).bundle)


def test_a_feature_that_tells_the_label_lifts_both_rankers_alike() -> None:
    figures = {}
    for features in ((), FEATURES):
        ledger = trained(features).ledger
        figures[features] = {row.name: row.metrics["ndcg@10"] for row in ledger.rows}
    for name in ("ranker_with_match", "ranker_without_match"):
        assert figures[FEATURES][name] > figures[()][name] + 0.15, name
    for name in ("popularity", "match_score"):
        assert figures[FEATURES][name] == figures[()][name], name


def test_the_bundle_carries_the_features_with_typical_values_and_the_vocabulary() -> None:
    ctr, badge = model().dataset.config.candidate_features
    assert ctr.name == "ctr_7d"
    assert ctr.typical == pytest.approx(impressions()["ctr_7d"].median(), rel=1e-6)
    assert (badge.name, badge.categories) == ("badge", ("new", "sale"))
    assert {"candidates.ctr_7d", "categories.badge"} <= set(model().bundle.ranker.features)


def test_ranks_are_the_same_on_a_device() -> None:
    rows = candidates()
    some = pl.int_range(pl.len()) % 3
    rows = rows.with_columns(
        ctr_7d=pl.when(some > 0).then("ctr_7d"),
        badge=pl.when(some == 0).then(pl.lit("never seen")).when(some == 1).then("badge"),
    )
    same_ranks_on_device(model(), rows)


def test_the_value_of_a_candidate_moves_it_and_nulls_are_missing_values() -> None:
    one = model()
    rows = candidates()
    first = pl.int_range(pl.len()) == 0
    low = one.rank(rows.with_columns(ctr_7d=pl.when(first).then(-3.0).otherwise("ctr_7d")))
    high = one.rank(rows.with_columns(ctr_7d=pl.when(first).then(6.0).otherwise("ctr_7d")))
    assert high["score"][0] > low["score"][0] + 0.5
    assert high["rank"][0] == 1
    nulls = one.rank(rows.with_columns(ctr_7d=None, badge=None))
    assert nulls["score"].is_finite().all()
    unseen = one.rank(rows.with_columns(ctr_7d=None, badge=pl.lit("never seen")))
    assert unseen["score"].equals(nulls["score"])


def test_candidates_without_the_column_are_refused_for_ranking_and_taken_for_the_match() -> None:
    rows = candidates().drop("ctr_7d")
    with pytest.raises(DataError, match=r"candidates.ctr_7d: expected the column, which is a feature of this model"):
        model().rank(rows)
    assert model().match(rows)["match_score"].equals(model().match(candidates())["match_score"])


def test_repeated_rows_change_nothing_for_the_others() -> None:
    rows = candidates().head(30)
    once = model().rank(rows)
    twice = model().rank(pl.concat([rows, rows.head(5)]))
    assert twice.head(30)["score"].equals(once["score"])
    assert twice.tail(5)["score"].equals(once.head(5)["score"])


def test_frames_files_and_the_pyfunc_give_the_same_scores(tmp_path: Path) -> None:
    from recmem.cli.score import score

    bundle = trained(FEATURES).bundle
    ranked = model().rank(candidates())["score"].to_numpy()
    candidates().write_parquet(tmp_path / "candidates.parquet")
    score(model=str(bundle), candidates=str(tmp_path / "candidates.parquet"), out=str(tmp_path / "scores.parquet"))
    close(pl.read_parquet(tmp_path / "scores.parquet")["score"].to_numpy(), ranked, "exact")
    close(model().rank(candidates().to_pandas())["score"].to_numpy(), ranked, "exact")
    close(model().rank(candidates(), explain=2)["score"].to_numpy(), ranked, "exact")
    save_pyfunc(bundle, tmp_path / "model", candidates())
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert {"ctr_7d", "badge"} <= set(served.metadata.signature.inputs.input_names())
    result: pd.DataFrame = served.predict(candidates().to_pandas())
    close(result["score"].to_numpy(), ranked, "exact")
    assert result["missing_features"].tolist() == candidates()["ctr_7d"].is_null().to_list()
    assert "missing_features" in served.metadata.signature.outputs.input_names()


def test_explanations_have_a_part_for_each_feature_which_follows_its_value() -> None:
    typical = model().explain("curl", "libldap-dev")
    high = model().explain("curl", "libldap-dev", features={"ctr_7d": 6.0})
    assert {"candidates.ctr_7d", "categories.badge"} <= set(typical.features)
    assert high.features["candidates.ctr_7d"] > typical.features["candidates.ctr_7d"] + 0.5
    assert high.match_raw == typical.match_raw
    with pytest.raises(DataError, match=r"features: expected features of the model \(ctr_7d, badge\), got 'price'"):
        model().explain("curl", "libldap-dev", features={"price": 1})
    with pytest.raises(DataError, match=r"features.ctr_7d: expected Float64"):
        model().explain("curl", "libldap-dev", features={"ctr_7d": "high"})


def test_items_that_recmem_retrieves_are_ranked_with_typical_values() -> None:
    best = model().recommend(["curl"], k=len(small_training.items()))
    own = model().dataset.config.candidate_features
    rows = best.select(user_id=pl.lit("curl"), item_id="item_id").with_columns(
        pl.lit(feature.example, feature.dtype).alias(feature.name) for feature in own
    )
    assert len(best) > 10
    close(model().rank(rows)["score"].to_numpy(), best["score"].to_numpy(), "float32")


def test_features_that_training_cannot_have_are_refused(tmp_path: Path) -> None:
    tables = small_training.items(), small_training.events()
    with pytest.raises(
        DataError, match=r"features: expected impressions with the columns ctr_7d, got no impressions\."
    ):
        train(*tables, features=["ctr_7d"], out=tmp_path / "bare", tune_encoder="off")
    assert not (tmp_path / "bare").exists()  # before anything is written
    with pytest.raises(DataError, match=r"impressions.price: expected the column, got only impression_id"):
        train(*tables, impressions=impressions(), features=["price"], out=tmp_path / "other", tune_encoder="off")
    with pytest.raises(ValueError, match="features: expected a list of names of columns, got 'ctr_7d'"):
        train(*tables, features="ctr_7d", out=tmp_path)


def test_features_that_stored_impressions_lack_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append(IMPRESSIONS.with_features(["ctr_7d"]), impressions().select(pl.exclude("badge")))
    before = store.versions()
    with pytest.raises(DataError, match=r"impressions\.badge: expected a column with values, which is to be a feature"):
        train(
            *(small_training.items(), small_training.events()),
            features=["badge"],
            store=store.path,
            out=tmp_path / "run",
            tune_encoder="off",
        )
    assert not (tmp_path / "run").exists()
    assert store.versions() == before


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["position"], "expected columns of your own, got 'position', which recmem reads or writes itself"),
        (["history"], "got 'history'"),
        (["ctr", "match_reason_1"], "got 'match_reason_1', which recmem reads or writes itself"),
        (["match_score"], "got 'match_score'"),
        (["label"], "got 'label'"),
        (["ctr_z"], "expected names that do not end in _z"),
        (["ctr", "ctr"], "expected each column once, got ctr, ctr"),
        ([""], r"expected a list of names of columns, got \[''\]"),
    ],
)
def test_names_that_mean_something_else_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=f"features: .*{words}"):
        TrainingConfig(features=tuple(names))


def test_features_are_fixed_by_the_stored_columns() -> None:
    stored = pl.DataFrame({"ctr": [0.5, 1.5], "device": ["web", "web"], "day": [0, 1]})
    assert own_features(stored, ["device", "ctr"]) == (
        CandidateFeature("device", ("web",), 0.0),
        CandidateFeature("ctr", None, 1.0),
    )
    with pytest.raises(DataError, match=r"impressions.price: expected a column with values, .*, got none in the store"):
        own_features(stored, ["price"])
    dated = stored.with_columns(pl.col("day").cast(pl.Date))
    with pytest.raises(DataError, match=r"impressions.day: expected numbers or text for a feature, got Date"):
        own_features(dated, ["day"])
