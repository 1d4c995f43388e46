"""Tables of vectors: which are taken, and that all faults are reported at once with their counts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.data_errors import DataError
from feature_store.vector_checks import UNIT_TOLERANCE, check_vectors


def frame(vectors: list[list[float | None] | None], ids: list[object] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"item_id": ids or [f"i{row}" for row in range(len(vectors))], "vector": vectors},
        schema_overrides={"vector": pl.List(pl.Float64)},
    )


def test_a_vector_is_brought_to_unit_length() -> None:
    rows = check_vectors(frame([[3.0, 4.0], [0.0, -7.0]]))
    assert rows.ids.to_list() == ["i0", "i1"]
    assert rows.units.dtype == np.float32
    assert rows.units.tolist() == [pytest.approx([0.6, 0.8], abs=3e-4), [0.0, -1.0]]


@pytest.mark.parametrize("dtype", [pl.Float16, pl.Float32, pl.Float64, pl.Int32])
@pytest.mark.parametrize("is_fixed", [True, False])
def test_lists_of_any_number_type_fixed_or_not_are_read_alike(dtype: pl.DataType, *, is_fixed: bool) -> None:
    kind = pl.Array(dtype, 2) if is_fixed else pl.List(dtype)
    table = pl.DataFrame({"item_id": [1, 2], "vector": pl.Series([[3, 4], [0, 2]]).cast(pl.List(dtype)).cast(kind)})
    rows = check_vectors(table)
    assert rows.ids.to_list() == [1, 2]
    assert rows.units.tolist() == check_vectors(frame([[3.0, 4.0], [0.0, 2.0]])).units.tolist()


def test_a_unit_vector_stays_as_float16_has_it() -> None:
    vector = np.random.default_rng(0).normal(size=(50, 384))
    units = (vector / np.linalg.norm(vector, axis=1, keepdims=True)).astype(np.float32)
    table = pl.DataFrame({"item_id": range(50), "vector": pl.Series(units)})
    once = check_vectors(table).units
    assert np.array_equal(once, units.astype(np.float16).astype(np.float32))
    again = check_vectors(pl.DataFrame({"item_id": range(50), "vector": pl.Series(once)})).units
    assert np.array_equal(again, once)


@given(st.lists(st.floats(-1e200, 1e200), min_size=3, max_size=3), st.floats(1e-90, 1e90))
def test_only_the_direction_of_a_vector_counts(vector: list[float], factor: float) -> None:
    largest = max(map(abs, vector))
    if not 1e-100 < largest < 1e100:
        return
    scaled = [number * factor for number in vector]
    units = check_vectors(frame([vector, scaled])).units
    lengths = np.linalg.norm(units.astype(np.float64), axis=1)
    assert np.all(np.abs(lengths - 1) <= UNIT_TOLERANCE + 1e-3)
    # A vector within the tolerance of unit length is not touched: it may be that much shorter or longer.
    assert units[0].tolist() == pytest.approx(units[1].tolist(), abs=2e-3)


def test_numbers_whose_square_overflows_or_vanishes_have_a_direction() -> None:
    units = check_vectors(frame([[1e300, 1e300], [1e-320, 0.0]])).units
    assert units.tolist() == [pytest.approx([0.7071, 0.7071], abs=3e-4), [1.0, 0.0]]


def test_equal_rows_count_once() -> None:
    rows = check_vectors(frame([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], ["a", "b", "a"]))
    assert rows.ids.to_list() == ["a", "b"]
    assert rows.n_repeated == 1


def test_all_faults_are_reported_at_once_with_counts() -> None:
    table = frame(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [float("nan"), 1.0], [0.0, 0.0], [1.0], None, [None, 2.0], [], [1.0, 3.0]],
        ["a", "a", None, "b", "c", "d", "e", "f", "g", "h"],
    )
    with pytest.raises(DataError) as raised:
        check_vectors(table)
    lines = str(raised.value).splitlines()
    expected = [
        "item_vectors.item_id: expected an id, got null (1 row, e.g. row 2",
        "item_vectors.vector: expected a vector, got null (1 row, e.g. row 6",
        "item_vectors.vector: expected 2 numbers, as most rows have, got another count, such as 1 (2 rows, e.g. row 5",
        "item_vectors.vector: expected finite numbers, got null, NaN or infinity (2 rows, e.g. row 3, 7",
        "item_vectors.vector: expected a vector other than zero, got zeros alone (1 row, e.g. row 4",
        "item_vectors.vector: expected one vector per item, got another one than in an earlier row, such as for 'a'",
    ]
    assert len(lines) == len(expected)
    for line, begin in zip(lines, expected, strict=True):
        assert line.startswith(begin)


def test_a_fault_in_a_later_slice_is_named_by_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_store.vector_checks._SLICE_ROWS", 2)
    good = [[1.0, 2.0]] * 5
    assert check_vectors(frame(good)).units.shape == (5, 2)
    with pytest.raises(DataError, match=r"zeros alone \(1 row, e.g. row 4"):
        check_vectors(frame([*good[:4], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pl.DataFrame({"item_id": ["a"], "Vector": [[1.0]]}), "vector: expected the column, .* Rename 'Vector'"),
        (
            pl.DataFrame({"item_id": ["a"], "vector": ["[1, 2]"]}),
            "vector: expected lists of numbers, got a column",
        ),
        (
            pl.DataFrame({"item_id": ["a"], "vector": [["x"]]}),
            "vector: expected lists of numbers, got a column",
        ),
        (frame([[1.0]]).clear(), "item_vectors: expected at least one row, got 0 rows"),
        (frame([[1.0]], [1.5]), "item_id: expected an id, got a number that is not a 64-bit integer"),
        (frame([[]]), "vector: expected at least one number"),
    ],
)
def test_what_is_no_table_of_vectors_is_refused_in_words(table: pl.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_vectors(table)


def test_vectors_of_another_length_than_is_wanted_are_told_to_be_another_models() -> None:
    with pytest.raises(DataError, match=r"expected 3 numbers, as the model has, .* two models cannot be mixed"):
        check_vectors(frame([[1.0, 2.0]]), dim=3, like="the model has")
    with pytest.raises(DataError, match=r"expected 3 numbers, .* Correct or remove the row"):
        check_vectors(frame([[1.0, 2.0], [1.0, 2.0, 3.0]]), dim=3, like="the model has")


def test_ids_are_read_as_other_tables_have_them() -> None:
    assert check_vectors(frame([[1.0]], [7]), ids=pl.String()).ids.to_list() == ["7"]
    with pytest.raises(DataError, match="expected an integer id, got text that is not an integer"):
        check_vectors(frame([[1.0]], ["007"]), ids=pl.Int64())
