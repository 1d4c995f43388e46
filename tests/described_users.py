"""A users table for the small model of tests: attributes and interests that change at times of the log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from debian_model import encoder
from feature_store.schema import USERS
from feature_store.table_checks import check_table
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.user_profiles import UserProfiles
from recmem.serving.model import Model
from recmem.text.unit_vectors import exact_units

WORDS = ("network", "graphics", "sound", "compression", "database")
FEATURES = (CandidateFeature("age"), CandidateFeature("plan", ("free", "paid")))
READ = ("users.age", "user_categories.plan", "interests_similarity")
"""The features that read the table."""


def users_table(events: pl.DataFrame) -> pl.DataFrame:
    """A row without a time for half of the users, and for each three changes at times of events; some arrive late."""
    random = np.random.default_rng(5)
    ids = events["user_id"].unique().sort()
    some = ids.sample(fraction=0.5, seed=1).to_list()
    times = events["timestamp"].sort()
    rows: list[dict[str, object]] = [{"user_id": user} for user in some]
    for user in ids.to_list():
        changes = times.gather(random.choice(len(times), 3, replace=False)).unique()
        rows += [{"user_id": user, "timestamp": time} for time in changes]
    table = pl.DataFrame(rows, schema={"user_id": pl.String, "timestamp": times.dtype})
    late = pl.Series(random.random(len(table)) < 0.2)
    return table.with_columns(
        available_at=pl.when(late).then(pl.col("timestamp") + pl.duration(days=30)),
        age=pl.Series(random.integers(18, 90, len(table))),
        plan=pl.Series(random.choice(["free", "paid", "trial"], len(table))),
        interests=pl.Series(random.choice([*WORDS, ""], len(table))),
    )


def describe_users(model: Model, events: pl.DataFrame) -> None:
    """Makes a model read the table: its features are computed, and its ranker uses none of them."""
    checked = check_table(users_table(events), USERS)
    assert not checked.problems
    profiles = UserProfiles.of(checked.kept).encoded(
        "interests", lambda texts: exact_units(encoder().encode(texts)).numpy()
    )
    config = replace(model.dataset.config, user_features=FEATURES, interests="interests")
    model.dataset = replace(model.dataset, config=config, profiles=profiles)
