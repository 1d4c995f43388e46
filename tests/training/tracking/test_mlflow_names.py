"""Names and values of parameters and metrics: what MLflow takes stays, the rest becomes something that it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from conftest import IsolatedMlflow
from training.tracking.mlflow_names import mlflow_name, parameter_text, tag_text


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("ndcg@10/ranker_with_match", "ndcg_at_10/ranker_with_match"),
        ("ranker.leaves", "ranker.leaves"),
        ("rows_unmatched/events.item_id", "rows_unmatched/events.item_id"),
        ("größe in cm", "größe in cm"),
    ],
)
def test_a_name_that_mlflow_takes_stays_readable_and_as_it_is(name: str, taken: str) -> None:
    assert mlflow_name(name) == taken


@pytest.mark.parametrize("name", ["price €", "a//b", "../up", "/top", "", "a:b", "ctr=7%", "x" * 300, "tab\there"])
def test_other_names_are_changed_and_end_in_a_digest(name: str) -> None:
    assert mlflow_name(name)[-9] == "_"
    assert mlflow_name(name) != mlflow_name(name + "€")


@given(st.lists(st.text(max_size=300), min_size=2, max_size=2, unique=True))
def test_every_name_is_taken_and_no_two_become_one(names: list[str]) -> None:
    for name in names:
        _validate_param_name(mlflow_name(name))
        _validate_metric_name(mlflow_name(name))
        assert len(mlflow_name(name)) <= 250
    if not any("@" in name or "_at_" in name for name in names):
        assert mlflow_name(names[0]) != mlflow_name(names[1])


def test_a_long_value_is_cut_and_tells_its_length() -> None:
    assert parameter_text("x" * 6000) == "x" * 6000
    cut = parameter_text("x" * 12345)
    assert len(cut) == 6000
    assert cut.endswith("xxx ... (12,345 characters)")
    assert len(tag_text("x" * 12345)) == 8000


def test_mlflow_takes_values_of_the_greatest_length(isolated_mlflow: IsolatedMlflow) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    run_id = client.create_run(isolated_mlflow.experiment_id).info.run_id
    client.log_param(run_id, mlflow_name("€" * 300), parameter_text("é" * 9000))
    client.set_tag(run_id, "long", tag_text("é" * 9000))
    logged = client.get_run(run_id).data
    assert list(logged.params.values()) == [parameter_text("é" * 9000)]
    assert logged.tags["long"] == tag_text("é" * 9000)
