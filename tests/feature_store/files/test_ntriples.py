"""N-Triples: what a triple is, what is undone in it, and which lines are set aside."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from feature_store import DataError, Store
from feature_store.files.file_rows import FileRows
from feature_store.files.table_files import read_table
from feature_store.schema import FACTS


def rows_of(folder: Path, *lines: str, name: str = "facts.nt") -> FileRows:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(str(path), table="facts")


def triples(read: FileRows) -> list[tuple[str, ...]]:
    return read.frame.select("subject", "relation", "object").rows()


def test_iris_lose_their_brackets_and_literals_their_quotes_types_and_escapes(tmp_path: Path) -> None:
    read = rows_of(
        tmp_path,
        "<http://x.org/12> <http://x.org/author> <http://x.org/Le_Guin> .",
        '<http://x.org/12> <http://x.org/title> "A \\"Wizard\\"\\n\\u00e9 \\\\ \\U0001F409" .',
        '<http://x.org/12> <http://x.org/pages> "183"^^<http://www.w3.org/2001/XMLSchema#integer>.',
        '\t<http://x.org/\\u00e9>\t<http://x.org/p>\t"" . # a comment',
    )
    assert triples(read) == [
        ("http://x.org/12", "http://x.org/author", "http://x.org/Le_Guin"),
        ("http://x.org/12", "http://x.org/title", 'A "Wizard"\né \\ \U0001f409'),
        ("http://x.org/12", "http://x.org/pages", "183"),
        ("http://x.org/é", "http://x.org/p", ""),
    ]


def test_language_tags_stand_in_a_column_of_their_own(tmp_path: Path) -> None:
    lines = ['<a:b> <a:name> "Berlin"@DE-at .', '<a:b> <a:name> "Berlin"@en--ltr .', "<a:b> <a:p> <a:c>."]
    read = rows_of(tmp_path, *lines)
    assert read.frame["language"].to_list() == ["de-at", "en", None]


def test_comments_and_blank_lines_are_no_rows_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    read = rows_of(tmp_path, "# head", "", "  ", "<a:b> <a:p> <a:c> .", "<a:b> <a:p> <a:d> .")
    assert read.lines is not None
    assert read.lines.to_list() == [4, 5]
    assert read.unreadable.is_empty()


def test_blank_nodes_are_the_same_within_a_file_and_others_in_another(tmp_path: Path) -> None:
    first = triples(rows_of(tmp_path, "<a:b> <a:p> _:n1 .", "_:n1 <a:q> <a:c> ."))
    again = triples(rows_of(tmp_path, "<a:b> <a:p> _:n1 .", "_:n1 <a:q> <a:c> ."))
    other = triples(rows_of(tmp_path, "<a:b> <a:p> _:n1 .", "_:n1 <a:q> <a:d> ."))
    assert first[0][2] == first[1][0]
    assert first == again
    assert first[0][2] != other[0][2]
    assert first[0][2].startswith("_:")


@pytest.mark.parametrize(
    "line",
    [
        "<a:b> <a:p> <a:c>",  # no point
        '"text" <a:p> <a:c> .',  # a literal has no facts
        '<a:b> <a:p> "open .',
        "<a:b> _:p <a:c> .",
        '<a:b> <a:p> "\\x" .',
        '<a:b> <a:p> "\\uD800" .',  # half a pair is no character
        "<a:b> <a:p> <a: c> .",
        "@prefix a: <http://x.org/> .",
    ],
)
def test_a_line_that_is_no_triple_is_set_aside_with_its_number(tmp_path: Path, line: str) -> None:
    read = rows_of(tmp_path, "<a:b> <a:p> <a:c> .", line)
    assert read.frame.height == 1
    assert read.unreadable["line"].to_list() == [2]
    assert read.unreadable["text"].to_list() == [line]


def test_a_line_is_set_aside_without_the_line_end_of_windows(tmp_path: Path) -> None:
    read = rows_of(tmp_path, "<a:b> <a:p> <a:c> .\r", "nonsense\r")
    assert triples(read) == [("a:b", "a:p", "a:c")]
    assert read.unreadable["text"].to_list() == ["nonsense"]


def test_a_file_without_any_triple_is_refused_by_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"facts\.path: expected N-Triples, got none from 2 lines: line 1 .*Turtle"):
        rows_of(tmp_path, "@prefix a: <http://x.org/> .", "a:b a:p a:c .")


def test_compressed_files_are_read_and_byte_order_marks_dropped(tmp_path: Path) -> None:
    path = tmp_path / "facts.nt.gz"
    path.write_bytes(gzip.compress("\ufeff<a:b> <a:p> <a:c> .\r\n".encode()))
    assert triples(read_table(str(path), table="facts")) == [("a:b", "a:p", "a:c")]


def test_other_tables_and_other_forms_of_rdf_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.nt"
    path.write_text("<a:b> <a:p> <a:c> .\n")
    with pytest.raises(DataError, match=r"events\.path: expected events, got N-Triples, which hold facts"):
        read_table(str(path), table="events")
    turtle = tmp_path / "facts.ttl"
    turtle.write_text("a:b a:p a:c .\n")
    with pytest.raises(DataError, match=r"\.ttl is not a supported form of RDF.*Convert it to N-Triples"):
        read_table(str(turtle), table="facts")


def test_broken_lines_are_rejected_rows_of_the_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    receipt = store.append(FACTS, rows_of(tmp_path, "<a:b> <a:p> <a:c> .", "nonsense"))
    assert (receipt.n_in, receipt.n_new, receipt.n_rejected) == (2, 1, 1)
    assert store.rejected()["line"].to_list() == [2]
