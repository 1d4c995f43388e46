"""The command line as tests run it, and what they run it on."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from typer.testing import CliRunner

import small_training
from recmem.cli.app import app

DONE, REFUSED, WRONG_USE = 0, 1, 2
WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}


class Outcome:
    """What a command left: exit code, stdout, stderr."""

    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
        self.code = result.exit_code
        self.out = result.stdout
        self.err = result.stderr
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)


def write_candidates(folder: Path) -> Path:
    """Every pair of four projects (one of them new) and the catalogue, shuffled, with a column of the caller's."""
    users = pl.DataFrame({"user_id": ["curl", "inkscape", "vlc", "newcomer"]})
    pairs = users.join(small_training.items().select("item_id"), how="cross").with_row_index("mine")
    pairs.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(folder / "candidates.parquet")
    return folder / "candidates.parquet"
