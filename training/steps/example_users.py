"""Users of the test period: what they remember, what they are recommended, and why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recmem.serving.explain import BASE_SCORE
from recmem.serving.model import Model
from training.queries import Queries, queries_between
from training.report.content import Example, ExampleItem
from training.run import Run

N_USERS = 3
N_ITEMS = 5
N_SLOT_REASONS = 3
"""Memory slots that are named per item, those that add most."""
CHOSEN_FROM = 20 * N_USERS
"""The examples are spread over this many users, those whose memories are nearest to the median length."""


def example_users(run: Run, model: Model) -> Iterator[Example]:
    """A few users with their memory, their top items and the reasons."""
    for user in example_user_ids(run):
        memory = model.memory(user)
        recommended = model.recommend([user], k=N_ITEMS).select("item_id", "score")
        items = [_example_item(model, user, item, score) for item, score in recommended.iter_rows()]
        yield {"user": str(user), "memory": memory["title"].to_list(), "items": items}


def example_user_ids(run: Run) -> list[object]:
    """Users of the test period, evenly spread among those whose memory is of about median length."""
    queries = queries_of_test_period(run)
    dataset = run.training_data.dataset
    users, first = np.unique(queries.users, return_index=True)
    n_events = dataset.log.by_user.counts(users, queries.times[first])
    by_distance = np.argsort(np.abs(n_events - np.median(n_events)), kind="stable")
    # Neither newcomers nor bots: users whose memory is typical of the log.
    middling = users[by_distance][:CHOSEN_FROM]
    stride = max(len(middling) // N_USERS, 1)
    chosen = np.sort(middling)[::stride][:N_USERS]
    return dataset.users.gather(chosen).to_list()


def queries_of_test_period(run: Run) -> Queries:
    """All queries of the test period; those of impressions have all that was shown as their positives."""
    training_data = run.training_data
    split = training_data.split
    if training_data.shown is not None:
        shown = training_data.shown.between(split.test_from, split.test_until)
        return Queries(shown.users, shown.times, shown.candidates)
    dataset = training_data.dataset
    return queries_between(
        dataset.log_at(split.test_until), split.test_from, split.test_until, cancelled=dataset.cancelled
    )


def _example_item(model: Model, user: object, item: object, score: float) -> ExampleItem:
    explanation = model.explain(user, item)
    reasons = [(slot.title, slot.contribution) for slot in explanation.slots]
    strongest = sorted(reasons, key=lambda reason: -reason[1])[:N_SLOT_REASONS]
    return {"item": model.title(item), "score": score, "reasons": [*strongest, (BASE_SCORE, explanation.base_score)]}
