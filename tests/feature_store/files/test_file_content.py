"""Bytes become text: decompressed, recognised, decoded, or refused for what they are."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from feature_store.files.file_content import UnreadableFileError, as_text, looks_like, read_bytes

TEXT = b"user_id,title\n1,a\n"


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", _zstd)]
)
def test_compressed_text_is_read_and_a_cut_one_refused(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.csv{ending}"
    path.write_bytes(compress(TEXT))
    assert read_bytes(str(path)) == TEXT
    path.write_bytes(compress(TEXT * 100)[:-5])
    with pytest.raises(UnreadableFileError, match="cannot be decompressed"):
        read_bytes(str(path))
    path.write_bytes(TEXT)
    with pytest.raises(UnreadableFileError, match="cannot be decompressed"):
        read_bytes(str(path))


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"PAR1....", "a Parquet file"),
        (b"\x1f\x8b\x08", "a gzip file"),
        (b"PK\x03\x04", "zip archive, or an Excel workbook"),
        (b"  \n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        ("a,b\n1,2".encode("utf-16-le"), "UTF-16 text without a byte order mark"),
    ],
)
def test_content_is_recognised_by_how_it_begins(begin: bytes, kind: str) -> None:
    assert kind in looks_like(begin)
    with pytest.raises(UnreadableFileError, match="it looks like"):
        as_text(begin)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_text(encoding: str) -> None:
    text = as_text("id,título\n1,ñ\n".encode(encoding))
    assert text.lines.decode() == "id,título\n1,ñ\n"
    assert len(text.warnings) == (encoding == "utf-16")


def test_western_text_that_is_not_utf_8_is_read_with_a_warning() -> None:
    text = as_text("id,name\n1,Café “crème” … 5€\n2,plain\n".encode("cp1252"))
    assert text.lines.decode() == "id,name\n1,Café “crème” … 5€\n2,plain\n"
    assert text.bad_lines == {}
    (warning,) = text.warnings
    assert "not UTF-8 (line 2, byte 6 (0xe9))" in warning
    assert "Café" in warning


def test_a_broken_line_among_utf_8_is_bad_and_the_others_stay() -> None:
    text = as_text("1,größer\n".encode() + b"2,caf\xe9\n" + b"3,plain\n")
    assert text.warnings == ()
    assert list(text.bad_lines) == [2]
    assert text.bad_lines[2].text == "2,caf\\xe9"
    assert text.lines.decode().split("\n")[0::2] == ["1,größer", "3,plain"]


@pytest.mark.parametrize(
    ("words", "encoding"), [("Молоко", "cp1251"), ("テスト", "shift_jis"), ("测试商品", "gbk"), ("γάλα", "cp1253")]
)
def test_text_in_another_encoding_is_refused_rather_than_garbled(words: str, encoding: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"neither UTF-8 \(line 2, byte 3"):
        as_text(f"id,name\n1,{words}\n".encode(encoding))
