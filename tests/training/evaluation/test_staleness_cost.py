"""The cost of stale features: what is stale in each pass, and that nothing else is."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from debian_model import model_of, trained_model
from feature_store import DataError
from feature_store.point_in_time.read_protocol import END_OF_TIME
from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from tolerances import close
from training.evaluation import staleness_cost as staleness_module
from training.evaluation.staleness_cost import DELAYS, STALE_PARTS, StalenessCost, staleness_cost
from training.queries import Queries, queries_between
from training.report.plots import staleness_figure

DAY = DELAYS["1 day"]


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model().model()


def later_queries(model: Model) -> tuple[Queries, QueryBatch]:
    queries = queries_between(model.dataset.log, model.bundle.config.learned_until, END_OF_TIME).spread(40)
    return queries, QueryBatch.of(model.dataset, queries.users, queries.times)


def cost_of(model: Model, limit: int = 30) -> StalenessCost:
    return staleness_cost(model, limit=limit, generator=np.random.default_rng(0))


def test_stale_memories_are_those_of_a_log_whose_events_come_so_much_later(model: Model) -> None:
    queries, fresh = later_queries(model)
    arrives = pl.max_horizontal(pl.col("timestamp") + pl.duration(microseconds=1), "available_at")
    late = model_of(trained_model().events.with_columns(available_at=arrives + pl.duration(microseconds=DAY)))
    expected = QueryBatch.of(late.dataset, queries.users, queries.times).histories
    passes = {(stale, delay): batch for stale, delay, batch in staleness_module._passes(model, queries, fresh)}
    for stale in ("memories", "memories and counters"):
        assert passes[(stale, "1 day")].histories.items.to_lists() == expected.items.to_lists()
    assert passes[("counters", "1 day")].histories is fresh.histories
    assert expected.items.to_lists() != fresh.histories.items.to_lists()
    close(passes[("memories", "1 day")].times, queries.times, "exact")
    close(passes[("counters", "1 day")].times, queries.times - DAY, "exact")


def test_a_feed_without_delay_costs_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staleness_module, "DELAYS", {"none": 0})
    found = cost_of(model)
    assert [cost.stale for cost in found.costs] == list(STALE_PARTS)
    assert {(cost.figure, cost.difference, cost.ci95) for cost in found.costs} == {(found.fresh, 0.0, (0.0, 0.0))}


def test_every_part_has_a_cost_at_every_delay_against_the_same_fresh_figure(model: Model) -> None:
    found = cost_of(model)
    assert {(cost.stale, cost.delay) for cost in found.costs} == {(s, d) for s in STALE_PARTS for d in DELAYS}
    for cost in found.costs:
        close(cost.figure, found.fresh + cost.difference, "float64")
        assert cost.ci95[0] <= cost.difference <= cost.ci95[1]
    assert any(cost.difference != 0 for cost in found.costs)
    assert json.loads(found.to_json())["costs"][0]["stale"] == STALE_PARTS[0]
    axes = staleness_figure(found).axes
    assert len(axes) == len(STALE_PARTS)
    low, high = axes[0].get_xlim()
    assert all(low < end < high for cost in found.costs for end in cost.ci95)
    assert cost_of(model) == found


def test_impressions_are_ranked_as_they_were_shown() -> None:
    model = trained_model().model()
    queries = queries_between(model.dataset.log, model.bundle.config.learned_until, END_OF_TIME).spread(6)
    ids = model.dataset.catalogue.ids
    rows = np.arange(len(queries))
    items = [[int(queries.positives.row(int(row))[0]), 0, 1, 2] for row in rows]
    shown = pl.DataFrame(
        {
            "impression_id": [str(row) for row in rows],
            "user_id": model.dataset.users.gather(queries.users),
            "timestamp": pl.from_epoch(pl.Series(queries.times), "us").dt.replace_time_zone("UTC"),
            "item_id": [ids.gather(list(dict.fromkeys(row))).to_list() for row in items],
        }
    ).explode("item_id", empty_as_null=False, keep_nulls=False)
    first = pl.int_range(pl.len()).over("impression_id") == 0
    found = cost_of(model_of(trained_model().events, shown.with_columns(label=first.cast(pl.Int8))))
    assert found.queries == len(queries)
    assert 0 < found.fresh <= 1


def test_a_store_without_later_queries_is_refused(model: Model) -> None:
    early = pl.from_epoch(pl.Series([model.bundle.config.learned_until]), "us").dt.replace_time_zone("UTC")[0]
    past = trained_model().events.filter(pl.col("timestamp") <= early)
    with pytest.raises(DataError, match=r"events.timestamp: expected queries after 20.*, got none. Ingest"):
        cost_of(model_of(past))
