"""`recmem import`: which data sets there are, the receipt, refusals. The forms have tests of their own."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from command_line import DONE, REFUSED, WRONG_USE, Outcome
from published_files import write_lines, write_mind


def test_the_help_names_the_data_sets_and_their_files() -> None:
    overview = Outcome("import", "--help")
    assert overview.code == DONE
    assert all(f"\n  {name} " in overview.out for name in ("mind", "movielens", "amazon", "goodreads"))
    options = {
        "mind": ("--news", "--behaviors"),
        "movielens": ("--movies", "--ratings", "--tags", "--users"),
        "amazon": ("--reviews", "--metadata", "--all-items"),
        "goodreads": ("--books", "--interactions", "--authors", "--all-items"),
    }
    for name, expected in options.items():
        text = Outcome("import", name, "--help").out
        assert [option for option in (*expected, "--out") if option not in text] == []


def test_an_import_prints_its_receipt(tmp_path: Path) -> None:
    news, behaviors = write_mind(tmp_path / "mind")
    outcome = Outcome("import", "mind", "--news", news, "--behaviors", behaviors, "--out", tmp_path / "out")
    assert outcome.code == DONE
    assert outcome.out.splitlines()[:2] == ["news.tsv: 5 rows read, 5 used", "behaviors.tsv: 3 rows read, 3 used"]
    assert f"\n  recmem train --items {tmp_path}/out/items.parquet " in outcome.out
    assert len(pl.read_parquet(tmp_path / "out" / "impressions.parquet")) == 7


def test_a_second_import_into_a_folder_is_refused(tmp_path: Path) -> None:
    news, behaviors = write_mind(tmp_path / "mind")
    command = ("import", "mind", "--news", news, "--behaviors", behaviors, "--out", tmp_path / "out")
    assert Outcome(*command).code == DONE
    again = Outcome(*command)
    assert again.code == REFUSED
    assert "out: expected a folder without tables" in again.err


def test_files_of_every_data_set_reach_its_importer(tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.txt", ["something else"])
    for name, options in {
        "movielens": ("--movies", "--ratings"),
        "amazon": ("--reviews", "--metadata"),
        "goodreads": ("--books", "--interactions"),
    }.items():
        files = [argument for option in options for argument in (option, other)]
        outcome = Outcome("import", name, *files, "--out", tmp_path / "out")
        assert outcome.code == REFUSED
        assert ": expected " in outcome.err
        assert "something else" in outcome.err


def test_an_unknown_data_set_or_a_missing_option_is_wrong_use() -> None:
    assert Outcome("import", "netflix").code == WRONG_USE
    assert Outcome("import", "mind", "--out", "out").code == WRONG_USE


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    news, behaviors = write_mind(
        tmp_path / "mind", behaviors=["1\tU7\t11/11/2019 9:05:58 AM\tN1\tN4-1", "2\tU\t\x1b[31m\tN1\tN4-1"]
    )
    outcome = Outcome("import", "mind", "--news", news, "--behaviors", behaviors, "--out", tmp_path / "out")
    assert outcome.code == DONE
    assert "\x1b" not in outcome.out + outcome.err
    assert r"\x1b[31m" in outcome.out
