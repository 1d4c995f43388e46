"""The figures of impressions against MIND's definition, written from its text: loops over pairs and ranks, no numpy.

For an impression with the clicked news P and the others N, and r(p) the rank of p among all of them, from 1:
AUC = the share of pairs (p, n) with r(p) < r(n); MRR = the mean of 1 / r(p) over P;
nDCG@k = the sum of 1 / log2(1 + r(p)) over the p with r(p) <= k, over that of 1 / log2(1 + i) for i = 1..min(k, |P|).
A figure of a file is its mean over impressions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.importers.mind import import_mind
from feature_store.importers.mind_prediction import export_mind_prediction
from published_files import write_mind
from tolerances import close
from training.evaluation.metrics import impression_metrics, mean_over_queries

Impression = list[tuple[float, int]]
"""Score and label of each news that was shown."""
FIGURES = ("auc", "mrr", "ndcg@5", "ndcg@10")


def by_definition(labels_by_rank: list[int]) -> dict[str, float]:
    """The figures of an impression with a click and a news without, from the labels in the order of the ranks."""
    ranks = [place + 1 for place, label in enumerate(labels_by_rank) if label]
    others = [place + 1 for place, label in enumerate(labels_by_rank) if not label]
    pairs = [(rank, other) for rank in ranks for other in others]
    figures = {
        "auc": sum(rank < other for rank, other in pairs) / len(pairs),
        "mrr": sum(1 / rank for rank in ranks) / len(ranks),
    }
    for k in (5, 10):
        gained = sum(1 / math.log2(1 + rank) for rank in ranks if rank <= k)
        best = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(ranks)) + 1))
        figures[f"ndcg@{k}"] = gained / best
    return figures


def orders(impression: Impression) -> Iterator[list[int]]:
    """The labels in the order of falling scores: one list for each order of those that are equal."""
    scores = sorted({score for score, _ in impression}, reverse=True)
    tied = [[label for score, label in impression if score == each] for each in scores]
    for parts in itertools.product(*(itertools.permutations(labels) for labels in tied)):
        yield [label for part in parts for label in part]


def figures_of(impressions: list[Impression], seed: int = 0) -> dict[str, np.ndarray]:
    rows = [row for impression in impressions for row in impression]
    offsets = np.cumsum([0, *map(len, impressions)])
    generator = np.random.default_rng(seed)
    return impression_metrics([score for score, _ in rows], [label for _, label in rows], offsets, generator=generator)


def shown(n_scores: int, most: int) -> st.SearchStrategy[Impression]:
    """Impressions with at least one click and one news without, often several of each."""
    row = st.tuples(st.integers(0, n_scores).map(float), st.integers(0, 1))
    rows = st.lists(row, min_size=2, max_size=most, unique_by=(lambda row: row[0]) if n_scores > 50 else None)
    return rows.filter(lambda rows: len({label for _, label in rows}) == 2)


@given(st.lists(shown(1000, 30), min_size=1, max_size=5))
def test_without_ties_every_figure_is_the_definition(impressions: list[Impression]) -> None:
    found = figures_of(impressions)
    expected = [by_definition(next(orders(impression))) for impression in impressions]
    for name in FIGURES:
        close(found[name], [figures[name] for figures in expected], "float64")


@given(shown(2, 6), st.integers(0, 99))
def test_with_ties_auc_is_the_mean_over_their_orders_and_the_others_are_those_of_one_order(
    impression: Impression, seed: int
) -> None:
    found = figures_of([impression], seed)
    of_orders = [by_definition(order) for order in orders(impression)]
    close(found["auc"], [sum(figures["auc"] for figures in of_orders) / len(of_orders)], "float64")
    for name in FIGURES[1:]:
        assert min(abs(figures[name] - found[name][0]) for figures in of_orders) < 1e-12


def test_with_ties_the_mean_over_many_impressions_is_the_mean_over_the_orders() -> None:
    impression = [(2.0, 0), (1.0, 1), (1.0, 0), (1.0, 1), (1.0, 0), (0.0, 1)]
    of_orders = [by_definition(order) for order in orders(impression)]
    found = figures_of([impression] * 20_000)
    for name in FIGURES:
        expected = sum(figures[name] for figures in of_orders) / len(of_orders)
        assert mean_over_queries(found[name]) == pytest.approx(expected, abs=0.005), name


def test_impressions_without_both_kinds_have_no_part_in_the_mean() -> None:
    both = [(0.9, 1), (0.1, 0)]
    clicks_alone = [(0.9, 1), (0.1, 1)]
    no_click = [(0.9, 0), (0.1, 0)]
    found = figures_of([both, clicks_alone, no_click])
    assert mean_over_queries(found["auc"]) == 1.0
    assert np.isnan(found["auc"]).tolist() == [False, True, True]
    assert np.isnan(found["ndcg@5"]).tolist() == [False, False, True]


def test_the_file_for_the_leaderboard_has_the_figures_of_the_scores(tmp_path: Path) -> None:
    """From behaviors.tsv through the import, scores and the export, judged as the leaderboard judges the file."""
    random = np.random.default_rng(3)
    news = [f"N{n}\tfood\tbread\tBread of day {n}\t\thttps://example/{n}\t[]\t[]" for n in range(40)]
    behaviors = []
    for number in range(50):
        listed = random.choice(40, size=int(random.integers(3, 25)), replace=False)
        labels = [1, 0, *random.integers(0, 2, len(listed) - 2)]
        cells = " ".join(f"N{n}-{label}" for n, label in zip(listed, random.permutation(labels), strict=True))
        behaviors.append(
            f"{number + 1}\tU{number % 7}\t11/15/2019 {number % 12 + 1}:{number:02d}:00 PM\tN1 N2\t{cells}"
        )
    paths = write_mind(tmp_path / "mind", news=news, behaviors=behaviors)
    import_mind([paths[0]], [paths[1]], tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "impressions.parquet")
    scores = rows.with_columns(score=pl.Series(random.permutation(len(rows)).astype(float)))
    scores.sample(fraction=1.0, shuffle=True, seed=0).write_parquet(tmp_path / "scores.parquet")
    export_mind_prediction(tmp_path / "scores.parquet", paths[1], tmp_path / "prediction.txt")

    judged = []
    for line, row in zip((tmp_path / "prediction.txt").read_text().splitlines(), behaviors, strict=True):
        number, ranks = line.split(" ", 1)
        assert number == row.split("\t")[0]
        labels = [int(cell[-1]) for cell in row.split("\t")[4].split()]
        by_rank = sorted(zip(map(int, ranks.strip("[]").split(",")), labels, strict=True))
        judged.append(by_definition([label for _, label in by_rank]))
    groups = scores.group_by("impression_id", maintain_order=True).agg("score", "label")
    found = figures_of([list(zip(*group[1:], strict=True)) for group in groups.rows()])
    for name in FIGURES:
        expected = sum(figures[name] for figures in judged) / len(judged)
        close(mean_over_queries(found[name]), expected, "float64")


def test_a_case_worked_by_hand() -> None:
    # Clicks at the ranks 1 and 4 of 5: of six pairs, 3 + 1 are in order.
    figures = by_definition([1, 0, 0, 1, 0])
    assert figures["auc"] == 4 / 6
    assert figures["mrr"] == (1 + 1 / 4) / 2
    assert figures["ndcg@5"] == pytest.approx((1 + 1 / math.log2(5)) / (1 + 1 / math.log2(3)))
