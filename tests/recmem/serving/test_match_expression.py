"""The match as a polars expression gives each row what `Model.match` gives it, in eager, lazy and streamed frames."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS
from tolerances import close


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model().model()


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Pairs as of a time, under column names of the caller's, with a repeated one and an item that the store lacks."""
    trained = trained_model()
    users = trained.events.select(who=pl.col("user_id").unique().sort().head(5))
    items = pl.DataFrame({"what": [*trained.items["item_id"].head(20), "new"]})
    frame = users.join(items, how="cross").with_columns(
        clicked_at=pl.lit(trained.events["timestamp"].max()),
        words=pl.when(pl.col("what") == "new").then(pl.lit("a library for images")),
    )
    return pl.concat([frame, frame.head(1)]).sample(fraction=1.0, shuffle=True, seed=3)


def expected(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    names = {"who": "user_id", "what": "item_id", "clicked_at": "timestamp", "words": "title"}
    return model.match(rows.rename(names)).select(MATCH_OUTPUTS)


def expression(model: Model) -> pl.Expr:
    return model.match_expr("who", "what", timestamp="clicked_at", title=pl.col("words"))


def test_an_eager_frame_gets_the_columns_of_match(model: Model, rows: pl.DataFrame) -> None:
    found = rows.with_columns(expression(model).struct.unnest())
    assert found.columns == [*rows.columns, *MATCH_OUTPUTS]
    close(found.select(MATCH_OUTPUTS).to_numpy(), expected(model, rows).to_numpy(), "same_rows")


def test_one_feature_can_be_filtered_by(model: Model, rows: pl.DataFrame) -> None:
    score = expression(model).struct.field("match_score")
    kept = rows.lazy().filter(score > 0.5).collect()
    assert kept.equals(rows.filter(expected(model, rows)["match_score"] > 0.5))
    assert 0 < len(kept) < len(rows)


def test_a_streamed_file_is_matched_in_batches(model: Model, rows: pl.DataFrame, tmp_path: Path) -> None:
    many = pl.concat([rows] * 50)
    many.write_parquet(tmp_path / "rows.parquet", row_group_size=500)
    matched = pl.scan_parquet(tmp_path / "rows.parquet").with_columns(expression(model).struct.unnest())
    matched.sink_parquet(tmp_path / "matched.parquet")
    found = pl.read_parquet(tmp_path / "matched.parquet")
    close(found.select(MATCH_OUTPUTS).to_numpy(), pl.concat([expected(model, rows)] * 50).to_numpy(), "same_rows")


def test_the_schema_is_known_before_anything_is_computed(model: Model, rows: pl.DataFrame) -> None:
    planned = rows.lazy().select(expression(model).struct.unnest()).collect_schema()
    assert planned == expected(model, rows).schema


def test_an_output_as_input_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="got its output 'match_raw'"):
        model.match_expr(match_raw="x")


def test_what_match_refuses_is_raised_in_its_words(model: Model, rows: pl.DataFrame) -> None:
    nulls = rows.with_columns(what=pl.lit(None, pl.String))
    with pytest.raises(DataError, match=r"candidates\.item_id: expected an id, got null"):
        nulls.with_columns(expression(model).struct.unnest())
