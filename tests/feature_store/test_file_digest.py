from __future__ import annotations

from pathlib import Path

import pytest

from feature_store.file_digest import file_digest


def test_the_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "abc.txt"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_name_is_no_part_of_the_digest_and_every_byte_of_a_large_file_is(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    for name, bytes_written in (("a", content), ("b", content), ("c", content[:-1] + b"\0")):
        (tmp_path / name).write_bytes(bytes_written)
    first, same, other = (file_digest(tmp_path / name) for name in "abc")
    assert first == same != other


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")
