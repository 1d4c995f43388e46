"""The trained model at work: candidates in, match scores, rankings and reasons out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from feature_store import DataError, Receipt, Store
from feature_store.cell_parsing import parse_ids
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, check_table
from feature_store.timestamps import TIMESTAMP, parse_timestamps
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_memories import NOW, RedisMemories, connected, with_shared_memories, write
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import Kind
from recmem.serving.bundle import Bundle, load_bundle
from recmem.serving.explain import KINDS, Explanation, match_parts, slot_reasons
from recmem.serving.recommend import pairs_with, recommend
from recmem.serving.registry import bundle_folder
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS, Columns, match_pairs, rank_pairs
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder
from recmem.text.encoder import resolve_device

__all__ = ["Explanation", "Model", "load"]

TimeLike = datetime | date | str | int | float
Ids = Sequence[object] | pl.Series


def load(
    source: str | Path,
    *,
    store: str | Path | Store | None = None,
    online: str | RedisMemories | None = None,
    device: str = "auto",
) -> Model:
    """The model of a bundle folder, or of MLflow's registry: `models:/recmem@champion`.

    `store` is where items and events are read, at their newest versions; by default where the model was trained from.
    `online`: memories and counters that several processes share, redis://host:port/db or a `RedisMemories`, as
    `recmem publish` has put them there; the store then gives items, item-item models and showings.
    `device`: where texts are encoded and the match is computed; "auto" takes CUDA where there is one.

    Raises DataError where there is no such model, it does not pass its self-test, or the store or the online memories
    cannot be read.
    """
    return Model.load(bundle_folder(source), store=store, online=online, device=device)


class Model:
    """A bundle over the items and events of a store; `recmem.load` makes it.

    Everything is read as of the moment that a row names, strictly before it. Rows without a timestamp are read as of
    the first microsecond at which all known events count, so that results can be replayed.
    """

    def __init__(
        self,
        bundle: Bundle,
        dataset: Dataset,
        embedding: CachedEncoder,
        *,
        memories: RedisMemories | None = None,
        device: str = "auto",
    ) -> None:
        self.bundle = bundle
        self.dataset = dataset
        self.memories = memories
        self.counts = UnmatchedRows()
        """Rows of the last call that the store could not match."""
        self._encoder = embedding
        target = resolve_device(device)
        unit = embedding.of_items(dataset.catalogue.texts).to(target)
        self.matcher = Matcher.of(bundle.module.to(target), unit, bundle.config.memory)
        """The match module over the catalogue's texts."""

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        store: str | Path | Store | None = None,
        online: str | RedisMemories | None = None,
        device: str = "auto",
    ) -> Model:
        """The model of a local bundle folder; see `recmem.load`."""
        bundle = load_bundle(folder)
        config = bundle.config
        memories = None if online is None else connected(online, config.dataset)
        opened = _open_store(store, config.store)
        items, events, impressions = _tables(opened)
        catalogue = Catalogue.of(items, config.text_columns, config.number_columns)
        encoder = LazyEncoder(config.encoder, fingerprint=config.fingerprint, dim=config.match.dim, device=device)
        dataset = Dataset.of(catalogue, events, impressions, config.dataset)
        return cls(bundle, dataset, CachedEncoder.of(encoder, opened), memories=memories, device=device)

    def match(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """The same rows in the same order with `match_score`, `match_raw`, `match_prior` and `similarity_*`.

        `candidates` has `user_id` and `item_id`; `timestamp` where not now; the items' text columns for items that the
        store lacks; `history`, a list of item ids, oldest first, that is read instead of the user's events. Any other
        columns pass through. `match_score` is calibrated, 0 to 1. What the store does not know is scored by what there
        is, and counted in `counts`.

        Raises DataError on missing columns, null ids, times that are none, or a column of an output's name.
        """
        read = read_candidates(candidates, self.dataset, MATCH_OUTPUTS, self.memories)
        self.counts = read.unmatched
        columns = match_pairs(self._matcher_with(read), read, self.bundle.config.calibration)
        return _joined(candidates, columns, read)

    def rank(self, candidates: pl.DataFrame, *, trees_share: float = 1.0) -> pl.DataFrame:
        """As `match`, with `score` and `rank`: 1 for the best of a user at a time, or of an `impression_id`.

        A score is relative to the other candidates of its query, so give queries whole. A row that comes twice changes
        nothing for the others; equal scores share the better rank.

        `trees_share` below 1 is quicker: LightGBM sees only this share of each query's candidates, the best by the
        linear blend, and the others come after them. `recmem cascade` tells what that costs.

        Raises DataError as `match` does, and for a share outside 0 .. 1.
        """
        if not 0 <= trees_share <= 1:
            raise DataError(f"trees_share: expected 0 to 1, got {trees_share}. Give a share of the candidates.")
        read = read_candidates(candidates, self.dataset, RANK_OUTPUTS, self.memories)
        self.counts = read.unmatched
        config, matcher = self.bundle.config, self._matcher_with(read)
        columns = rank_pairs(matcher, self.bundle.ranker, read, config.calibration, trees_share=trees_share)
        return _joined(candidates, columns, read)

    def recommend(self, user_ids: Ids, *, k: int = 10, timestamp: TimeLike | None = None) -> pl.DataFrame:
        """The best `k` items of the store for each user: user_id, item_id, score, rank, match_score, reason.

        Fewer where the store has no more; without what the user has, if the model was trained so. A reason names the
        memories that the match score builds on.
        """
        if k < 1:
            raise DataError(f"k: expected at least 1, got {k}. Give the number of items per user.")
        users = _id_series(user_ids)
        dataset, queries = self._queries(users, timestamp)
        best = recommend(dataset, self.matcher, self.bundle, queries, k)
        return best.select(users.gather(best["query"]).alias("user_id"), pl.exclude("query"))

    def explain(self, user_id: object, item_id: object, *, timestamp: TimeLike | None = None) -> Explanation:
        """What the match score and the ranking score of an item for a user are made of.

        The ranking score is the one among the items that `recommend` chooses from, with this item if it is not there.
        Raises DataError where the store lacks the item.
        """
        item = self._item_row(item_id)
        dataset, query = self._queries(_id_series([user_id]), timestamp)
        pairs = pairs_with(dataset, self.matcher, self.bundle, query, item)
        place = int(np.flatnonzero(pairs.candidates.values == item)[0])
        prior, null, parts = match_parts(self.matcher, query.histories, np.array([item]))
        constant, columns = self.bundle.ranker.contributions(pairs)
        return Explanation(
            title=self.dataset.catalogue.title(item),
            match_raw=float(pairs.values["match_raw"][place]),
            prior=float(prior[0]),
            null=float(null[0]),
            slots=slot_reasons(self.matcher, self.dataset.catalogue, query.histories, parts[:, 0]),
            columns={"constant": constant} | {name: float(column[place]) for name, column in columns.items()},
            score=float(self.bundle.ranker.scores(pairs)[place]),
        )

    def memory(self, user_id: object, timestamp: TimeLike | None = None) -> pl.DataFrame:
        """What is remembered of a user, newest first: item_id, title, timestamp, kind, visits_ago."""
        _, query = self._queries(_id_series([user_id]), timestamp, with_items=False)
        history = query.histories.newest(self.bundle.config.memory.held)
        rows = history.items.values[::-1]
        return pl.DataFrame(
            {
                "item_id": self.dataset.catalogue.ids.gather(rows),
                "title": pl.Series([self.dataset.catalogue.title(int(row)) for row in rows], dtype=pl.String),
                "timestamp": pl.Series(history.times[::-1].copy()).cast(TIMESTAMP),
                "kind": pl.Series([KINDS[Kind(int(sign) + 1)] for sign in history.signs[::-1]], dtype=pl.String),
                "visits_ago": history.recency[::-1].copy(),
            }
        )

    def title(self, item_id: object) -> str:
        """What a person calls the item; DataError where the store lacks it."""
        return self.dataset.catalogue.title(self._item_row(item_id))

    def observe(self, events: pl.DataFrame) -> Receipt:
        """Takes the events in: from now on all answers are as if the store held them too.

        In this process only, or through online memories in all processes that share them; those take in no events of
        items that this process has not loaded. The tables stay as they are: append to the store as well.

        The rules are those of `Store.append_events`: a known event counts once, a bad row is counted as rejected with
        its reason, a row with `cancels` takes an earlier event back. Events of items that the store lacks are taken in
        and remembered once it has them.
        """
        ids = {name: self.dataset.events.schema[name] for name in ("user_id", "item_id")}
        checked = check_table(events, EVENTS, stored=ids)
        reasons: dict[str, int] = dict(checked.reasons()["reason"].value_counts(sort=True).iter_rows())
        if self.memories is None:
            n_before = len(self.dataset.events)
            self.dataset = self.dataset.with_events(checked.kept) if len(checked.kept) else self.dataset
            n_new = len(self.dataset.events) - n_before
            n_duplicate = len(checked.kept) - n_new
        else:
            n_new, n_duplicate, refused = write(self.dataset, self.memories, checked.kept)
            reasons |= refused
        return Receipt(
            table=EVENTS.name,
            n_in=len(events),
            n_new=n_new,
            n_duplicate=n_duplicate,
            n_rejected=len(events) - n_new - n_duplicate,
            version=None,
            reasons=reasons,
        )

    def _matcher_with(self, read: Candidates) -> Matcher:
        """The matcher with the texts that came with the candidates after the catalogue's."""
        return self.matcher.with_texts(self._encoder.of_texts(read.texts)) if read.texts else self.matcher

    def _queries(
        self, users: pl.Series, timestamp: TimeLike | None, *, with_items: bool = True
    ) -> tuple[Dataset, QueryBatch]:
        """Who asks, and the dataset that answers; with counters of every item, unless only memories are asked for."""
        time = NOW if timestamp is None else _microseconds(timestamp)
        ids = parse_ids(users, self.dataset.users.dtype)[0]
        items = np.arange(len(self.dataset.catalogue) if with_items else 0)
        asked = np.full(len(ids), time, np.int64)
        dataset, n_unanswered = with_shared_memories(
            self.dataset, self.memories, ids, asked, items, np.full(len(items), time, np.int64)
        )
        self.counts = UnmatchedRows(unanswered=n_unanswered)
        times = np.where(asked == NOW, dataset.clock, asked)
        return dataset, QueryBatch.of(dataset, dataset.user_rows(ids), times)

    def _item_row(self, item_id: object) -> int:
        ids = self.dataset.catalogue.ids
        row = int(self.dataset.catalogue.rows(parse_ids(pl.Series("item_id", [item_id]), ids.dtype)[0])[0])
        if row < 0:
            raise DataError(f"item_id: expected an item of the store, got {item_id!r}. Append it to the store first.")
        return row


def _open_store(given: str | Path | Store | None, trained: str | None) -> Store | None:
    """The store that the caller gives, else the one that the model was trained from; None if neither is named."""
    if isinstance(given, Store):
        return given
    if given is not None:
        return Store.open(given)
    if trained is None:
        return None
    try:
        return Store.open(trained)
    except DataError as error:
        what = f"the store that the model was trained from, got none at {trained!r}"
        raise DataError(f"store: expected {what}. Say where it is now: store=..., or --store.") from error


def _tables(store: Store | None) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    if store is not None:
        return store.items(), store.events(), store.impressions()
    items, events, impressions = (pl.DataFrame(schema=table.schema()) for table in (ITEMS, EVENTS, IMPRESSIONS))
    return items, events, impressions


def _id_series(ids: Ids) -> pl.Series:
    """The ids as a column; DataError for what can be none."""
    if isinstance(ids, str):
        raise DataError(f"user_ids: expected a list of ids, got the text {ids!r}. Put it in a list.")
    try:
        column = ids if isinstance(ids, pl.Series) else pl.Series(list(ids))
    except TypeError as error:
        raise DataError("user_ids: expected ids of one type, got several. Give them all as text.") from error
    if column.null_count():
        raise DataError(f"user_ids: expected ids, got {column.null_count()} null. Leave them out.")
    return column.alias("user_id").cast(pl.String) if column.dtype == pl.Null else column.alias("user_id")


def _microseconds(moment: TimeLike) -> int:
    times, faults = parse_timestamps(pl.Series("timestamp", [moment]))
    if faults or times[0] is None:
        raise DataError(f"timestamp: expected a time, got {moment!r}. Give a datetime, ISO 8601 text or epoch seconds.")
    return int(times.dt.epoch("us")[0])


def _joined(frame: pl.DataFrame, columns: Columns, read: Candidates) -> pl.DataFrame:
    """The frame with the pairs' columns in the rows that they belong to."""
    return frame.with_columns(pl.Series(name, values[read.pair_of_row]) for name, values in columns.items())
