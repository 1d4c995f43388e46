"""Forgetting removes every trace of an id from disk and nothing else; a killed call can be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store import EVENTS, IMPRESSIONS, DataError, Store, _delta, table_writes
from feature_store.forgetting import erasure, id_search

USER, ITEM = "user-to-forget", "item-to-forget"
IDS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=12),
    st.sampled_from(['O\'Brien -- "x"', "naïve-Üser", "a\\b\\c/d%20", "{json}: [1]", "用户一二三四", " spaced "]),
)


def events(user: object, items: list[object], first: int) -> pl.DataFrame:
    times = [1_700_000_000 + first + place for place in range(len(items))]
    return pl.DataFrame({"user_id": [user] * len(items), "item_id": items, "timestamp": times})


def filled(path: Path, user: object = USER, item: object = ITEM, others: tuple[object, object] = ("b", "c")) -> Store:
    """A store of several commits in which the user and the item stand in every table."""
    store = Store.create(path)
    store.append_items(pl.DataFrame({"item_id": [item, *others], "title": ["one", "two", "three"]}))
    store.append_items(pl.DataFrame({"item_id": [item], "title": ["one, once more"]}))
    for number, who in enumerate((user, *others, user)):
        store.append_events(events(who, [item, others[0]], 10 * number))
    shown = {"impression_id": ["i1", "i1", "i2"], "user_id": [user, user, others[1]], "item_id": [item, *others]}
    store.append_impressions(pl.DataFrame(shown | {"timestamp": [1_700_000_100] * 3, "label": [1, 0, 1]}))
    bad = {"user_id": [user, others[0]], "item_id": [item, item], "timestamp": ["yesterday", "never"]}
    store.append_events(pl.DataFrame(bad))
    return store


def traces(folder: Path, wanted: object) -> list[str]:
    """Files under the folder that hold the id, in their bytes or in their unpacked cells."""
    forms = {str(wanted), json.dumps(str(wanted))[1:-1], json.dumps(str(wanted), ensure_ascii=False)[1:-1]}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                text += json.dumps(pl.read_parquet(path).to_dicts(), default=str, ensure_ascii=False)
            if any(form in text for form in forms):
                found.append(path.name)
    return found


def without(frame: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    return frame.filter(pl.col(column) != value).sort(pl.all())


@pytest.mark.parametrize(("column", "value"), [("user_id", USER), ("item_id", ITEM)])
def test_no_file_contains_the_forgotten_id_and_other_rows_are_unchanged(
    tmp_path: Path, column: str, value: str
) -> None:
    store = filled(tmp_path / "store")
    before = {EVENTS: store.events(), IMPRESSIONS: store.impressions()}
    assert len(traces(tmp_path / "store", value)) > 5
    forgotten = store.forget_user(value) if column == "user_id" else store.forget_item(value)
    assert traces(tmp_path / "store", value) == []
    for table, frame in before.items():
        left = store.read(table)
        assert left.sort(pl.all()).equals(without(frame, column, value))
        assert forgotten.n_removed[table.name] == len(frame) - len(left) > 0
    assert forgotten.n_removed["rejected"] == (1 if column == "user_id" else 2)
    assert forgotten.n_removed.get("items", 0) == (column == "item_id")
    assert len(store.rejected()) == 2 - forgotten.n_removed["rejected"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS.filter(str.strip), st.sampled_from(["user", "item"]))
def test_ids_of_any_kind_are_forgotten(tmp_path_factory: pytest.TempPathFactory, name: str, what: str) -> None:
    folder = tmp_path_factory.mktemp("forget")
    store = filled(folder / "store", **{what: name})
    forgotten = store.forget_user(name) if what == "user" else store.forget_item(name)
    assert forgotten.n_removed["events"] > 0
    assert traces(folder / "store", name) == []


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_what_was_computed_of_the_events_goes_with_the_id(tmp_path: Path, column: str) -> None:
    store = filled(tmp_path / "store")
    derived = store.derived_files()
    assert derived is not None
    derived.write("models", b"of all events")
    _ = store.forget_user(USER) if column == "user_id" else store.forget_item(ITEM)
    assert derived.read("models") is None
    assert not derived.write("models", b"of all events")
    again = store.derived_files()
    assert again is not None
    assert again.read("models") is None


def test_an_integer_id_is_forgotten_and_another_spelling_is_another_id(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", 918273645, 546372819, (1, 2))
    assert store.forget_user("918273645").n_removed["events"] == 4
    assert traces(tmp_path / "store", 918273645) == []
    assert store.forget_item("0546372819").n_removed["events"] == 0


def test_forgetting_an_unknown_user_removes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    before = store.events()
    assert set(store.forget_user("nobody").n_removed.values()) == {0}
    assert store.events().sort(pl.all()).equals(before.sort(pl.all()))


def test_the_store_can_be_appended_to_and_read_after_forgetting(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    digest = store.digest()
    store.forget_user(USER)
    assert store.digest() != digest
    assert store.append_events(events("b", [ITEM, "b"], 10)).n_duplicate == 2
    version = store.append_events(events(USER, ["b"], 99)).version
    store.append_events(events("z", ["b"], 100))
    with pytest.raises(DataError, match=r"events.version: expected a version that can still be read, got 1, .* newest"):
        store.events(1)
    assert store.events(version).filter(pl.col("user_id") == USER).height == 1


STEPS: dict[str, tuple[object, str]] = {
    "replace": (table_writes, "replace"),
    "create_checkpoint": (DeltaTable, "create_checkpoint"),
    "needed files": (_delta.LocalTable, "file_names"),
    "first file": (erasure, "_unlink"),
    "search": (id_search.IdSearch, "is_in"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_call_is_completed_by_the_next(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, before = filled(tmp_path / "store"), filled(tmp_path / "other").events()

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], killed)
        with pytest.raises(KeyboardInterrupt):
            store.forget_user(USER)
    assert set(store.events()["user_id"]) <= {USER, "b", "c"}
    store.forget_user(USER)
    assert traces(tmp_path / "store", USER) == []
    assert store.events().sort(pl.all()).equals(without(before, "user_id", USER))


def test_a_concurrent_writer_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "store")
    replace: Callable[..., None] = _delta.replace
    late = [events("late", ["b"], 500)]

    def interrupted(*args: object) -> None:
        if late:
            store.append_events(late.pop())
        replace(*args)

    monkeypatch.setattr(table_writes, "replace", interrupted)
    store.forget_user(USER)
    assert set(store.events()["user_id"]) == {"b", "c", "late"}
    assert traces(tmp_path / "store", USER) == []
