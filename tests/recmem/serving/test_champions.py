"""Who is champion, who was, and the way back."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.serving.champions import champion_of, crown, promote_by_hand, roll_back

NAME = "shop"


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    """A registered model of five versions and no champion; version 5 is the challenger."""
    client = MlflowClient(isolated_mlflow.tracking_uri)
    client.create_registered_model(NAME)
    for _ in range(5):
        client.create_model_version(NAME, "file:///nowhere")
    client.set_registered_model_alias(NAME, "challenger", "5")
    return client


def history(client: MlflowClient) -> str:
    return str(client.get_registered_model(NAME).tags["champions"])


def test_there_is_no_champion_before_one_is_crowned(client: MlflowClient) -> None:
    assert champion_of(client, NAME) is None
    assert champion_of(client, "another") is None
    assert crown(client, NAME, "1") is None
    assert champion_of(client, NAME) == "1"


def test_rolling_back_twice_leads_two_champions_back(client: MlflowClient) -> None:
    for version in ("1", "3", "4"):
        crown(client, NAME, version)
    assert history(client) == "1,3,4"
    first = roll_back(client, NAME)
    assert (first.left, first.back_to, champion_of(client, NAME)) == ("4", "3", "3")
    second = roll_back(client, NAME)
    assert (second.left, second.back_to, champion_of(client, NAME)) == ("3", "1", "1")
    assert client.get_model_version(NAME, "4").tags["changed_by_hand"].startswith("rolled back on 20")
    with pytest.raises(DataError, match=r"expected a champion before version 1 of shop, got none\. .*recmem promote"):
        roll_back(client, NAME)
    assert champion_of(client, NAME) == "1"


def test_a_new_champion_after_a_rollback_leads_back_to_the_one_that_it_replaced(client: MlflowClient) -> None:
    for version in ("1", "2"):
        crown(client, NAME, version)
    roll_back(client, NAME)
    crown(client, NAME, "3")
    assert history(client) == "1,3"
    assert roll_back(client, NAME).back_to == "1"


def test_a_version_that_is_champion_again_does_not_stay_marked_as_rolled_back(client: MlflowClient) -> None:
    for version in ("1", "2"):
        crown(client, NAME, version)
    roll_back(client, NAME)
    crown(client, NAME, "2")
    crown(client, NAME, "3")
    assert client.get_model_version(NAME, "2").tags["changed_by_hand"].startswith("rolled back on 20")
    assert roll_back(client, NAME).back_to == "2"
    assert client.get_model_version(NAME, "2").tags["changed_by_hand"].startswith("champion again on 20")


def test_crowning_the_champion_again_changes_nothing(client: MlflowClient) -> None:
    crown(client, NAME, "1")
    crown(client, NAME, "2")
    assert crown(client, NAME, "2") == "2"
    assert history(client) == "1,2"


def test_an_alias_that_was_set_by_another_program_is_part_of_the_history(client: MlflowClient) -> None:
    crown(client, NAME, "1")
    client.set_registered_model_alias(NAME, "champion", "2")
    crown(client, NAME, "3")
    assert history(client) == "1,2,3"
    client.set_registered_model_alias(NAME, "champion", "4")
    assert roll_back(client, NAME).back_to == "3"


def test_a_deleted_champion_is_skipped_and_named(client: MlflowClient) -> None:
    for version in ("1", "2", "3"):
        crown(client, NAME, version)
    client.delete_model_version(NAME, "2")
    done = roll_back(client, NAME)
    assert (done.left, done.back_to, done.skipped) == ("3", "1", ("2",))


def test_the_way_back_does_not_lead_to_the_champion_itself(client: MlflowClient) -> None:
    for version in ("1", "2", "3", "2"):
        crown(client, NAME, version)
    client.delete_model_version(NAME, "3")
    done = roll_back(client, NAME)
    assert (done.left, done.back_to, done.skipped) == ("2", "1", ("3",))
    assert champion_of(client, NAME) == "1"


def test_without_any_champion_left_nothing_changes(client: MlflowClient) -> None:
    for version in ("1", "2"):
        crown(client, NAME, version)
    client.delete_model_version(NAME, "1")
    with pytest.raises(DataError, match=r"before version 2 of shop, got none but version 1, which was deleted"):
        roll_back(client, NAME)
    assert (champion_of(client, NAME), history(client)) == ("2", "1,2")


def test_without_a_champion_there_is_no_way_back(client: MlflowClient) -> None:
    with pytest.raises(DataError, match=r"expected a model with a champion, got 'shop', which has none"):
        roll_back(client, NAME)


def test_a_model_that_nobody_registered_has_no_way_back(client: MlflowClient) -> None:
    with pytest.raises(DataError, match="expected a model with a champion, got 'nobody'"):
        roll_back(client, "nobody")


@pytest.mark.parametrize(("given", "version"), [("2", "2"), ("challenger", "5")])
def test_any_version_can_be_promoted_by_its_number_or_alias(client: MlflowClient, given: str, version: str) -> None:
    crown(client, NAME, "1")
    assert promote_by_hand(client, NAME, given) == (version, "1")
    assert champion_of(client, NAME) == version
    assert client.get_model_version(NAME, version).tags["changed_by_hand"].startswith("promoted by hand on 20")
    assert roll_back(client, NAME).back_to == "1"


@pytest.mark.parametrize("given", ["9", "best"])
def test_a_version_that_does_not_exist_is_refused(client: MlflowClient, given: str) -> None:
    crown(client, NAME, "1")
    with pytest.raises(DataError, match=rf"version: expected a version of shop, got '{given}'\. `recmem versions`"):
        promote_by_hand(client, NAME, given)
    assert champion_of(client, NAME) == "1"
