"""Rejected rows are written out, corrected and resubmitted: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store import REJECTED, DataError, Store
from feature_store.resubmission import read_corrected, resubmit, write_correction_file

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
    write_correction_file(store.rejected().sort("row_number"), tmp_path / "rows.jsonl")
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

    def killed(_: object, hashes: object, how: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "settle_rejected", killed)
        with pytest.raises(KeyboardInterrupt):
            resubmit(store, lines)
    assert len(store.rejected()) == 3
    assert resubmit(store, lines).n_accepted == 1
    assert store.events().filter(pl.col("item_id") == "a").height == 1
    assert len(store.rejected()) == 2


def test_a_finished_resubmission_can_be_repeated_and_a_row_edited_since_is_not_stored_twice(
    store: Store, tmp_path: Path
) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"]["timestamp"] = "2024-01-01"
    assert resubmit(store, lines).n_accepted == 1
    lines[0]["row"]["timestamp"] = "2024-01-05"
    lines[1]["row"]["user_id"] = "w"
    receipt = resubmit(store, lines)
    assert (receipt.n_accepted, receipt.n_still_bad, receipt.n_known) == (1, 1, 1)
    assert store.events().filter(item_id="a")["timestamp"].dt.day().to_list() == [1]


def test_a_row_that_was_corrected_wrongly_can_be_corrected_in_the_same_file(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    place = lines[2]
    for wrong in ("tomorrow", "the day after"):
        place["row"] |= {"user_id": "w", "timestamp": wrong}
        assert resubmit(store, lines).n_still_bad == 3
        assert [json.loads(row)["timestamp"] for row in open_rows(store, "d")["row"]] == [wrong]
        assert open_rows(store, "d")["row_number"].to_list() == [3]
    place["row"]["timestamp"] = "2024-01-04"
    assert resubmit(store, lines).n_accepted == 1
    assert open_rows(store, "d").is_empty()
    # The old file, once more.
    assert (store.append_events(BAD).n_rejected, store.append_events(BAD).n_known) == (2, 1)


def settled_as(store: Store) -> list[str | None]:
    return store.read(REJECTED).sort("row_number")["settled"].to_list()


def test_rows_that_were_written_off_stay_so_until_a_correction_is_stored(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    store.settle_rejected(store.rejected()["content_hash"].to_list())
    for _ in range(2):
        unchanged = resubmit(store, lines)
        assert (unchanged.n_accepted, unchanged.n_still_bad, unchanged.n_known) == (0, 0, 3)
        assert settled_as(store) == ["written off"] * 3
    lines[0]["row"]["timestamp"] = "2024-01-01"
    lines[1]["row"]["user_id"] = "w"
    assert resubmit(store, lines).n_accepted == 2
    assert set(store.events()["item_id"]) == {"a", "b", "c"}
    assert settled_as(store) == ["resubmitted", "resubmitted", "written off"]


def test_a_row_that_gets_the_content_of_a_settled_one_can_still_be_corrected(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    first = dict(lines[0]["row"])
    store.settle_rejected([lines[2]["content_hash"]])
    lines[0]["row"] = dict(lines[2]["row"])
    assert resubmit(store, lines[:1]).n_known == 1
    assert settled_as(store) == ["written off", None, "written off"]
    lines[2]["row"] |= {"user_id": "w", "timestamp": "2024-01-04"}
    assert resubmit(store, lines[2:]).n_accepted == 1
    lines[1]["row"] = {"user_id": None, "item_id": "d", "timestamp": "never", "value": "4"}
    assert resubmit(store, lines[1:2]).n_known == 1
    assert settled_as(store) == ["written off", "stored", "resubmitted"]
    lines[0]["row"] = first | {"timestamp": "2024-01-01"}
    lines[1]["row"] = {"user_id": "w", "item_id": "b", "timestamp": "2024-01-02", "value": "2"}
    assert resubmit(store, lines[:2]).n_accepted == 2
    assert settled_as(store) == ["resubmitted"] * 3


def open_rows(store: Store, item_id: str) -> pl.DataFrame:
    rejected = store.rejected()
    return rejected.filter(pl.Series([json.loads(row)["item_id"] == item_id for row in rejected["row"]]))


def test_a_correction_that_is_taken_back_is_open_in_its_first_form(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    first = dict(lines[2]["row"])
    lines[2]["row"]["user_id"] = "w"
    resubmit(store, lines)
    lines[2]["row"] = first
    resubmit(store, lines)
    assert [json.loads(row) for row in open_rows(store, "d")["row"]] == [first]
    assert len(store.rejected()) == 3


def test_two_rows_whose_contents_are_exchanged_both_stay_open(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"], lines[2]["row"] = lines[2]["row"], lines[0]["row"]
    assert resubmit(store, lines).n_still_bad == 3
    assert len(store.rejected()) == 3


def test_a_row_that_gets_the_content_of_one_that_is_corrected_stays_open(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"] = dict(lines[2]["row"])
    lines[2]["row"] |= {"user_id": "w", "timestamp": "2024-01-04"}
    receipt = resubmit(store, lines)
    assert (receipt.n_accepted, receipt.n_still_bad) == (1, 2)
    assert sorted(json.loads(row)["item_id"] for row in store.rejected()["row"]) == ["b", "d"]


def test_a_receipt_a_table_names_the_lines_of_the_corrected_file(store: Store, tmp_path: Path) -> None:
    store.append_items(pl.DataFrame({"item_id": ["", "b"], "title": ["a", "b"]}))
    lines = out_and_in(store, tmp_path)
    by_item = {line["row"]["item_id"]: line for line in lines}
    by_item["a"]["row"]["timestamp"] = 1_704_000_000  # a number, so that it is read apart from the others
    by_item["b"]["row"]["timestamp"] = 1_704_000_001
    text = "\n\n".join(json.dumps(line) for line in lines)
    (tmp_path / "rows.jsonl").write_text(text)
    read = read_corrected(tmp_path / "rows.jsonl")
    receipt = resubmit(store, read)
    assert sorted(part.table for part in receipt.receipts) == ["events", "items"]
    (events,) = (part for part in receipt.receipts if part.table == "events")
    assert (events.n_in, events.n_new, events.n_rejected) == (3, 1, 2)
    numbers = {line["row"]["item_id"]: 2 * place + 1 for place, line in enumerate(lines)}
    assert events.examples["user_id: expected an id, got empty text"] == f"user_id '' in line {numbers['b']}"
    assert any(example.endswith(f"in line {numbers['d']}") for example in events.examples.values())


def test_corrected_rows_of_one_time_have_no_warning(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "store")
    made.append_events(pl.DataFrame({"user_id": [""] * 30, "item_id": list(map(str, range(30))), "timestamp": 1}))
    lines = out_and_in(made, tmp_path)
    for line in lines:
        line["row"] |= {"user_id": "u", "timestamp": "2024-01-01"}
    (receipt,) = resubmit(made, lines).receipts
    assert (receipt.n_new, receipt.warnings) == (30, ())


def test_rows_that_are_not_rejected_are_refused_before_anything_is_written(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    lines[0]["row"]["timestamp"] = "2024-01-01"
    before = store.digest()
    with pytest.raises(
        DataError, match=r"rows: expected rejected rows, got 1 rows that are not, or no longer, rejected"
    ):
        resubmit(store, [*lines, {**lines[0], "content_hash": "of another"}])
    assert store.digest() == before


def test_rows_that_are_no_table_are_refused_with_their_lines(store: Store, tmp_path: Path) -> None:
    lines = out_and_in(store, tmp_path)
    lines[1]["row"]["timestamp"] = ["2024-01-02"]
    before = store.digest()
    with pytest.raises(
        DataError, match=r"events\.timestamp: expected a time, got a column of List.*\n.*got 2\. Correct"
    ):
        resubmit(store, lines)
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
    assert receipt.n_in == receipt.n_accepted + receipt.n_still_bad + receipt.n_known
    assert receipt.n_accepted == sum(part.n_new + part.n_duplicate for part in parts)
    assert receipt.n_still_bad == sum(part.n_rejected for part in parts)
    assert len(store.events()) == 1 + sum(part.n_new for part in parts)
    assert (len(store.rejected()) > 0) == (receipt.n_still_bad > 0)
    # As often as one likes: what is stored stays so, and what is open stays open.
    content = (len(store.events()), sorted(store.rejected()["content_hash"]))
    assert resubmit(store, lines).n_accepted == 0
    assert (len(store.events()), sorted(store.rejected()["content_hash"])) == content
