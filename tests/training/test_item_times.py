"""Numbers of items as of a time, in a whole training: a column that tells the future lifts the ranker only if it leaks.

Every week other titles are in fashion, which nothing before tells. `sold` is what was sold of a title: in the coming
weeks, which is the future, or in the week that has just ended. `plan` says beforehand what a week will bring.
"""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nightly_log
import recmem
from conftest import IsolatedMlflow
from feature_store import ITEMS, Store
from recmem.audit.leaks import leak_audit
from recmem.audit.parity import replay_audit
from recmem.audit.past_queries import PastQueries
from recmem.serving.model import Model
from tolerances import close
from training.pipeline import run_training
from training.progress import Silent
from training.run import TrainingResult

N_ITEMS = 60
N_USERS = 60
N_WEEKS = 20
SPLIT_WEEK = 14
"""The ranker's windows begin then: 70% of the events lie before."""
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = 7 * DAY
IDS = [f"title-{number:02d}" for number in range(N_ITEMS)]


@functools.cache
def events() -> pl.DataFrame:
    """In each week, all at one time, each user takes one title that the user does not have."""
    random = np.random.default_rng(0)
    has = np.zeros((N_USERS, N_ITEMS), bool)
    rows = []
    for week in range(N_WEEKS):
        fashion = np.exp(2.5 * random.normal(size=N_ITEMS))
        for user in range(N_USERS):
            weights = fashion * ~has[user]
            item = int(random.choice(N_ITEMS, p=weights / weights.sum()))
            has[user, item] = True
            rows.append((f"reader-{user:02d}", IDS[item], START + week * WEEK + DAY, week))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "week"], orient="row")


def sold() -> np.ndarray:
    """int[item, week]"""
    counts = np.zeros((N_ITEMS, N_WEEKS), np.int64)
    for item, week in events().select("item_id", "week").iter_rows():
        counts[IDS.index(item), week] += 1
    return counts


def titles() -> pl.DataFrame:
    """The items, with nothing but texts."""
    return nightly_log.items().select("title").head(N_ITEMS).with_columns(item_id=pl.Series(IDS))


def with_times(column: str, *, week_is_told_after: int) -> pl.DataFrame:
    """What is sold in each week as a row a change, at the week's beginning or so many weeks later."""
    rows = [
        (IDS[item], START + (week + week_is_told_after) * WEEK, float(sold()[item, week]))
        for week in range(N_WEEKS)
        for item in range(N_ITEMS)
    ]
    changes = pl.DataFrame(rows, schema=["item_id", "timestamp", column], orient="row")
    return changes.join(titles(), on="item_id")


@functools.cache
def tables() -> dict[str, pl.DataFrame]:
    """The items of each training."""
    return {
        "none": titles(),
        "undated": titles().with_columns(sold=pl.Series(sold()[:, SPLIT_WEEK:].sum(axis=1))),
        "afterwards": with_times("sold", week_is_told_after=1),
        "beforehand": with_times("plan", week_is_told_after=0),
    }


@functools.cache
def trained(name: str) -> TrainingResult:
    """A training on the items of this name, made once per process."""
    return run_training(
        items=tables()[name],
        events=events().drop("week"),
        impressions=None,
        out=Path(tempfile.mkdtemp(prefix="recmem-item-times-")),
        store=None,
        config=nightly_log.settings(),
        progress=Silent(),
    )


def ndcg(name: str) -> float:
    """NDCG@10 of the ranker without text features: what texts tell is chance here."""
    (row,) = [row for row in trained(name).ledger.rows if row.name == "ranker_without_match"]
    return row.metrics["ndcg@10"]


@functools.cache
def model() -> Model:
    """That of the training whose column is known beforehand."""
    return recmem.load(trained("beforehand").bundle)


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def test_an_undated_column_that_sums_up_the_future_lifts_the_ranker_and_is_warned_of() -> None:
    assert ndcg("undated") > ndcg("none") + 0.1
    (warning,) = [each for each in trained("undated").warnings if each.startswith("items.sold")]
    assert "it tells how often items are chosen later" in warning
    assert warning.endswith("Give the items a `timestamp` and a row for each change, or leave the column out.")
    report = trained("undated").report.read_text()
    assert "items.sold: it tells how often items are chosen later" in report
    assert "Without times, so read as they are now for all past queries: items.sold." in report
    assert trained("undated").intake.undated == ("items.sold",)


def test_the_same_told_after_the_fact_with_times_gives_no_lift_and_no_warning() -> None:
    assert abs(ndcg("afterwards") - ndcg("none")) < 0.03
    assert not [each for each in trained("afterwards").warnings if each.startswith("items.sold")]
    assert trained("afterwards").intake.undated == ()
    assert "read as they are now" not in trained("afterwards").report.read_text()


def test_a_column_that_is_known_before_the_query_lifts_the_ranker() -> None:
    assert ndcg("beforehand") > ndcg("none") + 0.3


def test_serving_reads_the_value_as_of_the_row_and_explains_with_it() -> None:
    time = START + 16 * WEEK
    plan = sold()[:, 16]
    most, least = IDS[int(plan.argmax())], IDS[int(plan.argmin())]
    rows = pl.DataFrame({"user_id": ["stranger"] * 2, "item_id": [most, least], "timestamp": time + timedelta(hours=1)})
    ranked = model().rank(rows)
    assert ranked["rank"].to_list() == [1, 2]
    before = model().rank(rows.with_columns(timestamp=START))  # nobody has told any plan yet
    assert before["score"].is_finite().all()
    parts = [model().explain("stranger", most, timestamp=time + timedelta(hours=1)).features]
    parts.append(model().explain("stranger", most, timestamp=START).features)
    assert parts[0]["items.plan"] > parts[1]["items.plan"]
    best = model().recommend(["stranger"], k=5, timestamp=time + timedelta(hours=1))["item_id"].to_list()
    assert np.mean([plan[IDS.index(item)] for item in best]) > np.quantile(plan, 0.8)


def test_facade_and_files_give_the_same_scores(tmp_path: Path) -> None:
    from recmem.cli.score import score

    rows = events().filter(pl.col("week") > 10).select("user_id", "item_id", "timestamp").head(200)
    rows.write_parquet(tmp_path / "candidates.parquet")
    score(
        model=str(trained("beforehand").bundle),
        candidates=str(tmp_path / "candidates.parquet"),
        out=str(tmp_path / "scores.parquet"),
    )
    close(
        pl.read_parquet(tmp_path / "scores.parquet")["score"].to_numpy(),
        model().rank(rows)["score"].to_numpy(),
        "exact",
    )


def test_the_audits_find_nothing() -> None:
    generator = np.random.default_rng(0)
    queries = PastQueries.sample(model().dataset, 40, generator)
    assert replay_audit(model(), queries).is_empty()
    assert leak_audit(model(), queries, n_cuts=3, generator=generator).is_empty()


def test_a_change_that_is_appended_after_training_is_read_once_its_time_has_come(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append(ITEMS, tables()["beforehand"])
    store.append_events(events().drop("week"))
    bundle = trained("beforehand").bundle
    clock = START + (N_WEEKS + 1) * WEEK
    rows = pl.DataFrame({"user_id": ["stranger"] * N_ITEMS, "item_id": IDS, "timestamp": clock})
    earlier = recmem.load(bundle, store=store).rank(rows)
    planned = pl.DataFrame({"item_id": [IDS[7]], "timestamp": [clock], "plan": [60.0]})
    store.append(ITEMS, planned)
    changed = recmem.load(bundle, store=store)
    assert changed.rank(rows)["score"].equals(earlier["score"])  # at the change's own time it is not known yet
    later = changed.rank(rows.with_columns(timestamp=clock + timedelta(microseconds=1)))
    assert later["rank"][7] <= 3 < earlier["rank"][7]
