"""`examples/bring_your_own_ranker.py`: a team's own LightGBM, and what the match adds to it, on real data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
IN_SAMPLE = "with the match, in sample"
CROSS_FITTED = "with the match"
OWN = "own features"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_ranker", ROOT / "examples" / "bring_your_own_ranker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(900)
def test_match_lifts_their_ranker_and_in_sample_features_only_look_better(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = example.compare(out=tmp_path)
    example.show(results)
    training = {name: result.training["ndcg"].mean() for name, result in results.items()}
    later = {name: result.later["ndcg"].mean() for name, result in results.items()}
    # The mistake looks better where it is fitted ...
    assert training[IN_SAMPLE] > training[CROSS_FITTED] + 0.02
    # ... and is worse on later rows, by more than chance.
    _, low, _ = example.lift(results[IN_SAMPLE].later, results[CROSS_FITTED].later)
    assert low > 0
    _, low, _ = example.lift(results[OWN].later, results[CROSS_FITTED].later)
    assert low > 0.05
    assert later[CROSS_FITTED] > later[IN_SAMPLE]
    printed = capsys.readouterr().out
    assert "training rows are older than the first fold" in printed
    assert "training rows would be in sample with the model that serves" in printed
    assert "cross-fitted against in sample, later: +" in printed


def test_own_features_know_nothing_of_their_time_or_later(example: ModuleType) -> None:
    items, events = example.read_log(60)
    time = sorted(events["timestamp"].unique())[2]
    rows = example.candidates(items, events).filter(pl.col("timestamp") == time)
    before = events.filter(pl.col("timestamp") < time)
    assert example.own_features(rows, items, events).equals(example.own_features(rows, items, before))


def test_lift_is_the_mean_gain_of_a_query_with_an_interval_around_it(example: ModuleType) -> None:
    times = [1, 1, 2, 1]
    without = pl.DataFrame({"user_id": ["a", "b", "b", "c"], "timestamp": times, "ndcg": [0.1, 0.2, 0.3, 0.4]})
    with_ = without.with_columns(ndcg=pl.Series([0.2, 0.4, 0.3, 0.5]))
    gain, low, high = example.lift(without, with_)
    assert gain == pytest.approx(0.1)
    assert 0.05 < low < gain < high < 0.2
    assert example.lift(without, without) == (0, 0, 0)
