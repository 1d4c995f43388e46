"""Rejected rows are written out, corrected and resubmitted: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store import DataError, Store
from feature_store.resubmission import read_corrected, resubmit, write_rejected

BAD = pl.DataFrame(
    {
        "user_id": ["u", "", "v", None],
        "item_id": ["a", "b", "c", "d"],
        "timestamp": ["yesterday", "2024-01-02", "2024-01-03", "never"],
        "value": ["1", "2", "3", "4"],
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "store")
    receipt = made.append_events(BAD)
    assert (receipt.n_rejected, receipt.n_new) == (len(made.rejected()), len(BAD) - len(made.rejected()))
    return made


def out_and_in(store: Store, tmp_path: Path) -> list[dict[str, Any]]:
    write_rejected(store.rejected().sort("row_number"), tmp_path / "rows.jsonl")
    return read_corrected(tmp_path / "rows.jsonl")


def test_corrected_rows_are_stored_and_leave_rejected(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    assert [line["row"]["item_id"] for line in lines] == ["a", "b", "d"]
    lines[0]["row"]["timestamp"] = 1_704_000_000
    lines[2]["row"] |= {"user_id": "w", "timestamp": "2024-02-01"}
    receipt = resubmit(store, lines)
    assert (receipt.n_in, receipt.n_accepted, receipt.n_still_bad) == (3, 2, 1)
    assert set(store.events()["item_id"]) == {"a", "c", "d"}
    assert [json.loads(row)["item_id"] for row in store.rejected()["row"]] == ["b"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x1c", "\r"])
def test_text_with_unusual_line_separators_comes_back(tmp_path: Path, separator: str) -> None:
    made = Store.create(tmp_path / "store")
    title = f"one{separator}two"
    made.append_items(pl.DataFrame({"item_id": ["", "b"], "title": [title, "b"]}))
    (line,) = out_and_in(made, tmp_path)
    line["row"]["item_id"] = "a"
    assert resubmit(made, [line]).n_accepted == 1
    assert made.items().filter(item_id="a")["title"].to_list() == [title]


def test_a_file_that_an_editor_saved_with_a_mark_and_crlf_is_read(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    (tmp_path / "saved.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_corrected(tmp_path / "saved.jsonl") == lines


def test_a_row_that_is_still_invalid_is_kept_with_its_new_reason(store: Store, tmp_path: Path) -> None:
    (line,) = [line for line in out_and_in(store, tmp_path) if line["row"]["item_id"] == "a"]
    line["row"] |= {"timestamp": "2024-01-01", "user_id": None}
    receipt = resubmit(store, [line])
    assert (receipt.n_accepted, receipt.n_still_bad) == (0, 1)
    reasons = {json.loads(row)["item_id"]: reason for row, reason in store.rejected().select("row", "reason").rows()}
    assert reasons["a"].startswith("user_id: expected an id, got null")
    assert len(reasons) == 3


def test_a_killed_resubmission_can_be_repeated(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"]["timestamp"] = "2024-01-01"

    def killed(_: object, hashes: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "discard_rejected", killed)
        with pytest.raises(KeyboardInterrupt):
            resubmit(store, lines)
    assert len(store.rejected()) == 3
    assert resubmit(store, lines).n_accepted == 1
    assert store.events().filter(pl.col("item_id") == "a").height == 1
    assert len(store.rejected()) == 2


def test_rows_that_are_not_rejected_are_refused_before_anything_is_written(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"]["timestamp"] = "2024-01-01"
    before = store.digest()
    with pytest.raises(
        DataError, match=r"rows: expected rejected rows, got 1 rows that are not, or no longer, rejected"
    ):
        resubmit(store, [*lines, {**lines[0], "content_hash": "of another"}])
    assert store.digest() == before


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"content_hash": 1, "table": "events", "row": {}}', '{"row": 3}'])
def test_a_file_with_other_lines_is_refused_by_line_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(
        DataError, match=r"rows: expected content_hash, table, row on every line, got lines without them: 2"
    ):
        read_corrected(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=r"rows: expected JSON lines, got '.*nothing.jsonl'"):
        read_corrected(tmp_path / "nothing.jsonl")


CELLS = st.one_of(st.none(), st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.lists(st.integers()))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(BAD.columns), CELLS), min_size=3, max_size=3))
def test_no_row_is_lost_whatever_its_correction(
    tmp_path_factory: pytest.TempPathFactory, edits: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("resubmission")
    store = Store.create(folder / "store")
    store.append_events(BAD)
    lines = out_and_in(store, folder)
    for line, edit in zip(lines, edits, strict=True):
        line["row"] |= edit
    n_before = len(store.events()) + len(store.rejected())
    try:
        receipt = resubmit(store, lines)
    except DataError:
        assert len(store.events()) + len(store.rejected()) == n_before
        return
    parts = receipt.receipts
    assert receipt.n_in == receipt.n_accepted + receipt.n_still_bad
    assert receipt.n_accepted == sum(part.n_new + part.n_duplicate for part in parts)
    assert receipt.n_still_bad == sum(part.n_rejected for part in parts)
    assert len(store.events()) == 1 + sum(part.n_new for part in parts)
    assert (len(store.rejected()) > 0) == (receipt.n_still_bad > 0)
