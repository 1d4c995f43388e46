"""The search of a store's files for a forgotten id, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError, Store
from feature_store.forgetting import id_search
from feature_store.forgetting.id_search import IdSearch

USER = "user-to-forget"


@pytest.mark.parametrize("name", ["user-to-forget", 'Zoë -- "x" (1+1)', "918273645", "用户一二三四"])
def test_an_id_is_found_in_bytes_and_in_packed_cells(tmp_path: Path, name: str) -> None:
    search = IdSearch(name)
    (tmp_path / "plain").write_text(f"about {name}.")
    (tmp_path / "escaped.json").write_text(json.dumps({"min": name}))
    pl.DataFrame({"n": [{"stats": json.dumps({"min": name})}]}).write_parquet(tmp_path / "nested.parquet")
    many = pl.DataFrame({"user_id": ["a", name] * 500})
    many.write_parquet(tmp_path / "packed.parquet", compression="gzip", statistics=False)
    (tmp_path / "other").write_text(f"x{name}x 1{name}")
    pl.DataFrame({"user_id": [f"{name}1"]}).write_parquet(tmp_path / "other.parquet")
    found = {path.name for path in tmp_path.iterdir() if search.is_in(path)}
    assert found == {"plain", "escaped.json", "nested.parquet", "packed.parquet"}


def test_an_integer_is_found_in_a_column_of_integers(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1, 918273645]}).write_parquet(tmp_path / "ids.parquet")
    assert IdSearch(918273645).is_in(tmp_path / "ids.parquet")
    assert not IdSearch(918273646).is_in(tmp_path / "ids.parquet")


def test_half_a_file_and_one_that_has_gone_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "half.parquet").write_bytes(b"PAR1 half")
    assert not IdSearch(USER).is_in(tmp_path / "half.parquet")
    assert not IdSearch(USER).is_in(tmp_path / "gone")


def filled(folder: Path) -> Store:
    store = Store.create(folder / "store")
    store.append_items(pl.DataFrame({"item_id": ["i", "j"], "title": ["made for user-to-forget", "ink"]}))
    rows = {"user_id": [USER, "b"], "item_id": ["i", "i"], "timestamp": [1, 2], "session_id": ["s", f"{USER} 2"]}
    store.append_events(pl.DataFrame(rows))
    return store


def test_a_file_of_somebody_elses_that_holds_the_id_is_named_and_stays(tmp_path: Path) -> None:
    store = filled(tmp_path)
    notes = Path(store.path, "notes.txt")
    notes.write_text(f"call {USER} back")
    with pytest.raises(
        DataError, match=r"store: expected no file in .* that holds the id, got 'notes\.txt'\. The rows"
    ):
        store.forget_user(USER)
    assert notes.exists()
    assert store.events()["user_id"].to_list() == ["b"]
    notes.unlink()
    store.forget_user(USER)


def test_what_a_writer_leaves_meanwhile_is_found_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    before = store.events()
    late = Path(store.path, "events", "part-late.parquet")
    is_in = IdSearch.is_in

    def left_meanwhile(search: IdSearch, path: Path) -> bool:
        if path.name == "notes.txt" and not late.exists():
            before.write_parquet(late)
            path.unlink()
        return is_in(search, path)

    Path(store.path, "notes.txt").write_text("")
    monkeypatch.setattr(id_search.IdSearch, "is_in", left_meanwhile)
    monkeypatch.setattr("feature_store.forgetting.forget._OTHER_WRITERS_S", 0.0)
    monkeypatch.setattr("feature_store.forgetting.forget._is_written_to", lambda folder: True)
    store.forget_user(USER)
    assert not late.exists()


def test_rows_of_others_that_mention_the_id_are_counted_and_stay(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.forget_user(USER).mentions == {"items.title": 1, "events.session_id": 1}
    assert store.items().height == 2
    assert store.events()["session_id"].to_list() == [f"{USER} 2"]
