"""A log for cross-fitting whose right answer is known: users stay with a theme, which the items' texts tell.

Users come at twenty-four times in turn, so that the log can be cut at many places.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from training.configuration.effective import effective_config
from training.cross_fit.row_features import CrossFitted
from training.cross_fit.windows import FoldConfig
from training.progress import Silent
from training.run import Run, open_run
from training.tables import Tables
from training.training_data import TrainingData
from training.training_features import FIXED_OPTIONS, TrainingFeatures, fit_in, training_features

WORDS = {
    "network": ("http client", "tls socket", "ssh tunnel", "dns resolver", "mail server", "url parser"),
    "drawing": ("vector graphics", "png image", "font layout", "pdf page", "colour palette", "3d model"),
    "sound": ("audio codec", "mp3 encoder", "midi synthesizer", "sound mixer", "speech recording", "music player"),
}
FORMS = (
    "library",
    "development files",
    "command line tools",
    "plugin",
    "daemon",
    "headers",
    "python bindings",
    "tests",
)
N_USERS = 90
N_TIMES = 24
SHARE_OF_THEME = 0.9
N_FOLDS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)


def items() -> pl.DataFrame:
    """A hundred and forty-four items, forty-eight of each theme."""
    rows = [
        (f"{theme}-{number}-{form}", f"{words}, {text}")
        for theme, texts in WORDS.items()
        for number, words in enumerate(texts)
        for form, text in enumerate(FORMS)
    ]
    return pl.DataFrame(rows, schema=["item_id", "title"], orient="row")


@functools.cache
def events() -> pl.DataFrame:
    """Each user takes a new item at every other time, nearly always one of the own theme."""
    random = np.random.default_rng(0)
    ids = items()["item_id"].to_list()
    themes = list(WORDS)
    rows = []
    for user in range(N_USERS):
        own = random.permutation([item for item in ids if item.startswith(themes[user % 3])]).tolist()
        others = random.permutation([item for item in ids if not item.startswith(themes[user % 3])]).tolist()
        for time in range(user % 2, N_TIMES, 2):
            chosen = own.pop() if random.random() < SHARE_OF_THEME else others.pop()
            rows.append((f"user-{user}", chosen, START + time * timedelta(days=1)))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").sort("timestamp", "user_id")


def rows(of: pl.DataFrame | None = None) -> pl.DataFrame:
    """What a ranker is trained on: each event, and five other items at its time, with a column of the caller's."""
    random = np.random.default_rng(1)
    taken = events() if of is None else of
    ids = items()["item_id"]
    others = pl.concat(
        [taken.with_columns(item_id=ids.gather(random.integers(len(ids), size=len(taken)))) for _ in range(5)]
    )
    labelled = [taken.with_columns(label=pl.lit(1)), others.with_columns(label=pl.lit(0))]
    return pl.concat(labelled).sample(fraction=1, shuffle=True, seed=2).with_columns(own=pl.int_range(pl.len()))


@functools.cache
def fitted() -> TrainingFeatures[pl.DataFrame]:
    """The cross-fitted features of `rows`, fitted once per process: tests must not change the folder."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-cross-fit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return training_features(rows(), items(), events(), out=folder / "run", folds=N_FOLDS)


@functools.cache
def cross_fitted() -> CrossFitted:
    """What `fitted` computed the features with."""
    run, config = _run()
    fit = fit_in(run, config)
    assert fit.reused
    return fit.fitted


def run_and_data() -> tuple[Run, TrainingData]:
    """The run of `fitted`, and what it reads."""
    run, _ = _run()
    return run, run.training_data


def _run() -> tuple[Run, FoldConfig]:
    out = fitted().bundle.parent
    config = effective_config(options=FIXED_OPTIONS)
    return open_run(Tables(), out, str(out / "store"), config, Silent()), FoldConfig(folds=N_FOLDS)
