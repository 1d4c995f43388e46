"""The finished file appears in one step, here and on an object store, and nothing else stays."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import s3_server
from feature_store import DataError
from recmem.batch.output_file import output_at


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def break_off(out: Path | str) -> None:
    with output_at(out) as (folder, _):
        (folder / "scores").write_text("half")
        raise KeyError


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, form: str) -> None:
    target = tmp_path / "deep" / "s.csv"
    target.parent.mkdir()
    target.write_text("old")
    with output_at(form.format(target)) as (folder, finish):
        (folder / "scores").write_text("new")
        assert target.read_text() == "old"
        finish(folder / "scores")
        assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("old")
    with pytest.raises(KeyError):
        break_off(tmp_path / "s.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_an_object_appears_when_it_is_whole(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.running() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(KeyError):
            break_off(s3.url("out/s.csv"))
        assert s3.names() == []
        with output_at(s3.url("out/s.csv")) as (folder, finish):
            (folder / "scores").write_text("new")
            assert s3.names() == []
            finish(folder / "scores")
        assert (s3.names(), s3.get("out/s.csv")) == (["out/s.csv"], b"new")
    assert list(temporary.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match="out: expected a file that can be written, got"),
        output_at(tmp_path / "file" / "s.csv"),
    ):
        pytest.fail("nothing may be done")
