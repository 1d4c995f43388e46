from __future__ import annotations

import pytest

import small_training
from recmem.serving.explain import BASE_SCORE
from recmem.serving.model import Model
from training.config import TrainingConfig
from training.progress import Silent
from training.run import Run, open_run
from training.steps.example_users import (
    N_ITEMS,
    N_REASONS,
    N_USERS,
    OTHER_FEATURES,
    OTHER_SLOTS,
    SAME_FOR_ALL,
    example_users,
    queries_of_test_period,
)
from training.tables import Tables


def trained_run() -> Run:
    return open_run(Tables(), small_training.trained() / "run", None, TrainingConfig(), Silent())


def test_queries_of_the_test_period_come_after_its_begin_and_are_all_of_them() -> None:
    run = trained_run()
    test_from = run.training_data.split.test_from
    queries = queries_of_test_period(run)
    assert (queries.times > test_from).all()
    late = small_training.events().filter(small_training.events()["timestamp"].dt.epoch("us") > test_from)
    # Every event of the small log is an item that its user did not have.
    assert len(queries) == late.select("user_id", "timestamp").n_unique()


def test_examples_are_users_of_the_test_period_with_their_strongest_reasons_first() -> None:
    run = trained_run()
    users = run.training_data.dataset.users
    in_test = {str(user) for user in users.gather(queries_of_test_period(run).users).to_list()}
    examples = list(example_users(run, Model.load(run.out / "bundle", store=run.store)))
    assert len(examples) == len({example["user"] for example in examples}) == N_USERS
    assert {example["user"] for example in examples} <= in_test
    for example in examples:
        assert example["memory"]
        assert 0 < len(example["items"]) <= N_ITEMS
        for item in example["items"]:
            ranking, match = item["scores"]
            assert ranking["parts"][-1][0] == SAME_FOR_ALL
            assert match["parts"][-1][0] == BASE_SCORE
            for score, others in ((ranking, OTHER_FEATURES), (match, OTHER_SLOTS)):
                assert sum(part for _, part in score["parts"]) == pytest.approx(score["total"], abs=1e-5)
                named = [part for text, part in score["parts"][:-1] if not text.endswith(others)]
                assert len(named) <= N_REASONS
                assert named == sorted(named, key=lambda part: -abs(part))
        # The ranking score is what orders the items.
        totals = [item["scores"][0]["total"] for item in example["items"]]
        assert totals == sorted(totals, reverse=True)
