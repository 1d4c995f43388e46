"""A caller's frame of candidates, scored: read once, matched or ranked, and given back in its own kind."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store import DataError
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.ranking.given_features import CHUNK_PAIRS, query_chunks
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.frames import FrameT, to_polars, with_added
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.request_times import warn_of_number_times
from recmem.serving.row_reasons import check_number, reason_names
from recmem.serving.scored import Scored
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS, Columns, match_pairs, pairs_of, rank_pairs


def matched(parts: LoadedParts, candidates: FrameT, *, explain: int) -> Scored[FrameT]:
    """The frame with `MATCH_OUTPUTS` and reasons; see `Model.match`."""
    n_reasons = check_number(explain)
    # The match reads no features of the caller's own.
    read = _read(parts, candidates, (*MATCH_OUTPUTS, *reason_names(n_reasons, ranks=False)), features=())
    config = parts.bundle.config
    columns = match_pairs(
        parts.matcher_with(read), read, config.calibration, n_reasons=n_reasons, language=config.language
    )
    return scored(candidates, of_rows(columns, read), read, parts.bundle.config.learned_until)


def ranked(parts: LoadedParts, candidates: FrameT, *, trees_share: float, explain: int) -> Scored[FrameT]:
    """The frame with `RANK_OUTPUTS` and reasons; see `Model.rank`."""
    n_reasons = check_number(explain)
    if not isinstance(trees_share, int | float | np.number) or not 0 <= trees_share <= 1:
        raise DataError(f"trees_share: expected 0 to 1, got {trees_share!r}. Give a share of the candidates.")
    if n_reasons and trees_share < 1:
        # Below the share, a score is only a place after the others: it has no parts.
        raise DataError(f"explain: expected trees_share 1 with it, got {trees_share!r}. Leave out one of the two.")
    features = parts.dataset.config.candidate_features
    reasons = reason_names(n_reasons, ranks=True)
    hidden = [feature.name for feature in features if feature.name in reasons]
    if hidden:  # of an earlier training, which allowed that
        expected = f"none, because {hidden[0]!r} is a feature of this model and a column of reasons"
        remedy = "Leave it out, or rename the feature and train again."
        raise DataError(f"explain: expected {expected}, got {n_reasons}. {remedy}")
    read = _read(parts, candidates, (*RANK_OUTPUTS, *reasons), features=features)
    columns = rank_pairs(
        parts.matcher_with(read),
        parts.bundle.ranker,
        read,
        parts.bundle.config.calibration,
        trees_share=trees_share,
        n_reasons=n_reasons,
        language=parts.bundle.config.language,
    )
    return scored(candidates, of_rows(columns, read), read, parts.bundle.config.learned_until)


def read_pairs(parts: LoadedParts, candidates: object) -> tuple[Candidates, PairFeatures]:
    """The candidates as `ranked` reads them, and all features of their pairs; see `Model.pairs`."""
    read = _read(parts, candidates, RANK_OUTPUTS, features=parts.dataset.config.candidate_features)
    matcher = parts.matcher_with(read)
    chunks = query_chunks(read.items, CHUNK_PAIRS)
    return read, PairFeatures.concat([pairs_of(matcher, read, rows) for rows in chunks])


def _read(
    parts: LoadedParts, candidates: object, outputs: tuple[str, ...], *, features: tuple[CandidateFeature, ...]
) -> Candidates:
    dataset = parts.dataset
    own = [feature.name for feature in features]
    wanted = {*CANDIDATE_COLUMNS, *dataset.catalogue.text_columns, *own, *outputs}
    frame = to_polars(candidates, "candidates", wanted=wanted)
    warn_of_number_times(frame)
    return read_candidates(frame, dataset, outputs, parts.memories, features=features, vectors=parts.vectors)


def of_rows(columns: Columns, read: Candidates) -> Columns:
    """Columns of pairs as columns of the frame's rows."""
    return {name: values[read.pair_of_row] for name, values in columns.items()}


def scored(frame: FrameT, columns: Columns, read: Candidates, learned_until: int) -> Scored[FrameT]:
    """The caller's frame with these columns of its rows."""
    added = pl.DataFrame(
        [
            # A text may be missing, which polars cannot tell from an array of objects.
            pl.Series(name, values.tolist(), pl.String) if values.dtype == object else pl.Series(name, values)
            for name, values in columns.items()
        ]
    )
    is_in_sample = read.queries.times[read.query_of_row] <= learned_until
    return Scored(
        with_added(frame, added),
        read.unmatched,
        user_is_known=read.user_is_known,
        item_is_known=read.item_is_known,
        lacks_features=read.lacks_features,
        n_in_sample=int(is_in_sample.sum()),
    )
