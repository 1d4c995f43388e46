"""Users of the test period: what they remember, what they are recommended, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recmem.serving.explain import BASE_SCORE
from recmem.serving.model import Model
from training.queries import Queries, queries_of
from training.report.content import Example, ExampleItem
from training.run import Run

N_USERS = 3
N_ITEMS = 3
N_REASONS = 4
"""Features, and slots of the memory, that are named per item: those with the largest parts."""
CONSTANT = "constant"
"""The part of a ranking score that is no feature's, as `Explanation.features` names it."""
RANKING_SCORE = "ranking score"
MATCH_SCORE = "raw match score"
OTHER_FEATURES = "other features"
OTHER_SLOTS = "other slots of the memory"
SAME_FOR_ALL = "constant, the same for every item"
CHOSEN_FROM = 20 * N_USERS
"""The examples are spread over this many users, those whose memories are nearest to the median length."""


def example_users(run: Run, model: Model) -> Iterator[Example]:
    """A few users with their memory, their top items and the reasons."""
    for user in example_user_ids(run):
        memory = model.memory(user)
        recommended = model.recommend([user], k=N_ITEMS)["item_id"].to_list()
        items = [_example_item(model, user, item) for item in recommended]
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
    return queries_of(training_data.dataset, split.test_from, split.test_until)


def _example_item(model: Model, user: object, item: object) -> ExampleItem:
    """The item with its two scores, each as the sum of its largest parts and of what is left."""
    explanation = model.explain(user, item)
    slots = [(slot.title, slot.contribution) for slot in explanation.slots]
    features = [(name, part) for name, part in explanation.features.items() if name != CONSTANT]
    constant = (SAME_FOR_ALL, explanation.features.get(CONSTANT, 0.0))
    base = (BASE_SCORE, explanation.base_score)
    return {
        "item": model.title(item),
        "scores": [
            {"of": RANKING_SCORE, "total": explanation.score, "parts": [*_largest(features, OTHER_FEATURES), constant]},
            {"of": MATCH_SCORE, "total": explanation.match_raw, "parts": [*_largest(slots, OTHER_SLOTS), base]},
        ],
    }


def _largest(parts: Sequence[tuple[str, float]], others: str) -> list[tuple[str, float]]:
    """The largest parts by size, the largest first, and the sum of the others under a name of their own."""
    ordered = sorted(parts, key=lambda part: -abs(part[1]))
    rest = ordered[N_REASONS:]
    summed = [(f"{len(rest)} {others}", sum(part for _, part in rest))] if rest else []
    return [*ordered[:N_REASONS], *summed]
