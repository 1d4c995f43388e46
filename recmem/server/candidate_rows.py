"""The candidates of several requests as one frame, which one call of the model scores."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from feature_store.timestamps import TIMESTAMP
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.server.posted_rows import refuse_nested
from recmem.server.request_bodies import Candidate, MatchTextsRequest, ScoreRequest
from recmem.serving.model import Model
from recmem.serving.request_columns import REASON_NAMES
from recmem.serving.scoring import RANK_OUTPUTS

RequestT = TypeVar("RequestT", bound=ScoreRequest)


def columns_read(model: Model) -> frozenset[str]:
    """Further columns of candidates that the model reads, or refuses because a result has them.

    Others are left out: a client may send any number of names, and each would be a column for all candidates.
    """
    dataset = model.dataset
    own = (feature.name for feature in dataset.config.candidate_features)
    read = {*dataset.catalogue.text_columns, *own, *RANK_OUTPUTS, *REASON_NAMES}
    return frozenset(read - {*CANDIDATE_COLUMNS})


def call_key(request: ScoreRequest, read: Collection[str]) -> Hashable:
    """What the requests of one call have in common: the number of reasons, and the further columns of candidates.

    The columns with their types: what others bring must not change a request's answer.
    """
    given = [item.fields for item in request.items if isinstance(item, Candidate)]
    columns = frozenset((name, type(cell)) for fields in given for name, cell in fields.items() if name in read)
    return request.explain, columns


def with_first_rows(requests: Sequence[RequestT]) -> Iterator[tuple[RequestT, int]]:
    """Each request, and the row of `candidates_frame` at which its own begin."""
    lengths = [len(request.items) for request in requests]
    return zip(requests, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True)


def candidates_frame(requests: Sequence[ScoreRequest], read: Collection[str]) -> pl.DataFrame:
    """The candidates of all requests, one after the other, with those of their further columns that are `read`."""
    given = [candidate for request in requests for candidate in request.items]
    lengths = [len(request.items) for request in requests]
    number = np.repeat(np.arange(len(requests)), lengths)
    frame = pl.DataFrame(
        {
            "item_id": [item.item_id if isinstance(item, Candidate) else item for item in given],
            # Requests are queries of their own, also if they are of the same user at the same time.
            "impression_id": number,
        }
    )
    users = pl.Series("user_id", [request.user_id for request in requests], dtype=pl.String)
    times = pl.Series("timestamp", [request.timestamp for request in requests], dtype=TIMESTAMP)
    columns = [users.gather(number), times.gather(number)]
    if any(request.history is not None for request in requests):
        histories = [request.history for request in requests]
        columns.append(pl.Series("history", histories, dtype=pl.List(pl.String)).gather(number))
    return frame.with_columns(*columns, *_given_columns(given, read))


def texts_frame(requests: Sequence[MatchTextsRequest]) -> pl.DataFrame:
    """The texts of all requests, one after the other: user_id, timestamp, text."""
    lengths = [len(request.texts) for request in requests]
    number = np.repeat(np.arange(len(requests)), lengths)
    users = pl.Series("user_id", [request.user_id for request in requests], dtype=pl.String)
    times = pl.Series("timestamp", [request.timestamp for request in requests], dtype=TIMESTAMP)
    texts = pl.Series("text", [text for request in requests for text in request.texts], dtype=pl.String)
    return pl.DataFrame([users.gather(number), times.gather(number), texts])


def _given_columns(given: Sequence[str | Candidate], read: Collection[str]) -> Iterator[pl.Series]:
    """The further columns that came with candidates, texts and features of their own; null where one has none.

    Raises DataError for a list or an object in one.
    """
    fields = [item.fields if isinstance(item, Candidate) else {} for item in given]
    for name in dict.fromkeys(name for each in fields for name in each if name in read):
        cells = [each.get(name) for each in fields]
        refuse_nested(cells, f"candidates.{name}")
        try:
            yield pl.Series(name, cells, strict=True)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):  # of several types, or no UTF-8
            texts = [None if cell is None else str(cell).encode("utf-8", "replace").decode() for cell in cells]
            yield pl.Series(name, texts, dtype=pl.String)
