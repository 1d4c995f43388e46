"""Any texts, such as answers, articles and offers, matched with users' memories: they need not be items of the store.

The match reads texts alone, so a text needs no id, no events and no features. What it cannot have is a ranking score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.timestamps import TIMESTAMP
from recmem.dataset.candidate_frame import Candidates
from recmem.dataset.text_frame import TEXT, TEXT_FRAME_COLUMNS, read_text_frame
from recmem.serving.frame_scores import of_rows, scored
from recmem.serving.frames import FrameT, to_ids, to_polars
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.recommend import reasons_in_words
from recmem.serving.request_columns import UNKNOWN_USER
from recmem.serving.request_times import TimeLike, microseconds
from recmem.serving.row_reasons import check_number, reason_names
from recmem.serving.scored import Scored
from recmem.serving.scoring import MATCH_SCORE, Columns, match_pairs
from recmem.text.item_vectors import ItemVectors

REASON = "reason"
TEXT_OUTPUTS = (MATCH_SCORE, "match_raw", "match_prior", "similarity_max")
"""The scores of a text, a part of what a candidate gets."""


def match_texts(
    parts: LoadedParts, user_id: object, texts: Sequence[str] | pl.Series, *, timestamp: TimeLike | None, explain: int
) -> pl.DataFrame:
    """The texts with their scores for one user; see `Model.match_texts`."""
    frame = _frame_of(user_id, texts, timestamp)
    return match_text_frame(parts, frame, explain=explain).frame.drop("user_id", "timestamp")


def read_texts_of(
    parts: LoadedParts, user_id: object, texts: Sequence[str] | pl.Series, timestamp: TimeLike | None
) -> Candidates:
    """The texts as candidates for one user. Raises DataError as `match_texts` does."""
    _refuse_without_encoder(parts)
    return read_text_frame(_frame_of(user_id, texts, timestamp), parts.dataset, (), parts.memories)


def match_text_frame(parts: LoadedParts, frame: FrameT, *, explain: int) -> Scored[FrameT]:
    """The frame with `TEXT_OUTPUTS`, `unknown_user` and reasons; see `Model.match_text_frame`."""
    n_reasons = check_number(explain)
    _refuse_without_encoder(parts)
    outputs = (*TEXT_OUTPUTS, UNKNOWN_USER, REASON, *reason_names(n_reasons, ranks=False))
    rows = to_polars(frame, "texts", wanted={*TEXT_FRAME_COLUMNS, *outputs})
    read = read_text_frame(rows, parts.dataset, outputs, parts.memories)
    columns = of_rows(_columns(parts, read, n_reasons), read)
    scores = {name: columns.pop(name) for name in TEXT_OUTPUTS}
    together = scores | {UNKNOWN_USER: ~read.user_is_known} | columns
    return scored(frame, together, read, parts.bundle.config.learned_until)


def _columns(parts: LoadedParts, read: Candidates, n_reasons: int) -> Columns:
    """`TEXT_OUTPUTS` and the reasons of each pair of a user at a time and a text."""
    matcher = parts.matcher_with(read)
    language = parts.bundle.config.language
    matched = match_pairs(matcher, read, parts.bundle.config.calibration, n_reasons=n_reasons, language=language)
    in_words: list[str] = []
    for row in range(len(read.queries)):
        query = read.queries.take(np.array([row]))
        in_words += reasons_in_words(read.dataset, matcher, query, read.items.row(row), numbers=True, language=language)
    reasons = np.empty(len(in_words), object)
    reasons[:] = in_words
    names = reason_names(n_reasons, ranks=False)
    return {name: matched[name] for name in TEXT_OUTPUTS} | {REASON: reasons} | {name: matched[name] for name in names}


def _frame_of(user_id: object, texts: Sequence[str] | pl.Series, timestamp: TimeLike | None) -> pl.DataFrame:
    """A row per text: user_id, text, timestamp."""
    given = _text_column(texts)
    user = to_ids([user_id], "user_id")
    time = None if timestamp is None else microseconds(timestamp)
    times = pl.Series("timestamp", [time] * len(given), dtype=pl.Int64).cast(TIMESTAMP)
    return pl.DataFrame([user.new_from_index(0, len(given)), given, times])


def _text_column(texts: Sequence[str] | pl.Series) -> pl.Series:
    """The texts of one user as a column. Raises DataError for a single text, and for what is no text."""
    if isinstance(texts, str | bytes):
        raise DataError(f"texts: expected a list of texts, got the text {texts[:40]!r}. Put it in a list.")
    try:
        column = pl.Series(TEXT, texts if isinstance(texts, pl.Series) else list(texts))
    except UnicodeEncodeError as error:
        # Where a text was cut within an emoji, for example.
        remedy = "Replace it: text.encode(errors='replace').decode()."
        raise DataError(f"texts: expected text in UTF-8, got half of a surrogate pair. {remedy}") from error
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataError("texts: expected a list of texts, got values of other types. Give text.") from error
    return column.cast(pl.String) if column.dtype == pl.Null else column


def _refuse_without_encoder(parts: LoadedParts) -> None:
    if isinstance(parts.embedding, ItemVectors):
        raise DataError(
            f"texts: expected a model with a text encoder, got one that reads vectors of {parts.embedding.name!r} and "
            "no texts. Add the vectors of your texts under ids of their own (model.add_vectors), and call model.match."
        )
