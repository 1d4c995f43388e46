"""Text files in blocks: cut where a record ends, decompressed on the way, refused where they are no text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.files import text_blocks as module
from feature_store.files.delimited_records import split_fields
from feature_store.files.file_content import UnreadableFileError
from feature_store.files.text_blocks import create_text, text_blocks

CELLS = st.text(st.sampled_from('a",\n\r é'), max_size=6)


def quoted(cell: str) -> str:
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), block_bytes=st.integers(1, 40))
def test_no_block_cuts_a_record_or_loses_a_byte(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "c.csv"
    text = "".join(f"{quoted(first)},{quoted(second)}\n" for first, second in rows)
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block_bytes)
        patch.setattr(module, "MAX_BLOCKS_PER_RECORD", 1_000)
        blocks = list(text_blocks(path, "", has_quotes=True))
    assert b"".join(blocks) == text.encode()
    for block in blocks:
        assert block.endswith(b"\n")
        assert block.count(b'"') % 2 == 0


def test_blocks_are_about_as_long_as_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    (tmp_path / "c.csv").write_bytes(b"user,item\n" * 1_000)
    lengths = [len(block) for block in text_blocks(tmp_path / "c.csv", "", has_quotes=True)]
    assert max(lengths) <= 200
    assert sum(lengths) == 10_000


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
def test_compressed_text_comes_back(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1_000)
    path = tmp_path / f"c.csv{ending}"
    with create_text(path, ending) as file:
        file.write("user,ïtem\n".encode() * 1_000)
    assert path.stat().st_size < 1_000
    assert b"".join(text_blocks(path, ending, has_quotes=True)) == "user,ïtem\n".encode() * 1_000


def test_the_same_text_is_compressed_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with create_text(tmp_path / name / "c.csv.gz", ".gz") as file:
            file.write(b"user,item\n")
    assert (tmp_path / "a" / "c.csv.gz").read_bytes() == (tmp_path / "b" / "c.csv.gz").read_bytes()


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
def test_a_compressed_file_that_is_cut_short_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"c.csv{ending}"
    with create_text(path, ending) as file:
        file.write(bytes(range(32, 128)) * 1_000)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UnreadableFileError, match="it cannot be decompressed"):
        list(text_blocks(path, ending, has_quotes=False))


@pytest.mark.parametrize(
    ("content", "ending", "message"),
    [
        (b"PAR1....", "", "it looks like a Parquet file"),
        (b"\x1f\x8b....", "", "it looks like a gzip file"),
        ("a,b\n".encode("utf-16"), "", "it begins like UTF-16 text"),
        (b"user,item\na,b\na,\xe9\n", "", "line 3 is not UTF-8 .0xe9."),
        (b"user,item\n", ".gz", "it cannot be decompressed: "),
        (b"PK\x03\x04....", ".gz", "it cannot be decompressed: it looks like a zip archive"),
    ],
)
def test_what_is_no_text_is_refused_with_what_it_looks_like(
    tmp_path: Path, content: bytes, ending: str, message: str
) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=message):
        list(text_blocks(tmp_path / "c", ending, has_quotes=True))


def test_quotes_that_never_end_are_refused_with_the_line_where_they_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    (tmp_path / "c.csv").write_bytes(b"user,item\n" * 50 + b'"a,b\n' + b"user,item\n" * 1_000)
    with pytest.raises(UnreadableFileError, match="the record that begins in line 51 is too long: its quotes"):
        list(text_blocks(tmp_path / "c.csv", "", has_quotes=True))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes("user_id,item_id\na,b".encode("utf-8-sig"))
    (block,) = text_blocks(tmp_path / "c.csv", "", has_quotes=True)
    assert split_fields(block.decode().split("\n")[0], ",").cells == ["user_id", "item_id"]
