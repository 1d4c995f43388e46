"""The model in use: it follows its alias, survives a version that cannot be loaded, and forgets no observed event."""

from __future__ import annotations

import threading
import time

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from recmem.server import current_model
from recmem.server.current_model import CurrentModel, LoadedModel
from recmem.serving.model import Model

ALIAS = "models:/recmem@champion"


class Registry:
    """An alias in place of MLflow's, which the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.version: int | None = 1
        self.loaded: list[str] = []
        monkeypatch.setattr(current_model, "version_at", self.version_at)

    def version_at(self, source: str) -> str | None:
        if source != ALIAS:
            return None
        if self.version is None:
            raise DataError("tracking: expected MLflow's registry, got an error (gone).")
        return f"models:/recmem/{self.version}"

    def load(self, source: str) -> Model:
        self.loaded.append(source)
        if source.endswith("/13"):
            raise DataError("model: expected a bundle, got a torn one.")
        return trained_model().model()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(monkeypatch)


def event(user: str = "somebody new", day: int = 1) -> pl.DataFrame:
    item = trained_model().items["item_id"][0]
    return pl.DataFrame({"user_id": [user], "item_id": [item], "timestamp": [f"2027-01-{day:02}"]})


def test_a_new_version_takes_over_and_is_told_what_was_observed(registry: Registry) -> None:
    told: list[LoadedModel] = []
    current = CurrentModel(ALIAS, registry.load)
    current.on_load = told.append
    assert current.observe(event()).n_new == 1
    assert not current.follow()
    registry.version = 2
    assert current.follow()
    assert current.loaded.name == "models:/recmem/2"
    assert [loaded.name for loaded in told] == ["models:/recmem/2"]
    assert current.loaded.model.memory("somebody new").height == 1
    # And the one after it, from the same events.
    registry.version = 3
    assert current.follow()
    assert current.loaded.model.memory("somebody new").height == 1


def test_a_version_that_cannot_be_loaded_leaves_the_one_in_use(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    before = current.loaded
    registry.version = 13
    assert not current.follow()
    assert current.loaded is before
    assert current.problem == "model: expected a bundle, got a torn one."
    # It is tried again, and what comes after it is loaded.
    assert not current.follow()
    assert registry.loaded.count("models:/recmem/13") == 2
    registry.version = 14
    assert current.follow()
    assert current.problem is None


def test_a_registry_that_is_away_for_a_while_changes_nothing(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    registry.version = None
    assert not current.follow()
    assert "expected MLflow's registry" in str(current.problem)
    registry.version = 1
    assert not current.follow()
    assert current.problem is None
    assert registry.loaded == ["models:/recmem/1"]


def test_an_event_that_is_observed_while_a_version_is_loading_is_in_it(registry: Registry) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def slow(source: str) -> Model:
        model = registry.load(source)
        if source.endswith("/2"):
            begun.set()
            assert go_on.wait(30)
        return model

    current = CurrentModel(ALIAS, slow)
    registry.version = 2
    following = threading.Thread(target=current.follow)
    following.start()
    assert begun.wait(30)
    assert current.observe(event("in between")).n_new == 1
    go_on.set()
    following.join()
    assert current.loaded.name == "models:/recmem/2"
    assert current.loaded.model.memory("in between").height == 1


def test_going_back_to_an_older_version_loses_no_event(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    current.observe(event())
    with_event = trained_model().model()
    with_event.observe(event())
    load = registry.load
    # The store of version 2 has the event by then; that of version 1 never will.
    current._load = lambda source: with_event if source.endswith("/2") else load(source)
    for version in (2, 1):
        registry.version = version
        assert current.follow()
        assert current.loaded.model.memory("somebody new").height == 1


def test_events_of_several_forms_are_all_told(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    other = event("another", 2).with_columns(timestamp=pl.lit(1_800_000_000), page=pl.lit("home"))
    for events in (event(), other, event("a third", 3)):
        assert current.observe(events).n_new == 1
    registry.version = 2
    assert current.follow()
    assert [current.loaded.model.memory(user).height for user in ("somebody new", "another", "a third")] == [1, 1, 1]


def test_times_in_several_units_keep_their_meaning(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    times = {"a": 1_780_000_000, "b": 1_780_000_060, "c": 1_780_000_120_000}  # two in seconds, one in milliseconds
    for user, time_ in times.items():
        assert current.observe(event(user).with_columns(timestamp=pl.lit(time_))).n_new == 1
        assert current.observe_users(pl.DataFrame({"user_id": [user], "timestamp": [time_], "age": [30]})).n_new == 1
    registry.version = 2
    assert current.follow()
    model = current.loaded.model
    read = [model.memory(user)["timestamp"].dt.epoch("s").to_list() for user in times]
    assert read == [[1_780_000_000], [1_780_000_060], [1_780_000_120]]
    assert model.dataset.profiles.table["timestamp"].dt.epoch("s").sort().to_list() == [time_ for (time_,) in read]


def test_observed_rows_of_users_are_told_to_later_versions(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    users = pl.DataFrame({"user_id": ["somebody new"], "age": [30], "interests": ["network"]})
    assert current.observe_users(users).n_new == 1
    assert current.observe_users(users).n_new == 0
    current.observe(event())
    registry.version = 2
    assert current.follow()
    table = current.loaded.model.dataset.profiles.table
    assert table.select("user_id", "age", "interests").rows() == [("somebody new", 30, "network")]
    assert current.loaded.model.memory("somebody new").height == 1


def test_a_failure_after_the_load_leaves_the_version_in_use(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = CurrentModel(ALIAS, registry.load)
    before = current.loaded
    current.observe(event())

    class Panic(BaseException):
        pass

    def panic(self: Model, events: object) -> None:
        raise Panic("torn")

    monkeypatch.setattr(Model, "observe", panic)
    registry.version = 2
    assert not current.follow()
    assert current.loaded is before
    assert current.problem == "torn"
    monkeypatch.undo()
    registry = Registry(monkeypatch)
    registry.version = 2
    assert current.follow()


def test_the_oldest_observed_events_are_dropped_first(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_model, "MAX_KEPT_EVENTS", 2)
    current = CurrentModel(ALIAS, registry.load)
    for day in (1, 2, 3):
        current.observe(event(f"user {day}", day))
    registry.version = 2
    current.follow()
    assert [current.loaded.model.memory(f"user {day}").height for day in (1, 2, 3)] == [0, 1, 1]


def test_the_alias_is_looked_at_in_the_background(registry: Registry) -> None:
    current = CurrentModel(ALIAS, registry.load)
    current.start_following(0.01)
    registry.version = 2
    deadline = time.monotonic() + 30
    while current.loaded.name != "models:/recmem/2" and time.monotonic() < deadline:
        time.sleep(0.01)
    current.stop_following()
    assert current.loaded.name == "models:/recmem/2"


def test_a_folder_is_not_followed(registry: Registry) -> None:
    current = CurrentModel("a folder", registry.load)
    current.start_following(0.01)
    time.sleep(0.1)
    current.stop_following()
    assert registry.loaded == ["a folder"]
    assert current.loaded.name == "a folder"
