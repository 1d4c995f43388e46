"""A log that grows by a day a night, and settings small enough to retrain on it within seconds.

Ninety readers keep to one of three themes. Each day, most of them take a title of their theme that they do not have.
All titles are in the catalogue from the start; they are taken about in the order of their numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recmem.retrieval.interleave import RetrievalConfig
from recmem.text.encoder import EncoderConfig
from tiny_encoder import tiny_folder
from training.config import TrainingConfig
from training.fitting.fit_encoder import EncoderTuningConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.fitting.match_batches import BatchConfig

THEMES = ("curl http network tls url client", "cairo gtk image encoding file library", "alsa audio codec sound of for")
"""Words of the tiny encoder that the titles of a theme are made of."""
TITLES_PER_THEME = 70
USERS = 90
FIRST_DAYS = 8
"""Days of the log before the first night."""
SHARE_ACTIVE = 0.8
"""Of the users, each day."""
START = datetime(2026, 3, 1, tzinfo=UTC)


def items() -> pl.DataFrame:
    """Titles of three words of their theme and a number."""
    random = np.random.default_rng(0)
    rows = []
    for theme, words in enumerate(THEMES):
        for number in range(TITLES_PER_THEME):
            chosen = random.choice(words.split(), size=3, replace=False)
            rows.append((f"{theme}-{number:02d}", " ".join(chosen)))
    return pl.DataFrame(rows, schema=["item_id", "title"], orient="row")


def events_of(n_days: int) -> pl.DataFrame:
    """The events of the first days; those of more days begin with the same."""
    random = np.random.default_rng(1)
    left = [_titles(random, user % len(THEMES)) for user in range(USERS)]
    rows = []
    for day in range(n_days):
        for user in np.flatnonzero(random.random(USERS) < SHARE_ACTIVE):
            time = START + timedelta(days=day, minutes=int(random.integers(24 * 60)))
            if left[user]:
                rows.append((f"reader-{user:02d}", left[user].pop(0), time))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def _titles(random: np.random.Generator, theme: int) -> list[str]:
    """The titles of a theme about in the order in which they come out."""
    when = np.arange(TITLES_PER_THEME) + random.normal(0, 6, TITLES_PER_THEME)
    return [f"{theme}-{number:02d}" for number in np.argsort(when)]


def settings(*, candidates: int = 100, name: str = "recmem") -> TrainingConfig:
    """A training of seconds; with hardly any `candidates` it is a bad one."""
    return TrainingConfig(
        encoder=EncoderConfig(str(tiny_folder()), max_tokens=16),
        tuning=EncoderTuningConfig(kind="off"),
        match=MatchTrainingConfig(min_steps=40, max_steps=40, batch=BatchConfig(queries=16, negatives=16)),
        ranker=RankerConfig(rounds=20, smoothing=3),
        retrieval=RetrievalConfig(candidates=candidates),
        tree_members=1,
        n_heads=2,
        head_dim=4,
        registered_name=name,
    )


def impressions_of(n_days: int) -> pl.DataFrame:
    """Each event as a list of six titles that were shown, in random order, of which it is the click."""
    random = np.random.default_rng(2)
    titles = items()["item_id"].to_list()
    rows = []
    for number, (user, clicked, time) in enumerate(events_of(n_days).iter_rows()):
        others = [title for title in random.choice(titles, size=6, replace=False) if title != clicked][:5]
        for item in random.permutation([clicked, *others]):
            rows.append((f"list-{number}", user, time, item, int(item == clicked)))
    columns = ["impression_id", "user_id", "timestamp", "item_id", "label"]
    return pl.DataFrame(rows, schema=columns, orient="row")
