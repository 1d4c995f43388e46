"""A champion's figures on the challenger's test queries: the same protocol, and only queries that are new to both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nightly_log
import small_training
from conftest import IsolatedMlflow
from feature_store.arrays import Float64Array
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.serving.model import Model
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.champion_figures import (
    AskedQueries,
    TooFewQueriesError,
    against_champion,
    comparable_queries,
    test_queries,
)
from training.evaluation.figures_file import TEST_FIGURES, TEST_RANKS, read_test_figures, read_test_ranks
from training.evaluation.ledger import Ledger
from training.evaluation.promotion import Differences
from training.pipeline import run_training
from training.progress import Silent
from training.run import Run, open_run
from training.tables import Tables


def run() -> Run:
    return open_run(Tables(), small_training.trained() / "run", None, TrainingConfig(), Silent())


@pytest.fixture(scope="module")
def trained() -> Run:
    return run()


def asked_of(trained: Run) -> AskedQueries:
    folder = trained.folder("evaluate")
    figures = read_test_figures(folder / TEST_FIGURES)
    queries, shown = test_queries(trained.training_data, trained.config.test_queries)
    return AskedQueries(queries, shown, figures.metrics["ndcg@10"], read_test_ranks(folder / TEST_RANKS))


def scored(trained: Run, bundle: Path, *, exclude_seen: bool = True) -> Differences:
    return against_champion(
        Model.load(bundle, store=trained.pinned),
        asked_of(trained),
        test_from=trained.training_data.split.test_from,
        exclude_seen=exclude_seen,
        generator=np.random.default_rng(0),
    )


def test_a_model_that_is_compared_with_itself_differs_nowhere(trained: Run) -> None:
    """The same queries, candidates and metric as in its own evaluation, down to the last positive."""
    found = scored(trained, trained.folder("evaluate") / "bundle")
    ledger = Ledger.from_json((trained.out / "ledger.json").read_text())
    assert found.queries == ledger.protocol.queries
    assert found.lift.with_ == ledger.row(ledger.ships).metrics["ndcg@10"]  # type: ignore[union-attr]
    close(np.array([found.lift.difference, *found.lift.ci95]), [0.0, 0.0, 0.0], "exact")
    assert found.slices
    assert {part.difference for part in found.slices.values()} == {0.0}
    named = {*found.slices, *found.too_small}
    assert named == set(ledger.slices)


def test_a_refitted_champion_would_have_seen_the_answers(trained: Run) -> None:
    """Why the measured bundle is compared: the one that ships has learned from these very queries."""
    learned = Model.load(trained.out / "bundle", store=trained.pinned).bundle.config.learned_until
    assert learned >= asked_of(trained).queries.times.max()
    with pytest.raises(TooFewQueriesError, match="no model of it from before its own test period was kept, and only 0"):
        comparable_queries(asked_of(trained), learned, "shipped")


def test_the_protocol_says_what_users_may_be_shown_and_not_the_champion(trained: Run) -> None:
    """Items that a user has are never a positive, so that ranking them too pushes the positives down."""
    bundle = trained.folder("evaluate") / "bundle"
    assert scored(trained, bundle, exclude_seen=False).lift.without < scored(trained, bundle).lift.without


def test_only_queries_after_what_the_champion_has_learned_from_are_compared(trained: Run) -> None:
    asked = asked_of(trained)
    times = asked.queries.times + np.arange(len(asked.queries))  # one date: now each a microsecond apart
    asked = replace(asked, queries=replace(asked.queries, times=times))
    until = int(times[6])
    later = comparable_queries(asked, until, "measured")
    assert len(later.queries) == len(asked.queries) - 7
    assert (later.queries.times > until).all()
    close(later.ndcg, asked.ndcg[7:], "exact")
    assert later.ranks is not None
    assert len(later.ranks) == len(later.queries.positives.values)
    close(later.ranks, read_test_ranks(trained.folder("evaluate") / TEST_RANKS)[-len(later.ranks) :], "exact")


def test_queries_of_fewer_than_twenty_users_are_too_few(trained: Run) -> None:
    asked = asked_of(trained)
    assert len(comparable_queries(asked.take(np.arange(20)), 0, "measured").queries) == 20
    with pytest.raises(TooFewQueriesError, match=r"only 19 users have test queries after that, fewer than 20"):
        comparable_queries(asked.take(np.arange(19)), 0, "measured")


def test_impressions_are_ranked_as_they_were_shown(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    """Again a model against itself, and against one that ranks the other way round."""
    days = nightly_log.FIRST_DAYS + 1
    config = nightly_log.settings()
    events = nightly_log.events_of(days)
    shown = nightly_log.impressions_of(days)
    out = tmp_path / "run"
    result = run_training(
        items=nightly_log.items(),
        events=events,
        impressions=shown,
        out=out,
        store=None,
        config=config,
        progress=Silent(),
    )
    opened = open_run(Tables(), out, None, config, Silent())
    queries, impressions = test_queries(opened.training_data, config.test_queries)
    assert impressions is not None
    figures = read_test_figures(opened.folder("evaluate") / TEST_FIGURES)
    asked = AskedQueries(queries, impressions, figures.metrics["ndcg@10"], None)
    model = Model.load(result.measured_bundle, store=opened.pinned)
    found = against(model, asked)
    assert found.queries == result.ledger.protocol.queries
    # Of two new items neither has a counter, so that they tie: in one list the tie is broken the other way.
    assert abs(found.lift.difference) < 1 / found.queries
    assert set(found.slices) | set(found.too_small) == set(result.ledger.slices)
    model.bundle = replace(model.bundle, ranker=Backwards(model.bundle.ranker))  # type: ignore[arg-type]
    assert against(model, asked).lift.ci95[0] > 0


class Backwards:
    """A ranker that puts the best last."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker

    def scores(self, pairs: PairFeatures) -> Float64Array:
        return -self._ranker.scores(pairs)


def against(model: Model, asked: AskedQueries) -> Differences:
    generator = np.random.default_rng(0)
    return against_champion(model, asked, test_from=0, exclude_seen=True, generator=generator)
