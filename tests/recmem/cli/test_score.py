"""`recmem score`: every row once and in order, and candidates or models that are refused."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import s3_server
import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome, write_candidates


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    return write_candidates(tmp_path)


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ("data/c.parquet", "data/c.parquet"),
        ("data/c.parquet", "data/../data/c.parquet"),
        ("link.parquet", "data/c.parquet"),
        ("data", "data/s.parquet"),
        ("s3://shop/c.parquet", "s3://shop/c.parquet"),
        ("s3://shop/data/", "s3://shop/data/s.parquet"),
    ],
)
def test_an_output_that_is_one_of_the_candidates_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/c.parquet").touch()
    Path("link.parquet").symlink_to("data/c.parquet")
    outcome = Outcome("score", "--model", "none", "--candidates", given, "--out", out)
    assert outcome.code == WRONG_USE
    assert "--out: expected a file that is none of --candidates" in outcome.err


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
    arguments = ["score", "--model", bundle, "--candidates", tmp_path / "old.parquet", "--out", tmp_path / "s.parquet"]
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


@pytest.mark.parametrize("name", ["c.csv", "c.arrow"])
def test_a_file_of_a_header_alone_gives_the_columns(bundle: Path, tmp_path: Path, name: str) -> None:
    empty = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, "price": pl.Float64})
    (empty.write_csv if name == "c.csv" else empty.write_ipc)(tmp_path / name)
    outcome = Outcome("score", "--model", bundle, "--candidates", tmp_path / name, "--out", tmp_path / "s.csv")
    assert outcome.code == DONE, outcome.err
    assert {"price", "score", "rank"} <= set(pl.read_csv(tmp_path / "s.csv").columns)


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


@pytest.mark.parametrize("ending", ["csv", "jsonl.gz", "arrow"])
def test_score_reads_and_writes_the_formats_of_the_names(
    bundle: Path, candidates: Path, tmp_path: Path, ending: str
) -> None:
    arguments = ["score", "--model", bundle, "--explain", 2, "--candidates"]
    given = tmp_path / f"c.{ending}"
    out = tmp_path / f"s.{ending}"
    frame = pl.read_parquet(candidates).with_columns(mine=pl.format("00{}", "mine"))
    frame.write_parquet(candidates)
    {
        "csv": lambda: frame.write_csv(given),
        "jsonl.gz": lambda: given.write_bytes(gzip.compress(frame.write_ndjson().encode())),
        "arrow": lambda: frame.write_ipc(given),
    }[ending]()
    assert Outcome(*arguments, candidates, "--out", tmp_path / "s.parquet").code == DONE
    outcome = Outcome(*arguments, given, "--out", out)
    assert outcome.code == DONE, outcome.err
    assert f"Wrote {frame.height} rows to {out}." in outcome.out.replace("\n", "")
    expected = pl.read_parquet(tmp_path / "s.parquet")
    found = {
        "csv": lambda: pl.read_csv(out),
        "jsonl.gz": lambda: pl.read_ndjson(gzip.decompress(out.read_bytes())),
        "arrow": lambda: pl.read_ipc(out),
    }[ending]()
    assert found.columns == expected.columns
    texts = ["user_id", "item_id", "match_reason_1", "score_reason_2", "reasons"]
    assert found.select(texts).equals(expected.select(texts))
    for name in ("match_score", "match_raw", "score", "rank"):
        assert found[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-6)


def test_an_unknown_ending_is_refused_with_those_that_there_are(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    arguments = ["score", "--model", bundle, "--candidates", candidates, "--out"]
    outcome = Outcome(*arguments, tmp_path / "scores.xlsx")
    assert outcome.code == REFUSED
    assert "out: expected a name whose ending says its format, got 'scores.xlsx'" in outcome.err
    assert ".parquet, .pq, .arrow, .feather, .csv, .tsv, .jsonl or .ndjson" in outcome.err
    (tmp_path / "c.docx").write_bytes(b"PK\x03\x04")
    outcome = Outcome(*arguments[:3], "--candidates", tmp_path / "c.docx", "--out", tmp_path / "s.csv")
    assert (outcome.code, ".jsonl" in outcome.err) == (REFUSED, True)


def test_reasons_with_a_share_of_the_trees_are_refused(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    files = ("--candidates", candidates, "--out", tmp_path / "s.parquet")
    message = Outcome("score", "--model", bundle, *files, "--explain", 1, "--trees-share", 0.1)
    assert (message.code, "--explain: expected no --trees-share" in message.err) == (2, True)


def test_score_works_from_object_store_to_object_store(
    run: Path, candidates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.running() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        s3.put_folder(run / "bundle", "runs/1/bundle")
        s3.put_folder(run / "store", "store")
        s3.put("in/c.parquet", candidates.read_bytes())
        places = ["--model", s3.url("runs/1"), "--store", s3.url("store"), "--candidates", s3.url("in/c.parquet")]
        outcome = Outcome("score", *places, "--out", s3.url("out/s.csv"))
        assert outcome.code == DONE, outcome.err
        assert s3.names().count("out/s.csv") == 1
        expected = tmp_path / "s.parquet"
        assert Outcome("score", "--model", run / "bundle", *places[4:], "--out", expected).code == DONE
        found = pl.read_csv(s3.get("out/s.csv"))
        assert found["score"].to_numpy() == pytest.approx(pl.read_parquet(expected)["score"].to_numpy(), abs=1e-6)
        outcome = Outcome("score", *places, "--out", "s3://a-user:a-password@no-such-shop/s.csv")
        assert outcome.code == REFUSED
        assert "out: expected a bucket that exists" in outcome.err
        for secret in (s3_server.SECRET, "a-password"):
            assert secret not in outcome.out + outcome.err


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
def test_several_workers_write_the_same_bytes_and_the_same_warnings(
    bundle: Path, candidates: Path, tmp_path: Path, name: str
) -> None:
    arguments = ["score", "--model", bundle, "--candidates", candidates, "--chunk-rows", 25, "--out"]
    one, two = tmp_path / "one" / name, tmp_path / "two" / name
    alone = Outcome(*arguments, one, "--workers", 1)
    assert alone.code == DONE, alone.err
    outcome = Outcome(*arguments, two, "--workers", 2)
    assert outcome.code == DONE, outcome.err
    assert one.read_bytes() == two.read_bytes()
    assert "the user has no events in the store" in alone.err
    assert alone.err.splitlines()[-1] == outcome.err.splitlines()[-1]


def test_sigterm_removes_what_was_begun(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    many = pl.concat([pl.read_parquet(candidates).with_columns(impression_id=pl.lit(n)) for n in range(2000)])
    many.write_parquet(candidates)
    command = [sys.executable, "-c", "from recmem.cli import main; main()", "score", "--model", bundle]
    command += ["--candidates", candidates, "--out", tmp_path / "s.parquet", "--workers", "2", "--chunk-rows", "100"]
    with subprocess.Popen(
        list(map(str, command)), env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.DEVNULL
    ) as process:
        while not list(tmp_path.glob(".s.parquet-*/scores")):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == [candidates.name]
