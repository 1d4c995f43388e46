"""Files on an object store, against a server that speaks S3: copied here, or there as a whole or not at all."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from feature_store import DataError
from feature_store.object_store import (
    check_reachable,
    download_file,
    download_folder,
    is_remote,
    local_path,
    upload_file,
)
from s3_server import S3, SECRET


def test_a_url_of_files_is_local_and_others_are_not() -> None:
    assert [is_remote(address) for address in ("a/b", "file:///a/b", "s3://a/b")] == [False, False, True]
    assert local_path("file:///a%20b/c") == Path("/a b/c")


def test_a_file_that_is_written_comes_back_as_it_was(s3: S3, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100_000  # 25 MB: several parts
    (tmp_path / "own file.bin").write_bytes(content)
    upload_file(tmp_path / "own file.bin", s3.url("deep/own file.bin"), argument="out")
    assert s3.get("deep/own file.bin") == content
    copy = download_file(s3.url("deep/own file.bin"), tmp_path, argument="model")
    assert (copy.name, copy.read_bytes()) == ("own file.bin", content)


def test_a_failed_write_leaves_the_old_object_in_place(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("scores.csv", b"old")
    (tmp_path / "new").write_bytes(b"x" * 25_000_000)
    put = obstore.put

    def cut_short(store: object, key: str, file: Path, **options: object) -> None:
        def pieces() -> Iterator[bytes]:
            yield file.read_bytes()[:20_000_000]
            raise ConnectionError("the line went dead")

        put(store, key, pieces(), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(obstore, "put", cut_short)
    with pytest.raises(ConnectionError):
        upload_file(tmp_path / "new", s3.url("scores.csv"), argument="out")
    assert s3.get("scores.csv") == b"old"


def test_a_folder_is_copied_with_the_wanted_files_only(s3: S3, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.csv", "in/c.parquet"):
        s3.put(f"parts/{name}", name.encode())
    s3.put("parts-of-another/d.parquet", b"d")
    n_found = download_folder(
        s3.url("parts"), tmp_path, argument="candidates.path", wanted=lambda name: name.endswith(".parquet")
    )
    assert n_found == 2
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == ["a.parquet", "in/c.parquet"]
    assert (tmp_path / "in" / "c.parquet").read_bytes() == b"in/c.parquet"


@pytest.mark.parametrize("name", ["first//a.csv", "/a.csv", "second/in//a.csv"])
def test_an_object_that_no_file_can_be_named_like_is_named_in_the_error(s3: S3, tmp_path: Path, name: str) -> None:
    s3.put(name, b"a")
    s3.put(f"{name.partition('/')[0]}/b.csv", b"b")
    folder = s3.url(name.partition("/")[0])
    with pytest.raises(DataError, match=rf"model: expected objects .* got another at .*{name}.*Rename it"):
        download_folder(folder, tmp_path, argument="model")


@pytest.mark.parametrize("name", ["../../evil", "{absolute}/evil", "", "in//evil", "in/", "./evil", "."])
def test_a_name_that_is_no_place_below_the_folder_is_not_followed(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = f"parts/{name.format(absolute=tmp_path)}"
    s3.put("parts/evil", b"evil")
    real_get = obstore.get
    monkeypatch.setattr(obstore, "list", lambda *_, **__: [[{"path": found}]])
    monkeypatch.setattr(obstore, "get", lambda store, _, **__: real_get(store, "parts/evil"))
    assert download_folder(s3.url("parts"), tmp_path / "in", argument="model") == 0
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://shop/absent.csv", r"model: expected a file, got none at 's3://shop/absent\.csv'"),
        ("s3://no-such-shop/a.csv", "model: expected a bucket that exists, got none at"),
        ("ftp://me:hidden-word@host/a.csv", r"model: expected a path or an object store, got 'ftp://host/a\.csv'"),
        ("s3://me:hidden-word@shop/a.csv", "model: expected"),
    ],
)
def test_what_cannot_be_read_is_refused_without_secrets(s3: S3, tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        download_file(address, tmp_path, argument="model")
    shown = "".join(traceback.format_exception(refused.value))
    assert "hidden-word" not in shown
    assert SECRET not in shown


def test_a_place_without_a_bucket_is_refused_before_any_work(s3: S3) -> None:
    with pytest.raises(DataError, match=r"out: expected a bucket that exists, got none at 's3://no-such-shop/s\.csv'"):
        check_reachable("s3://no-such-shop/s.csv", argument="out")
    with pytest.raises(DataError, match="out: expected a file's address, got 's3://shop/folder/'"):
        check_reachable(s3.url("folder/"), argument="out")
    check_reachable(s3.url("new/scores.csv"), argument="out")
    assert "new/scores.csv" not in s3.names()


def test_a_server_that_does_not_answer_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in S3(1).environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        DataError, match=r"out: expected an object store that answers, got an error at 's3://shop/s\.csv'"
    ):
        check_reachable("s3://shop/s.csv", argument="out")


def test_a_missing_library_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "obstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(DataError, match=r"Run pip install 'recmem\[obstore\]'"):
        download_file("s3://shop/a.csv", tmp_path, argument="model")
