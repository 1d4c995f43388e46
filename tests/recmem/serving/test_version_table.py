"""The versions of a registered model as rows, whatever their tags are."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.serving.version_table import versions_of

NEW = {
    "ndcg_at_10": "0.412",
    "lift_ndcg_at_10": "0.1",
    "lift_low": "0.05",
    "lift_high": "0.15",
    "verdict": "promoted: first champion",
    "recmem.verdict": "no champion yet",
    "data": "9 events to 2026-03-01",
}
OLD = {
    "recmem.lift": json.dumps({"without": 0.2, "with_": 0.3, "difference": 0.1, "ci95": [0.05, 0.15]}),
    "recmem.verdict": "no champion yet",
}


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


def register(client: MlflowClient, *all_tags: dict[str, str]) -> None:
    client.create_registered_model("shop")
    for tags in all_tags:
        client.create_model_version("shop", "file:///nowhere", tags=tags)


def test_the_newest_version_comes_first_with_its_aliases(client: MlflowClient) -> None:
    register(client, *[NEW] * 11)
    client.set_registered_model_alias("shop", "champion", "10")
    client.set_registered_model_alias("shop", "blessed", "10")
    rows = versions_of(client, "shop")
    assert [row.version for row in rows] == [str(number) for number in range(11, 0, -1)]
    assert [row.aliases for row in rows][:3] == [(), ("blessed", "champion"), ()]


def test_a_row_has_the_figures_and_words_of_the_tags(client: MlflowClient) -> None:
    register(client, NEW | {"changed_by_hand": "rolled back on 2026-03-02"})
    (row,) = versions_of(client, "shop")
    assert (row.ndcg, row.lift) == (0.412, (0.1, 0.05, 0.15))
    assert (row.verdict, row.by_hand, row.data) == (
        "promoted: first champion",
        "rolled back on 2026-03-02",
        "9 events to 2026-03-01",
    )
    assert abs(row.registered_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_version_of_an_earlier_recmem_shows_what_it_has(client: MlflowClient) -> None:
    register(client, OLD)
    (row,) = versions_of(client, "shop")
    assert (row.lift, row.verdict, row.data) == ((0.1, 0.05, 0.15), "no champion yet", "")
    assert math.isnan(row.ndcg)


def test_the_zero_lift_that_an_earlier_recmem_wrote_without_text_features_is_no_figure(client: MlflowClient) -> None:
    zero = {"lift_ndcg_at_10": "0", "lift_low": "0", "lift_high": "0", "recmem.ships": "ranker_without_match"}
    register(client, NEW | zero, NEW | {"recmem.ships": "ranker_without_match", "ships": "without text features"})
    new, old = versions_of(client, "shop")
    assert (new.lift, new.ranks_without_text, old.ranks_without_text) == ((0.1, 0.05, 0.15), True, True)
    assert all(math.isnan(figure) for figure in old.lift)
    assert (old.ndcg, old.document()["lift_low"]) == (0.412, None)


@pytest.mark.parametrize("tags", [{}, {"ndcg_at_10": "high"}, {"recmem.lift": "{}"}, {"recmem.lift": "[1"}])
def test_tags_that_another_program_wrote_are_no_figures(client: MlflowClient, tags: dict[str, str]) -> None:
    register(client, tags)
    (row,) = versions_of(client, "shop")
    assert math.isnan(row.ndcg)
    assert all(math.isnan(figure) for figure in row.lift)


def test_an_unknown_name_is_refused_with_those_that_there_are(client: MlflowClient) -> None:
    with pytest.raises(DataError, match=r"expected a registered model, got 'shop', but the registry is empty"):
        versions_of(client, "shop")
    client.create_registered_model("shops")
    with pytest.raises(DataError, match=r"got 'shop', but the registry has shops\. Give one that there is"):
        versions_of(client, "shop")
