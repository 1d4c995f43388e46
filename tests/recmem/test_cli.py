"""The command line: what each command tells, its exit codes, and that no input gives a traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import small_training
from conftest import IsolatedMlflow
from feature_store.point_in_time.as_of_index import AsOfIndex
from recmem.cli.app import app
from recmem.cli.error_handling import GuardedCommand

ROOT = Path(__file__).parents[2]
DONE, REFUSED, WRONG_USE = 0, 1, 2
WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
HEAVY = ["torch", "transformers", "mlflow", "lightgbm", "polars", "deltalake", "pyarrow", "matplotlib", "training"]

HELP = """
import sys
heavy, sys.argv = set(sys.argv[1:]), ["recmem", "--help"]
from recmem.cli import main
try:
    main()
finally:
    print(*heavy & set(sys.modules), file=sys.stderr)
"""


class Outcome:
    """What a command left: exit code, stdout, stderr."""

    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """Every pair of four projects (one of them new) and the catalogue, in no order, with a column of their own."""
    users = pl.DataFrame({"user_id": ["curl", "inkscape", "vlc", "newcomer"]})
    pairs = users.join(small_training.items().select("item_id"), how="cross").with_row_index("mine")
    pairs.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(tmp_path / "candidates.parquet")
    return tmp_path / "candidates.parquet"


# Help and wrong use


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *HEAVY], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == DONE
    assert done.stderr.split() == []
    assert all(command in done.stdout for command in ("train", "ingest", "score", "explain", "memory"))


@pytest.mark.parametrize("command", ["train", "ingest", "score", "explain", "memory"])
def test_help_of_a_command_describes_each_option(command: str) -> None:
    outcome = Outcome(command, "--help")
    assert outcome.code == DONE
    options = [line for line in outcome.out.splitlines() if "--" in line and "│" in line]
    assert options
    assert all(len(line.split()) > 4 for line in options), options


def test_version_is_that_of_the_distribution() -> None:
    outcome = Outcome("--version")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert outcome.code == DONE
    assert outcome.out.strip() in {f"recmem {project['version']}", "recmem from a checkout that is not installed"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["train", "--out", "run"],
        ["train", "--out", "run", "--items", "items.parquet"],
        ["train", "--out", "run", "--store", "s", "--candidates", "0"],
        ["train", "--out", "run", "--store", "s", "--candidates", "many"],
        ["train", "--out", "run", "--store", "s", "--seed", "-1"],
        ["train", "--out", "run", "--store", "s", "--positive-from", "1", "--negative-to", "2"],
        ["train", "--out", "run", "--store", "s", "--positive-from", "nan"],
        ["train", "--out", "run", "--store", "s", "--encoder", ""],
        ["ingest", "--store", "s"],
        ["ingest", "--items", "items.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "c.parquet"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--columns", "both"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--chunk-rows", "0"],
        ["score", "--model", "b", "--candidates", "c.parquet", "--out", "s.parquet", "--device", "abacus"],
        ["explain", "--model", "b", "--user", "u"],
        ["explain", "--model", "b", "--user", "u", "--item", "i", "--timestamp", "yesterday"],
        ["memory", "--model", "b", "--user", "u", "--timestamp", "nan"],
        ["memory", "--model", "b", "--user", "u", "--unheard-of"],
    ],
    ids=" ".join,
)
def test_wrong_use_exits_with_2_and_says_why(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(*arguments)
    assert outcome.code == WRONG_USE
    assert outcome.err.strip()
    assert list(tmp_path.iterdir()) == []


# Ingest


def test_ingest_tells_what_became_of_the_rows_and_repeating_adds_nothing(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    first = Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--events", events)
    again = Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--events", events)
    assert (first.code, again.code) == (DONE, DONE)
    assert "items: 21 new, 0 duplicate, 0 rejected of 21 rows" in first.out
    assert "events: 180 new, 0 duplicate, 0 rejected of 180 rows" in first.out
    assert "events: 0 new, 180 duplicate, 0 rejected of 180 rows" in again.out


def test_ingest_keeps_the_good_rows_and_tells_of_the_bad(tmp_path: Path) -> None:
    _, events = small_training.write_tables(tmp_path)
    bad = pl.read_parquet(events).with_columns(
        user_id=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("user_id")
    )
    bad.write_parquet(events)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", events)
    assert outcome.code == DONE
    assert "events: 177 new, 0 duplicate, 3 rejected of 180 rows" in outcome.out
    assert "3 x user_id: expected an id, got null" in outcome.out
    assert "rejected" in outcome.err


def test_ingest_takes_cancellations_and_tells_of_those_without_an_event(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    head, told = "user_id,item_id,timestamp,event_id,cancels\n", "u,i,2026-01-01,007,\nu,i,2026-01-02,,007\n"
    path.write_text(f"{head}{told}u,i,2026-01-03,,008\n")
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", path)
    assert outcome.code == DONE
    assert "events: 3 new" in outcome.out
    assert "1 cancellations in" in outcome.err
    path.write_text(head + told)
    assert "cancellations" not in Outcome("ingest", "--store", tmp_path / "other", "--events", path).err


def test_ingest_of_rows_that_are_all_bad_is_refused(tmp_path: Path) -> None:
    _, events = small_training.write_tables(tmp_path)
    pl.read_parquet(events).with_columns(timestamp=float("nan")).write_parquet(events)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", events)
    assert outcome.code == REFUSED
    assert "events: expected rows that can be used, got none" in outcome.err
    assert "180 x timestamp: expected" in outcome.out


def test_ingest_adds_nothing_where_one_of_the_files_cannot_be_read(tmp_path: Path) -> None:
    items, _ = small_training.write_tables(tmp_path)
    outcome = Outcome(
        "ingest", "--store", tmp_path / "store", "--items", items, "--events", tmp_path / "absent.parquet"
    )
    assert outcome.code == REFUSED
    assert "events.path: expected" in outcome.err
    assert not (tmp_path / "store").exists()


# Train


def test_train_leaves_bundle_ledger_and_report_and_tells_the_lift(run: Path) -> None:
    assert (run / "bundle" / "bundle.json").is_file()
    assert (run / "report.html").is_file()
    ledger = json.loads((run / "ledger.json").read_text())
    told = (run.parent / "train.txt").read_text()
    assert {"protocol", "rows", "lift", "slices", "retrieval"} <= set(ledger)
    for row in ledger["rows"]:
        assert row["name"] in told
        assert f"{row['ndcg@10']:.3f}" in told
    assert "mlflow ui --backend-store-uri sqlite:///" in told


def no_file(tables: dict[str, Path]) -> None:
    tables["events"].unlink()


def no_parquet(tables: dict[str, Path]) -> None:
    tables["events"].write_text("user_id,item_id,timestamp\nu,i,1\n")


def empty_file(tables: dict[str, Path]) -> None:
    tables["items"].write_bytes(b"")


def folder_for_a_file(tables: dict[str, Path]) -> None:
    tables["items"].unlink()
    tables["items"].mkdir()


def wrong_columns(tables: dict[str, Path]) -> None:
    small_training.events().rename({"user_id": "customer"}).write_parquet(tables["events"])


def no_text(tables: dict[str, Path]) -> None:
    small_training.items().select("item_id", price=1.0).write_parquet(tables["items"])


def no_rows(tables: dict[str, Path]) -> None:
    small_training.events().clear().write_parquet(tables["events"])


def nan_timestamps(tables: dict[str, Path]) -> None:
    small_training.events().with_columns(timestamp=float("nan")).write_parquet(tables["events"])


def one_moment(tables: dict[str, Path]) -> None:
    small_training.events().with_columns(timestamp=0).write_parquet(tables["events"])


def one_item(tables: dict[str, Path]) -> None:
    small_training.items().head(1).write_parquet(tables["items"])


def items_nobody_has(tables: dict[str, Path]) -> None:
    small_training.items().with_columns(item_id="other-" + pl.col("item_id")).write_parquet(tables["items"])


def rows_of_another_table(tables: dict[str, Path]) -> None:
    small_training.items().write_parquet(tables["events"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_file, "events.path: expected"),
        (no_parquet, "events.path: expected"),
        (empty_file, "items.path: expected"),
        (folder_for_a_file, "items.path: expected"),
        (wrong_columns, "events.user_id: expected the column"),
        (no_text, "items: expected at least one text column"),
        (no_rows, "events"),
        (nan_timestamps, "events"),
        (one_moment, "events.timestamp: expected at least 3 distinct moments"),
        (one_item, ": expected"),
        (items_nobody_has, ": expected"),
        (rows_of_another_table, "events.user_id: expected the column"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_train_refuses_tables_that_cannot_be_used_in_words(
    spoil: Callable[[dict[str, Path]], None], told: str, tmp_path: Path, isolated_mlflow: IsolatedMlflow
) -> None:
    tables = dict(zip(("items", "events"), small_training.write_tables(tmp_path / "tables"), strict=True))
    spoil(tables)
    outcome = Outcome("train", "--items", tables["items"], "--events", tables["events"], "--out", tmp_path / "run")
    assert outcome.code == REFUSED
    assert told in outcome.err


def test_train_refuses_a_place_that_is_a_file(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("train", "--items", items, "--events", events, "--out", items)
    assert outcome.code == REFUSED
    assert "out: expected a folder that can be written" in outcome.err


# Score


def test_score_gives_every_row_once_in_order_with_what_the_model_gives(
    bundle: Path, candidates: Path, tmp_path: Path
) -> None:
    import recmem

    outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", tmp_path / "scores.parquet")
    assert outcome.code == DONE, outcome.err
    found, given = pl.read_parquet(tmp_path / "scores.parquet"), pl.read_parquet(candidates)
    assert found.select(given.columns).equals(given)
    assert found.equals(recmem.load(bundle).rank(given))
    assert found.filter(pl.col("user_id") == "curl")["rank"].sort().to_list() == list(range(1, 22))


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


def test_score_tells_of_users_and_items_that_nobody_knows(bundle: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["curl", "newcomer"], "item_id": ["unheard-of", "libpng-dev"]})
    frame.write_parquet(tmp_path / "c.parquet")
    outcome = Outcome(
        "score", "--model", bundle, "--candidates", tmp_path / "c.parquet", "--out", tmp_path / "s.parquet"
    )
    assert outcome.code == DONE
    assert pl.read_parquet(tmp_path / "s.parquet").height == 2
    assert "rows of items that the store lacks, without text: 1" in outcome.err
    assert "rows of users without any event: 1" in outcome.err


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
    ("spoil", "told"),
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
    bundle: Path, candidates: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(candidates)
    outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", tmp_path / "s.parquet")
    assert outcome.code == REFUSED
    assert told in outcome.err
    assert not (tmp_path / "s.parquet").exists()


def test_score_refuses_a_place_that_cannot_be_written(bundle: Path, candidates: Path, tmp_path: Path) -> None:
    for out in (tmp_path, candidates / "s.parquet"):
        outcome = Outcome("score", "--model", bundle, "--candidates", candidates, "--out", out)
        assert outcome.code == REFUSED
        assert "out: expected a file" in outcome.err


# Models that cannot be used


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


def test_a_store_that_is_not_there_is_refused_in_words(bundle: Path, tmp_path: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "curl", "--store", tmp_path / "absent")
    assert outcome.code == REFUSED
    assert "expected a store, got none" in outcome.err


def test_a_model_that_the_registry_lacks_is_refused_in_words(isolated_mlflow: IsolatedMlflow) -> None:
    outcome = Outcome("memory", "--model", "models:/recmem@champion", "--user", "curl")
    assert outcome.code == REFUSED
    assert "recmem@champion" in outcome.err


# Explain and memory


def test_explain_tells_the_reason_and_parts_that_add_up(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "curl", "--item", "libopus-dev")
    assert outcome.code == DONE, outcome.err
    assert "because" in outcome.out
    assert "The match score" in outcome.out
    match, ranking = outcome.out.split("The ranking score")
    for part, total in ((match, "match, raw"), (ranking, "score")):
        lines = [line.rsplit(None, 1) for line in part.splitlines() if line.rsplit(None, 1)[-1:] and _is_number(line)]
        parts = {words.strip(): float(number) for words, number in lines}
        expected = next(value for words, value in parts.items() if words == total)
        assert sum(value for words, value in parts.items() if words != total) == pytest.approx(expected, abs=0.02)


def _is_number(line: str) -> bool:
    return line.rsplit(None, 1)[-1].lstrip("+-").replace(".", "", 1).isdigit() and len(line.rsplit(None, 1)) == 2


def test_explain_of_an_unknown_user_falls_back_on_the_item_itself(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "newcomer", "--item", "libpng-dev")
    assert outcome.code == DONE, outcome.err
    assert "the item itself (prior)" in outcome.out


def test_memory_lists_what_the_user_has(bundle: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "curl")
    assert outcome.code == DONE, outcome.err
    has = small_training.events().filter(pl.col("user_id") == "curl")["item_id"].to_list()
    assert all(item in outcome.out for item in has)


def test_memory_as_of_a_moment_holds_only_what_was_before(bundle: Path) -> None:
    mine = small_training.events().filter(pl.col("user_id") == "curl").sort("timestamp")
    third = mine["timestamp"][2].isoformat()
    outcome = Outcome("memory", "--model", bundle, "--user", "curl", "--timestamp", third)
    assert [item for item in mine["item_id"] if item in outcome.out] == mine["item_id"][:2].to_list()


def test_memory_of_an_unknown_user_says_so(bundle: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "nobody [at] all")
    assert outcome.code == DONE, outcome.err
    assert "Nothing is remembered of nobody [at] all" in outcome.out


# The installed command


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["memory", "--model", "absent", "--user", "u"], REFUSED), (["memory", "--model", "absent"], WRONG_USE)],
)
def test_the_process_exits_with_the_code_and_prints_no_traceback(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from recmem.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert done.stdout == ""


def test_staleness_tells_and_draws_what_late_feeds_cost(bundle: Path, tmp_path: Path) -> None:
    told = Outcome("staleness", "--model", bundle, "--out", tmp_path / "stale", "--queries", 8)
    assert told.code == DONE
    assert "NDCG@10 when fresh: 0." in told.out
    assert told.out.count("1 week") == 3
    assert (tmp_path / "stale" / "staleness.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "stale" / "staleness.json").read_text())["queries"] == 8


def test_cascade_tells_what_it_costs_when_the_trees_see_less(bundle: Path, tmp_path: Path) -> None:
    import recmem

    told = Outcome("cascade", "--model", bundle, "--queries", 8)
    assert told.code == DONE
    assert "8 queries after" in told.out
    assert told.out.count("x\n") + told.out.count("x \n") == 4
    given, out = tmp_path / "candidates.parquet", tmp_path / "scores.parquet"
    model = recmem.load(bundle)
    items = model.dataset.catalogue.ids
    frame = pl.DataFrame({"user_id": [model.dataset.users[0]] * len(items), "item_id": items})
    frame.write_parquet(given)
    arguments = ("--model", bundle, "--candidates", given, "--out", out, "--trees-share", 0.1)
    assert Outcome("score", *arguments).code == DONE
    assert pl.read_parquet(out).equals(model.rank(frame, trees_share=0.1))


def test_a_cascade_of_the_match_alone_is_refused(bundle: Path, tmp_path: Path) -> None:
    files = ("--candidates", tmp_path / "c.parquet", "--out", tmp_path / "s.parquet")
    told = Outcome("score", "--model", bundle, *files, "--columns", "match", "--trees-share", 0.1)
    assert (told.code, "--columns rank" in told.err) == (2, True)


def test_rejected_rows_are_shown_written_out_mended_and_put_in(tmp_path: Path) -> None:
    store, rows = tmp_path / "store", tmp_path / "rows.jsonl"
    bad = {"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": ["yesterday", "2024-01-01"]}
    pl.DataFrame(bad).write_parquet(tmp_path / "events.parquet")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.parquet").code == DONE
    told = Outcome("rejected", "--store", store, "--out", rows)
    assert told.code == DONE
    assert "1 x events: timestamp: expected" in told.out
    line = json.loads(rows.read_text())
    line["row"]["timestamp"] = "2024-01-02"
    rows.write_text(json.dumps(line))
    mended = Outcome("mend", "--store", store, "--rows", rows)
    assert (mended.code, "1 of 1 rows mended, 0 still rejected." in mended.out) == (DONE, True)
    assert "No row was rejected." in Outcome("rejected", "--store", store).out
    assert Outcome("mend", "--store", store, "--rows", rows).code == REFUSED


def test_audit_finds_nothing_and_says_what_it_looked_at(bundle: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.parquet"
    told = Outcome("audit", "--model", bundle, "--moments", 12, "--cuts", 2, "--out", found)
    assert told.code == DONE
    assert "12 moments" in told.out
    assert told.out.count("0 differences") == 2
    assert pl.read_parquet(found).is_empty()


def test_audit_exits_with_1_and_shows_a_planted_leak(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_until = AsOfIndex.known_until
    monkeypatch.setattr(AsOfIndex, "known_until", lambda index, times: known_until(index, times + 1))
    told = Outcome("audit", "--model", bundle, "--moments", 12, "--cuts", 2)
    assert told.code == REFUSED
    assert "popularity" in told.out


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, os.strerror(errno.EIO), "/drive/file"),
        OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN)),
        ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)),
        OSError("error closing file"),
        RuntimeError("(sqlite3.OperationalError) disk I/O error\n[SQL: ...]"),
        RuntimeError(
            "(raised by autoflush)\n(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: ...]"
        ),
    ],
)
def test_a_drive_that_is_lost_is_told_in_words(error: Exception) -> None:
    command = typer.Typer(pretty_exceptions_enable=False)

    @command.command(cls=GuardedCommand)
    def fail() -> None:
        raise error

    result = CliRunner().invoke(command, env=WIDE)
    assert result.exit_code == REFUSED
    cause = re.escape(str(error).partition("\n[")[0].rpartition("\n")[2])
    assert re.match(rf"disk: expected files .*, got an error \({cause}\)\. Bring the drive back", result.stderr)
