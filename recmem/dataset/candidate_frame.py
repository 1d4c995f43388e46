"""A frame of candidates, read: which rows belong to one query, which item each row names, whose memory counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.cell_parsing import parse_attribute, parse_ids
from feature_store.ragged import Ragged
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS, check_candidates
from recmem.dataset.candidate_features import CandidateFeature, distinct_rows, read_features
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.dataset.given_histories import NOT_GIVEN, GivenHistories, history_lists
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.row_groups import group_rows, query_keys
from recmem.dataset.shared_memories import NOW, RedisMemories, with_shared_memories
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.matching.user_memory import HISTORY
from recmem.text.item_text import item_text


@dataclass(frozen=True, eq=False)
class Candidates:
    """The queries of a frame with their candidates, in an order that does not depend on the order of the rows."""

    dataset: Dataset
    """What they are read from."""
    queries: QueryBatch
    given_history_lengths: IntArray
    """Known items in the history that came with each query, `NOT_GIVEN` where its events are read from the log."""
    items: Ragged
    """Per query its distinct candidates: rows of the catalogue, followed by those of `texts`. An item that comes with
    different features is as many candidates."""
    texts: list[str]
    """Texts of candidates that the catalogue lacks; all empty for a model that reads vectors of items."""
    new_ids: pl.Series
    """Their ids as the catalogue writes ids; null for one that it could not have."""
    query_of_row: IntArray
    """Query of each row of the frame."""
    pair_of_row: IntArray
    """Position in `items.values` of each row of the frame."""
    user_is_known: BoolArray
    """bool[row]: the store knows the user, or a history came with the row."""
    given_features: dict[str, Float32Array]
    """What the candidates bring along for the ranker: an entry per value of `items`, by the name of the column."""
    unmatched: UnmatchedRows

    @property
    def item_is_known(self) -> BoolArray:
        """bool[row]: the catalogue has the item."""
        is_known: BoolArray = self.items.values[self.pair_of_row] < len(self.dataset.catalogue)
        return is_known

    @property
    def lacks_features(self) -> BoolArray | None:
        """bool[row]: one of `given_features` counts as missing in the row; None if there are none."""
        if not self.given_features:
            return None
        return _is_missing(self.given_features)[self.pair_of_row]


def read_candidates(
    frame: pl.DataFrame,
    dataset: Dataset,
    output_names: tuple[str, ...],
    memories: RedisMemories | None = None,
    *,
    features: tuple[CandidateFeature, ...] = (),
    vectors: CandidateVectors | None = None,
) -> Candidates:
    """Reads a frame's queries and their candidates. `output_names`: columns that will be added to the frame.

    `features`: those that the candidates bring along, and that will be read. `vectors`: of a model that reads these in
    place of texts.

    A query is a user at a time, or at none, with its impression and its own history where the frame has such columns.
    Raises DataError with all faults of the frame, see `check_candidates`.
    """
    given_features, faults = read_features(frame, features)
    timestamps = check_candidates(frame, output_names, faults)
    item_ids = parse_ids(frame["item_id"], dataset.catalogue.ids.dtype)[0]
    user_ids = parse_ids(frame["user_id"], dataset.users.dtype)[0]
    item_rows, texts, new_ids = _item_rows(frame, item_ids, dataset.catalogue, vectors)
    requested = timestamps.to_physical().fill_null(NOW).to_numpy()
    dataset, n_unanswered = with_shared_memories(dataset, memories, user_ids, requested, item_rows, requested)
    times = np.where(requested == NOW, dataset.clock, requested)
    histories = history_lists(frame)
    # By the times that are given: whatever the clock says, a row belongs to the same query in a file and in a frame.
    query_of_row, first_row = group_rows(_query_keys(frame, requested, histories))
    users = dataset.user_rows(user_ids.gather(first_row))
    given = None if histories is None else GivenHistories.of(histories.gather(first_row), dataset.catalogue)
    queries = _queries(dataset, users, times[first_row], given)
    history_lengths = np.full(len(queries), NOT_GIVEN) if given is None else given.lengths
    items, pair_of_row = pairs_of_rows(query_of_row, item_rows, len(queries), given_features)
    row_of_pair = np.zeros(len(items.values), np.int64)
    row_of_pair[pair_of_row] = np.arange(frame.height)
    is_unknown_user = ((users < 0) & (history_lengths == NOT_GIVEN))[query_of_row]
    unmatched = UnmatchedRows(
        unknown_users=int(is_unknown_user.sum()),
        unknown_history_items=0 if given is None else given.n_unknown_items,
        unanswered=n_unanswered,
        unreadable_ids=int((item_ids.is_null() | user_ids.is_null()).sum()),
        missing_features=int(_is_missing(given_features).sum()) if given_features else 0,
    )
    return Candidates(
        dataset=dataset,
        queries=queries,
        given_history_lengths=history_lengths,
        items=items,
        texts=texts,
        new_ids=new_ids,
        query_of_row=query_of_row,
        pair_of_row=pair_of_row,
        user_is_known=~is_unknown_user,
        given_features={name: column[row_of_pair] for name, column in given_features.items()},
        unmatched=unmatched + _unmatched_items(item_rows, len(dataset.catalogue), texts, new_ids, vectors),
    )


def _is_missing(features: dict[str, Float32Array]) -> BoolArray:
    """Whether any of the features is NaN: a bool for each of their entries."""
    return np.asarray(np.isnan(np.stack(list(features.values()))).any(axis=0), bool)


def _query_keys(frame: pl.DataFrame, times: IntArray, histories: pl.Series | None) -> pl.DataFrame:
    """What makes rows one query, a column each."""
    impression_ids = frame["impression_id"] if "impression_id" in frame.columns else None
    keys = query_keys(frame["user_id"], times, impression_ids)
    if histories is None:
        return keys
    return keys.with_columns(histories.list.join("\n", ignore_nulls=False).alias("history"))


def _queries(dataset: Dataset, users: IntArray, times: IntArray, given: GivenHistories | None) -> QueryBatch:
    if given is None:
        return QueryBatch.of(dataset, users, times)
    # A user whose history is given has no events in the log, as far as this query is concerned.
    logged_users = np.where(given.is_given, -1, users)
    logged = dataset.histories(logged_users, times, HISTORY)
    return QueryBatch.with_histories(dataset, logged_users, times, given.in_place_of(logged, times), users)


def pairs_of_rows(
    query_of_row: IntArray,
    item_rows: IntArray,
    n_queries: int,
    given_features: Mapping[str, Float32Array] = MappingProxyType({}),
) -> tuple[Ragged, IntArray]:
    """The distinct candidates of each query, and int64[row], the position of each row's pair among them.

    An item that comes several times in a query is one candidate, or as many as it has different `given_features`.
    """
    # Query and item as one number: sorting these is ten times as fast as sorting rows of two.
    stride = int(item_rows.max(initial=0)) + 1
    keys, pair_of_row = np.unique(query_of_row * stride + item_rows, return_inverse=True)
    if given_features and len(keys) < len(item_rows):
        variants = distinct_rows(given_features.values())
        n_variants = int(variants.max(initial=0)) + 1
        variant_keys, pair_of_row = np.unique(pair_of_row * n_variants + variants, return_inverse=True)
        keys = keys[variant_keys // n_variants]
    items = Ragged.from_lengths(keys % stride, np.bincount(keys // stride, minlength=n_queries))
    return items, pair_of_row.astype(np.int64, copy=False)


def _item_rows(
    frame: pl.DataFrame, ids: pl.Series, catalogue: Catalogue, vectors: CandidateVectors | None
) -> tuple[IntArray, list[str], pl.Series]:
    """int64[row], the candidate of each row, and the texts and ids of those that the catalogue lacks.

    `ids` are the frame's items as the catalogue writes ids. Items that it lacks follow its rows, one for each distinct
    id and text.
    """
    rows = catalogue.rows(ids)
    unknown = np.flatnonzero(rows < 0)
    if not len(unknown):
        return rows, [], ids.clear()
    unknown_items = frame[unknown]
    unknown_ids = ids.gather(unknown)
    texts = item_text(_text_columns(unknown_items, catalogue.text_columns), catalogue.text_columns)
    if vectors is not None:
        vectors.refuse_texts(unknown_items, unknown_ids, texts, catalogue.text_columns)
        texts = pl.Series("text", [""], dtype=pl.String).new_from_index(0, len(texts))
    group, first = group_rows(pl.DataFrame({"item": unknown_items["item_id"].cast(pl.String), "text": texts}))
    rows[unknown] = len(catalogue) + group
    return rows, texts.gather(first).to_list(), unknown_ids.gather(first)


def _unmatched_items(
    item_rows: IntArray, n_items: int, texts: list[str], new_ids: pl.Series, vectors: CandidateVectors | None
) -> UnmatchedRows:
    """Counts the rows of items that the catalogue lacks, and those without a vector where these are read."""
    if vectors is not None:
        n_with_vector, n_without = vectors.without_vector(item_rows, new_ids)
        return UnmatchedRows(unknown_items_with_vector=n_with_vector, items_without_vector=n_without)
    has_text = np.array([bool(text) for text in texts], bool)[item_rows[item_rows >= n_items] - n_items]
    return UnmatchedRows(unknown_items_with_text=int(has_text.sum()), unknown_items_without_text=int((~has_text).sum()))


def _text_columns(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """The text columns as the store would hold them, null where the frame has none.

    An item's column named as one of `CANDIDATE_COLUMNS` is not read: in a frame of candidates it means something else.
    """
    columns = {}
    for name in names:
        if name in frame.columns and name not in CANDIDATE_COLUMNS:
            columns[name] = parse_attribute(frame[name], pl.String())[0]
        else:
            columns[name] = pl.Series([None] * frame.height, dtype=pl.String)
    if not columns:  # items may have vectors and no texts
        return pl.DataFrame(height=frame.height)
    return pl.DataFrame(columns)
