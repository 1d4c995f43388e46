"""What a model server answers: the parameters of a request, and the frame that it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from feature_store import DataError
from feature_store.arrays import BoolArray
from recmem.serving.frames import to_polars
from recmem.serving.model import Model
from recmem.serving.request_columns import MISSING_FEATURES, UNKNOWN_ITEM, UNKNOWN_USER
from recmem.serving.row_reasons import check_number
from recmem.serving.scored import Scored
from recmem.serving.served_frame import ServedFrame

OUTPUTS = ("rank", "match", "recommend")
DEFAULT_K = 10
"""Items that a user is recommended, where the request does not say."""
_FOR_USERS = ("user_id", "timestamp")
"""The columns that a recommendation reads."""


@dataclass(frozen=True)
class RequestParams:
    """The `params` of a request, checked."""

    output: str
    """`rank`, `match`: the candidates with their scores. `recommend`: the best items of the store for each user."""
    k: int
    """With `rank`, rows of a rank beyond it are left out; 0 keeps all. With `recommend`, items per user; 0 counts as
    `DEFAULT_K`, because MLflow sends it for a parameter that the request leaves out."""
    explain: int
    """The number of reasons of each row."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RequestParams:
        """The parameters, each with its default where it is not given. Raises DataError for what does not fit."""
        output = given.get("output", OUTPUTS[0])
        if output not in OUTPUTS:
            expected = f"{', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}"
            raise DataError(f"params.output: expected {expected}, got {output!r}. Leave it out for rank.")
        k = given.get("k", 0)
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            without = f"{DEFAULT_K} items per user" if output == "recommend" else "all candidates"
            raise DataError(f"params.k: expected a whole number from 1, got {k!r}. Leave it out for {without}.")
        if k and output == "match":
            raise DataError(f"params.k: expected none with output match, which ranks nothing, got {k}. Leave it out.")
        explain = check_number(given.get("explain", 0), argument="params.explain")
        if explain and output == "recommend":
            remedy = "Leave it out: a recommendation comes with its reason."
            raise DataError(f"params.explain: expected none with output recommend, got {explain}. {remedy}")
        return cls(output, int(k), explain)


def answer(model: Model, candidates: pd.DataFrame, params: RequestParams) -> ServedFrame:
    """The answer to a request: scored candidates, or recommended items, with what is unknown flagged.

    Candidates keep their order and index. `unknown_user` and `unknown_item` are true in rows that were scored without
    the user's events, or with an item that the store lacks: by its text, if the row has one. `missing_features`, of
    models with features of your own: one of them counts as missing. Raises DataError for candidates that `Model.rank`
    refuses, and if a recommendation is asked for with columns that it does not read.
    """
    if params.output == "recommend":
        return ServedFrame(_recommended(model, candidates, params.k or DEFAULT_K))
    call = model.rank_with_report if params.output == "rank" else model.match_with_report
    scored = call(candidates, explain=params.explain)
    frame = scored.frame.assign(**flags(scored))
    return ServedFrame(frame[frame["rank"] <= params.k] if params.k else frame)


def flags(scored: Scored[Any]) -> dict[str, BoolArray]:
    """What was scored with less than the full information, of each row of candidates, as columns of the answer."""
    columns = {UNKNOWN_USER: ~scored.user_is_known, UNKNOWN_ITEM: ~scored.item_is_known}
    return columns if scored.lacks_features is None else columns | {MISSING_FEATURES: scored.lacks_features}


def _recommended(model: Model, users: pd.DataFrame, k: int) -> pd.DataFrame:
    """The best items for each distinct user and time: those of one time together, in the order of the rows."""
    surplus = [name for name in users.columns if name not in _FOR_USERS and not users[name].isna().all()]
    if surplus:
        remedy = "Leave it out, or ask for output rank."
        raise DataError(f"users.{surplus[0]}: expected only user_id and timestamp with output recommend. {remedy}")
    if "user_id" not in users.columns:
        raise DataError("users.user_id: expected the column, got none. Give the users to recommend items to.")
    frame = to_polars(users, "users", wanted=_FOR_USERS).unique(maintain_order=True)
    if frame["user_id"].null_count():
        raise DataError("users.user_id: expected an id, got null. Fill it in, or remove the row.")
    times = frame["timestamp"].to_list() if "timestamp" in frame.columns else [None] * frame.height
    parts = []
    # Without rows too there is one call, which gives the columns.
    for time in dict.fromkeys(times or [None]):
        rows = pl.Series([one == time for one in times], dtype=pl.Boolean)
        asked = frame["user_id"].filter(rows)
        scored = model.recommend_with_report(asked, k=k, timestamp=time)
        known = asked.filter(pl.Series(scored.user_is_known))
        is_unknown = ~scored.frame["user_id"].is_in(known.implode()).to_numpy()
        parts.append(scored.frame.to_pandas().assign(**{UNKNOWN_USER: is_unknown, UNKNOWN_ITEM: False}))
    return pd.concat(parts, ignore_index=True)
