"""Columns of candidates as features: numbers, categories of a fixed vocabulary, and what counts as missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recmem.dataset import candidate_features
from recmem.dataset.candidate_features import CandidateFeature, distinct_rows, read_features
from tolerances import close

DEVICE = CandidateFeature("device", ("app", "tv", "web"), 2.0)
CTR = CandidateFeature("ctr", None, 0.5)


def read(feature: CandidateFeature, cells: pl.Series) -> list[float]:
    values, problems = read_features(pl.DataFrame({feature.name: cells}), [feature])
    assert problems == []
    assert values[feature.name].dtype == np.float32
    return values[feature.name].tolist()


def test_numbers_are_read_as_they_are_and_what_float32_lacks_is_missing() -> None:
    close(read(CTR, pl.Series([1.5, None, float("inf"), 1e300])), np.array([1.5, np.nan, np.nan, np.nan]), "exact")
    close(read(CTR, pl.Series([1, 2, None])), np.array([1, 2, np.nan]), "exact")
    close(read(CTR, pl.Series([True, False])), np.array([1, 0]), "exact")
    close(read(CTR, pl.Series(["0.5", None])), np.array([0.5, np.nan]), "exact")
    close(read(CTR, pl.Series([None, None])), np.array([np.nan, np.nan]), "exact")


def test_texts_are_places_in_the_vocabulary_and_unseen_ones_are_missing() -> None:
    cells = pl.Series(["web", "app", None, "fridge"])
    close(read(DEVICE, cells), np.array([2, 0, np.nan, np.nan]), "exact")
    close(read(DEVICE, cells.cast(pl.Categorical)), np.array([2, 0, np.nan, np.nan]), "exact")
    assert np.isnan(read(CandidateFeature("device", ()), cells)).all()


def test_numbers_of_categories_are_the_same_as_whole_numbers_fractions_and_text() -> None:
    shelf = CandidateFeature("shelf", ("1", "3"))
    expected = np.array([1, np.nan, 0])
    for cells in (pl.Series(["3", None, "1"]), pl.Series([3, None, 1]), pl.from_pandas(pd.Series([3.0, np.nan, 1.0]))):
        close(read(shelf, cells), expected, "exact")


def test_a_number_is_the_same_category_in_any_frame() -> None:
    size = CandidateFeature("size", ("1.0", "2", "2.5", "nan"))
    cells = pl.Series([1.0, 2.0, 2.5, 3.5, float("nan"), None])
    expected = np.array([0, 1, 2, np.nan, np.nan, np.nan])
    close(read(size, cells), expected, "exact")
    close(np.concatenate([read(size, cells[[row]]) for row in range(len(cells))]), expected, "exact")
    assert np.isnan(read(CandidateFeature("size", ()), cells)).all()
    price = CandidateFeature("price", ("1.50", "20000000000000000", "free"))
    close(read(price, pl.Series([1.5, 2e16, 3.0])), np.array([0, 1, np.nan]), "exact")


@pytest.mark.parametrize("categories", [("false", "true"), ("False", "True"), ("0", "1")])
def test_true_and_false_are_categories_however_these_were_written(categories: tuple[str, str]) -> None:
    cells = pl.Series([True, False, None])
    close(read(CandidateFeature("is_new", categories), cells), np.array([1, 0, np.nan]), "exact")


def test_a_column_of_another_type_is_a_fault() -> None:
    _, (problem,) = read_features(pl.DataFrame({"ctr": [[[1.0]]]}), [CTR])
    assert problem.column == "ctr"


def test_training_fixes_the_median_or_the_vocabulary() -> None:
    assert CandidateFeature.of(pl.Series("ctr", [0.25, 0.5, 9.0, None])) == CTR
    found = CandidateFeature.of(pl.Series("device", ["web", "app", "web", None]))
    assert found == CandidateFeature("device", ("app", "web"), 1.0)
    assert (found.example, CTR.example) == ("web", 0.5)
    assert CandidateFeature.of(pl.Series("ctr", [None], dtype=pl.Float64)) == CandidateFeature("ctr", None, None)
    assert CandidateFeature.of(pl.Series("device", [None], dtype=pl.String)) == CandidateFeature("device", (), None)


def test_of_many_texts_the_most_frequent_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_features, "MAX_CATEGORIES", 2)
    assert CandidateFeature.of(pl.Series("a", list("zzyyyxw"))).categories == ("y", "z")


@pytest.mark.parametrize(
    ("categories", "typical", "words"),
    [
        (("a", "a"), None, "expected at most 1,000 categories, each once, got 2"),
        (("a",), 1.0, "expected a category as typical value, got 1.0"),
        (None, 1e39, "expected a typical value in float32, got 1e"),
    ],
)
def test_features_of_a_bundle_that_cannot_be_are_refused(
    categories: tuple[str, ...] | None, typical: float | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        CandidateFeature("x", categories, typical)


def test_rows_are_equal_with_their_missing_values_and_zeros() -> None:
    first = np.array([0.0, np.nan, -0.0, np.nan, 1], np.float32)
    second = np.array([1, 2, 1, 2, 1], np.float32)
    numbers = distinct_rows([first, second])
    assert numbers[0] == numbers[2]
    assert numbers[1] == numbers[3]
    assert len(set(numbers.tolist())) == 3
