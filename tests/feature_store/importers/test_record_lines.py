from __future__ import annotations

from pathlib import Path

import pytest

from feature_store import DataError
from feature_store.importers.import_receipt import FileCount
from feature_store.importers.published_file import PublishedFile
from feature_store.importers.record_lines import first_record, missing_fields, record_of, records
from published_files import write_lines


def test_a_record_is_json_or_a_python_literal() -> None:
    assert record_of('{"asin": "B1", "also": [1, null]}') == {"asin": "B1", "also": [1, None]}
    assert record_of("{'asin': 'B1', 'title': \"Cook's knife\", 'price': 4.5}")["title"] == "Cook's knife"  # type: ignore[index]


def test_odd_backslashes_and_halves_of_characters_are_read() -> None:
    assert record_of("{'asin': 'B\\d'}") == {"asin": "B\\d"}
    assert record_of('{"title": "a \\ud83d b", "brand": "\\ud83d\\ude00"}') == {"title": "a ? b", "brand": "\U0001f600"}


@pytest.mark.parametrize(
    "text", ["[1, 2]", "asin", "{'a': open('x')}", "{'a': __import__('os')}", "{" * 5000, "[" * 200_000, "{1: 2"]
)
def test_other_text_is_no_record_and_nothing_of_it_is_run(text: str) -> None:
    assert record_of(text) is None


def test_lines_without_a_required_field_are_left_out_by_reason(tmp_path: Path) -> None:
    lines = ['{"asin": "B1", "n": 0}', "oops", '{"asin": "", "n": 1}', '{"n": 2}']
    count = FileCount("meta")
    file = PublishedFile(write_lines(tmp_path / "meta.gz", lines), "metadata", "metadata")
    assert list(records(file, ("asin", "n"), count)) == [(1, {"asin": "B1", "n": 0})]
    assert count.left_out == {
        "row: expected a JSON object, got other text": 1,
        "asin: expected a value, got none": 2,
    }


def test_a_first_record_that_is_none_or_lacks_a_field_refuses_the_file(tmp_path: Path) -> None:
    file = PublishedFile(write_lines(tmp_path / "a.csv", ["asin,title"]), "metadata", "Amazon metadata")
    with pytest.raises(DataError, match=r"metadata: expected Amazon metadata, got a first line that is no JSON object"):
        first_record(file)
    file = PublishedFile(write_lines(tmp_path / "b.json", ['{"isbn": 1}']), "metadata", "Amazon metadata")
    with pytest.raises(DataError, match="got a first record without asin, with isbn"):
        missing_fields(file, first_record(file), ("asin",))
