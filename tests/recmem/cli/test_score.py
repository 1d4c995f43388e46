"""`recmem score`: every row once and in order, and candidates or models that are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, Outcome, write_candidates


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    return write_candidates(tmp_path)


def test_score_gives_every_row_once_in_order_with_what_the_model_gives(
    bundle: Path, candidates: Path, tmp_path: Path
) -> None:
    import recmem

    outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", tmp_path / "scores.parquet")
    assert outcome.code == DONE, outcome.err
    found, given = pl.read_parquet(tmp_path / "scores.parquet"), pl.read_parquet(candidates)
    assert found.select(given.columns).equals(given)
    assert found.equals(recmem.load(bundle).rank(given))
    of_curl = found.filter(pl.col("user_id") == "curl")
    assert len(of_curl) == 21
    # Equal scores share the better rank.
    assert of_curl["rank"].to_list() == of_curl["score"].rank("min", descending=True).to_list()


def test_score_in_chunks_equals_the_whole(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    arguments = ["score", "--model", bundle, "--candidates", candidates, "--out"]
    assert Outcome(*arguments, tmp_path / "whole.parquet").code == DONE
    assert Outcome(*arguments, tmp_path / "chunks.parquet", "--chunk-rows", 25).code == DONE
    whole, chunks = pl.read_parquet(tmp_path / "whole.parquet"), pl.read_parquet(tmp_path / "chunks.parquet")
    assert chunks.columns == whole.columns
    assert chunks["rank"].equals(whole["rank"])
    assert chunks["score"].to_numpy() == pytest.approx(whole["score"].to_numpy(), abs=1e-6)


def test_score_can_give_the_match_columns_alone(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    assert (
        Outcome("score", "--model", bundle, "--candidates", candidates, "--out", out, "--columns", "match").code == DONE
    )
    columns = pl.read_parquet_schema(out)
    assert {"match_score", "match_raw", "match_prior", "similarity_max"} <= set(columns)
    assert not {"score", "rank"} & set(columns)


def test_score_of_the_match_tells_of_rows_that_the_model_has_learned_from(
    bundle: Path, candidates: Path, tmp_path: Path
) -> None:
    old = pl.read_parquet(candidates).with_columns(timestamp=pl.lit("2026-02-01"))
    old.write_parquet(tmp_path / "old.parquet")
    arguments = ["score", "--model", bundle, "--candidates", tmp_path / "old.parquet", "--out", tmp_path / "scores"]
    outcome = Outcome(*arguments, "--columns", "match", "--chunk-rows", 25)
    assert outcome.code == DONE
    assert outcome.err.count("in sample") == 1
    assert f"{len(old)} rows are in sample: the model has learned from all events up to 2026-05-31" in outcome.err


def test_score_tells_of_users_and_items_that_nobody_knows(bundle: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["curl", "newcomer"], "item_id": ["unheard-of", "libpng-dev"]})
    frame.write_parquet(tmp_path / "c.parquet")
    outcome = Outcome(
        "score", "--model", bundle, "--candidates", tmp_path / "c.parquet", "--out", tmp_path / "s.parquet"
    )
    assert outcome.code == DONE
    assert pl.read_parquet(tmp_path / "s.parquet").height == 2
    assert "1 row: the item is not in the store, and the row has no text." in outcome.err
    assert "1 row: the user has no events in the store." in outcome.err


def test_score_of_no_rows_writes_the_columns(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    pl.read_parquet(candidates).clear().write_parquet(candidates)
    assert Outcome("score", "--model", bundle, "--candidates", candidates, "--out", tmp_path / "s.parquet").code == DONE
    assert {"mine", "score", "rank"} <= set(pl.read_parquet_schema(tmp_path / "s.parquet"))


def c_absent(path: Path) -> None:
    path.unlink()


def c_text(path: Path) -> None:
    path.write_text("user_id,item_id\n")


def c_columns(path: Path) -> None:
    pl.read_parquet(path).rename({"item_id": "sku"}).write_parquet(path)


def c_null_ids(path: Path) -> None:
    pl.read_parquet(path).with_columns(user_id=pl.lit(None, pl.String)).write_parquet(path)


def c_taken_name(path: Path) -> None:
    pl.read_parquet(path).with_columns(match_score=0.5).write_parquet(path)


def c_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (c_absent, "candidates.path: expected"),
        (c_text, "candidates.path: expected"),
        (c_columns, "item_id"),
        (c_null_ids, "user_id"),
        (c_taken_name, "match_score"),
        (c_folder, "candidates.path: expected"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_score_refuses_candidates_that_cannot_be_used_in_words(
    bundle: Path, candidates: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(candidates)
    outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", tmp_path / "s.parquet")
    assert outcome.code == REFUSED
    assert message in outcome.err
    assert not (tmp_path / "s.parquet").exists()


def test_score_refuses_a_place_that_cannot_be_written(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    for out in (tmp_path, candidates / "s.parquet"):
        outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", out)
        assert outcome.code == REFUSED
        assert "out: expected a file" in outcome.err


def m_absent(bundle: Path) -> None:
    shutil.rmtree(bundle)


def m_no_json(bundle: Path) -> None:
    (bundle / "bundle.json").write_text("{")


def m_truncated(bundle: Path) -> None:
    weights = bundle / "match.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def m_other_ranker(bundle: Path) -> None:
    ranker = bundle / "ranker.txt"
    ranker.write_text(ranker.read_text().replace("learning_rate: 0.05", "learning_rate: 0.06") + "\n")


def m_missing_file(bundle: Path) -> None:
    (bundle / "ranker.json").unlink()


@pytest.mark.parametrize("spoil", [m_absent, m_no_json, m_truncated, m_other_ranker, m_missing_file])
@pytest.mark.parametrize("command", ["score", "memory"])
def test_a_damaged_bundle_is_refused_in_words(
    bundle: Path, candidates: Path, tmp_path: Path, spoil: Callable[[Path], None], command: str
) -> None:
    damaged = tmp_path / "bundle"
    shutil.copytree(bundle, damaged)
    spoil(damaged)
    rest = {
        "score": ["--candidates", candidates, "--out", tmp_path / "s.parquet"],
        "memory": ["--user", "curl"],
    }
    outcome = Outcome(command, "--model", damaged, *rest[command])
    assert outcome.code == REFUSED
    assert ": expected " in outcome.err


def test_a_cascade_of_the_match_alone_is_refused(bundle: Path, tmp_path: Path) -> None:
    files = ("--candidates", tmp_path / "c.parquet", "--out", tmp_path / "s.parquet")
    message = Outcome("score", "--model", bundle, *files, "--columns", "match", "--trees-share", 0.1)
    assert (message.code, "--columns rank" in message.err) == (2, True)
