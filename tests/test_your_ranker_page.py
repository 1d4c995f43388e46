"""docs/your_ranker.md holds: its code runs as it stands, and its options exist."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import cross_fit_log
from recmem.cli.app import app
from recmem.serving.scoring import MATCH_OUTPUTS

PAGE = (Path(__file__).parents[1] / "docs" / "your_ranker.md").read_text()


def test_code_runs_as_it_stands_and_its_ranker_prefers_the_users_theme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prices = cross_fit_log.items().select("item_id", price=pl.int_range(pl.len()).cast(pl.Float64))
    rows = cross_fit_log.rows().join(prices, on="item_id", how="left", maintain_order="left")
    names: dict[str, object] = {
        "items": cross_fit_log.items(),
        "events": cross_fit_log.events(),
        "rows": rows,
        "candidates": _new_rows().join(prices, on="item_id", how="left", maintain_order="left"),
    }
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    exec(compile(code, "docs/your_ranker.md", "exec"), names)
    assert names["MATCH"] == list(MATCH_OUTPUTS)
    assert re.search(r"[1-9]\d* rows are older than the first fold", capsys.readouterr().out)
    scores = np.asarray(names["scores"])
    is_of_theme = _new_rows()["item_id"].str.starts_with("network").to_numpy()
    assert scores[is_of_theme].mean() > scores[~is_of_theme].mean() + 1
    table = names["table"]
    assert isinstance(table, pl.DataFrame)
    assert set(MATCH_OUTPUTS) <= set(table.columns)
    columns = names["columns"]
    new_columns = names["new_columns"]
    assert isinstance(columns, pl.DataFrame)
    assert isinstance(new_columns, pl.DataFrame)
    assert (len(columns), len(new_columns)) == (len(rows), len(_new_rows()))


def test_command_line_names_options_that_exist() -> None:
    commands = re.findall(r"`(recmem features [^`]*)`", PAGE)
    assert commands
    shown = CliRunner().invoke(app, ["features", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert [word for command in commands for word in command.split() if word[:2] == "--" and word not in shown] == []


def test_page_is_short() -> None:
    assert 60 <= len(PAGE.splitlines()) <= 110


def _new_rows() -> pl.DataFrame:
    """A user of the first theme, a day after the log, and every item."""
    last = cross_fit_log.events()["timestamp"].max()
    new = pl.lit(last + timedelta(days=1))
    return cross_fit_log.items().select("item_id", user_id=pl.lit("user-0"), timestamp=new)
