from __future__ import annotations

import small_training
from recmem.serving.explain import BASE_SCORE
from recmem.serving.model import Model
from training.config import TrainingConfig
from training.progress import Silent
from training.run import Run, open_run
from training.steps.example_users import N_ITEMS, N_SLOT_REASONS, N_USERS, example_users, queries_of_test_period
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
            slots, (last, _) = item["reasons"][:-1], item["reasons"][-1]
            assert last == BASE_SCORE
            assert len(slots) <= N_SLOT_REASONS
            assert [part for _, part in slots] == sorted((part for _, part in slots), reverse=True)
