"""Rows of the users table that a model observes: from then on its answers are as if the store held them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import polars as pl
from torch import Tensor

from feature_store import USERS, Receipt
from feature_store.table_checks import Checked, check_table
from feature_store.user_rows import changed_users
from recmem.dataset.dataset import Dataset


def checked_users(frame: pl.DataFrame, dataset: Dataset) -> Checked:
    """The frame's valid rows in the types of the dataset's users table, and what is wrong with the others."""
    stored = {**dataset.profiles.table.schema} if len(dataset.profiles) else {}
    return check_table(frame, USERS, stored=stored | {"user_id": dataset.users.dtype})


def new_rows(checked: Checked, dataset: Dataset) -> pl.DataFrame:
    """The rows that change what the dataset knows of users."""
    return changed_users(checked.kept, dataset.profiles.table_beside(checked.kept))


def with_interests(dataset: Dataset, encode: Callable[[Sequence[str]], Tensor]) -> Dataset:
    """The dataset with the vectors of all interests that it reads; `encode` gives those that it lacks."""
    profiles = dataset.profiles.encoded(dataset.config.interests, lambda texts: encode(texts).cpu().numpy())
    return replace(dataset, profiles=profiles)


def receipt_of(checked: Checked, n_new: int, dataset: Dataset) -> Receipt:
    """What became of the rows, of which `n_new` changed something; the store's tables stay as they are."""
    n_in = len(checked.frame)
    return Receipt(
        table=USERS.name,
        n_in=n_in,
        n_new=n_new,
        n_duplicate=len(checked.kept) - n_new,
        n_rejected=n_in - len(checked.kept),
        version=None,
        reasons=dict(checked.reasons()["reason"].value_counts(sort=True).iter_rows()),
        warnings=(*checked.warnings, *_unread(checked.frame, dataset)),
    )


def _unread(frame: pl.DataFrame, dataset: Dataset) -> Iterator[str]:
    """A warning about columns that change nothing: the model reads no feature and no interests from them."""
    features = [feature.name for feature in dataset.config.user_features]
    read = sorted({*features, dataset.config.interests} - {""})
    unread = [name for name in frame.columns if name not in (*USERS.schema(), *read)]
    if unread:
        known = f"the model reads {', '.join(read)}" if read else "the model reads no columns of users"
        yield f"not used: {', '.join(unread)}; {known}. Train again on users with these columns to have them read."
