"""The trained model in use: candidates in, match scores, rankings and reasons out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl

from feature_store import DataError, Receipt, Store
from feature_store.cell_parsing import parse_id, parse_ids
from feature_store.forked_process import refuse_forked
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.schema import EVENTS, ITEM_VECTORS, USERS, check_table
from feature_store.timestamps import TIMESTAMP, iso_time, parse_timestamps
from feature_store.vector_checks import COLUMNS as VECTOR_COLUMNS
from feature_store.warnings.time_warnings import LOGS_BEGIN, time_warnings
from feature_store.warnings.unread_columns import unread_columns
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_memories import NOW, RedisMemories, connected, with_shared_memories, write
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.dataset.user_profiles import UserProfiles
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import kind_names
from recmem.ranking.given_features import CHUNK_PAIRS, query_chunks
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import Bundle, load_bundle
from recmem.serving.embedding import Embedding, embedding_of, item_units, new_item_units, text_space
from recmem.serving.explain import Explanation, fitting_interests, match_parts, slot_reasons
from recmem.serving.frames import FrameT, Ids, column_names, to_ids, to_polars, with_added
from recmem.serving.match_expression import match_expression
from recmem.serving.model_store import open_store, read_tables
from recmem.serving.observed_users import checked_users, new_rows, receipt_of, with_interests
from recmem.serving.recommend import pairs_with, recommend, with_given
from recmem.serving.registry import bundle_at
from recmem.serving.row_reasons import check_number, reason_names
from recmem.serving.scored import Scored
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS, Columns, match_pairs, pairs_of, rank_pairs
from recmem.text.item_vectors import ItemVectors, given_rows
from recmem.text.torch_device import resolve_device

__all__ = ["Explanation", "Model", "Scored", "load"]

TimeLike = datetime | date | str | int | float
_EVENT_COLUMNS = tuple(column.name for column in EVENTS.columns)
_LOG = logging.getLogger("recmem")


def load(
    source: str | Path,
    *,
    store: str | Path | Store | None = None,
    online: str | RedisMemories | None = None,
    device: str = "auto",
) -> Model:
    """The model in a bundle folder, at its URL on an object store, or in MLflow's registry: `models:/recmem@champion`.

    `store`: where items and events are read, at their newest versions; by default those that the model was trained on.
    `online`: memories and counters that several processes share, as `recmem publish` has written them: a URL
    redis://host:port/db, or a `RedisMemories`. The store then gives items, co-visitation and impressions.
    `device`: where texts are encoded and the match is computed; "auto" takes CUDA if there is a GPU.

    Raises DataError if there is no such model, it fails its self-test, or the store or the shared memories cannot be
    read.
    """
    refuse_forked()
    with bundle_at(source) as folder:
        return Model.load(folder, store=store, online=online, device=device)


class Model:
    """A trained model over the items and events of a store; `recmem.load` makes it.

    Everything is read as of a row's timestamp, strictly before it. Rows without a timestamp are read as of the first
    microsecond at which all known events count, so that results can be reproduced.

    All methods may be called from several threads at once. A call reads the events that were observed before it began.
    In a process that was forked after a model or a store was used, every call raises DataError: load in each process.
    """

    def __init__(
        self,
        bundle: Bundle,
        dataset: Dataset,
        embedding: Embedding,
        *,
        memories: RedisMemories | None = None,
        device: str = "auto",
    ) -> None:
        self.bundle = bundle
        space = text_space(embedding)
        self.dataset = dataset if space is None else with_interests(dataset, space.of_items)
        """Never changed in place: `observe` puts a new one here. Read it once per call."""
        self.memories = memories
        self._encoder = embedding
        self._observing = Lock()
        self._device = resolve_device(device)
        self._vectors = self._candidate_vectors()
        self.matcher = self._new_matcher()
        """The match module over the catalogue's texts, or the vectors of its items."""

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
        refuse_forked()
        bundle = load_bundle(folder)
        config = bundle.config
        opened = open_store(store, trained=config.store)
        identity = "" if opened is None else opened.identity()
        memories = None if online is None else connected(online, config.dataset, store=identity)
        items, events, impressions, changes = read_tables(opened)
        profiles = UserProfiles.none() if opened is None else UserProfiles.of(opened.users())
        catalogue = Catalogue.of(items, config.text_columns, config.number_columns)
        dataset = Dataset.of(
            catalogue,
            events,
            impressions,
            config.dataset,
            item_changes=changes,
            profiles=profiles,
            store=identity,
        )
        _warn_of_clock(dataset)
        return cls(bundle, dataset, embedding_of(bundle, opened, device=device), memories=memories, device=device)

    def match(self, candidates: FrameT, *, explain: int = 0) -> FrameT:
        """The same rows in the same order, with `match_score`, `match_raw`, `match_prior` and `similarity_*`.

        `candidates` is a polars or pandas DataFrame or a pyarrow Table or RecordBatch, and so is the result. Columns:
        `user_id` and `item_id`; optionally `timestamp`, the items' text columns for items that the store lacks, and
        `history`, a list of item ids, oldest first, that is read instead of the user's events. All columns come back
        unchanged, and a pandas frame keeps its index. `match_score` is calibrated, 0 to 1.

        `explain`: so many of the strongest reasons are added to each row, see `recmem.serving.row_reasons`: the
        memories that add most to or take most from `match_raw` as text, `match_reason_1` and so on, and in `reasons` as
        JSON, with all parts of the sum.

        Unknown users and items are scored with what is known of them; `match_with_report` counts them. Scores of rows
        that are older than what the model has learned from are in sample: a warning counts these rows.

        Raises DataError on missing columns, null ids, unreadable timestamps, or a column named like an output.
        """
        scored = self.match_with_report(candidates, explain=explain)
        if scored.n_in_sample:
            _LOG.warning(in_sample_text(scored.n_in_sample, self.bundle.config.learned_until))
        return scored.frame

    def match_with_report(self, candidates: FrameT, *, explain: int = 0) -> Scored[FrameT]:
        """As `match`, with the number of rows that the store could not match, and of those that are in sample."""
        refuse_forked()
        n_reasons = check_number(explain)
        read = self._read(candidates, (*MATCH_OUTPUTS, *reason_names(n_reasons, ranks=False)))
        calibration = self.bundle.config.calibration
        columns = match_pairs(self._matcher_with(read), read, calibration, n_reasons=n_reasons)
        return _scored(candidates, columns, read, self.bundle.config.learned_until)

    def match_expr(
        self, user_id: pl.Expr | str = "user_id", item_id: pl.Expr | str = "item_id", **others: pl.Expr | str
    ) -> pl.Expr:
        """`match` as a polars expression: a struct of its columns for each row, which `.struct.unnest()` makes columns.

        `others` are further columns that `match` reads: `timestamp`, `history`, and text columns for items that the
        store lacks. Text is the name of a column, as everywhere in polars. Lazy and streamed frames may be of any
        length. Rows that `match` refuses raise its DataError once polars computes them.

        >>> log.with_columns(model.match_expr(timestamp="clicked_at").struct.unnest())  # doctest: +SKIP
        """
        return match_expression(self, {"user_id": user_id, "item_id": item_id, **others})

    def rank(self, candidates: FrameT, *, trees_share: float = 1.0, explain: int = 0) -> FrameT:
        """As `match`, with `score` and `rank` too: 1 for the best of a user at a time, or of an `impression_id`.

        A score is relative to the other candidates of its query, so pass queries whole. A repeated row changes nothing
        for the others; equal scores share the better rank.

        A model that was trained with features of your own (`recmem train --features`) reads these columns too, nulls
        as missing values.

        `trees_share` below 1 is faster: LightGBM scores only this share of each query's candidates, the best by the
        linear blend, and the others rank below them. `recmem cascade` measures what that costs.

        `explain` adds reasons as in `match`, and the features that add most to or take most from `score`:
        `score_reason_1` and so on. The two kinds are on different scales.

        Raises DataError as `match` does, for a missing column of a feature, a share outside 0 .. 1, and one below 1
        together with `explain`.
        """
        return self.rank_with_report(candidates, trees_share=trees_share, explain=explain).frame

    def rank_with_report(self, candidates: FrameT, *, trees_share: float = 1.0, explain: int = 0) -> Scored[FrameT]:
        """As `rank`, with the number of rows that the store could not match."""
        refuse_forked()
        n_reasons = check_number(explain)
        if not isinstance(trees_share, int | float | np.number) or not 0 <= trees_share <= 1:
            raise DataError(f"trees_share: expected 0 to 1, got {trees_share!r}. Give a share of the candidates.")
        if n_reasons and trees_share < 1:
            # Below the share, a score is only a place after the others: it has no parts.
            raise DataError(f"explain: expected trees_share 1 with it, got {trees_share!r}. Leave out one of the two.")
        read = self._read(candidates, (*RANK_OUTPUTS, *reason_names(n_reasons, ranks=True)))
        columns = rank_pairs(
            self._matcher_with(read),
            self.bundle.ranker,
            read,
            self.bundle.config.calibration,
            trees_share=trees_share,
            n_reasons=n_reasons,
        )
        return _scored(candidates, columns, read, self.bundle.config.learned_until)

    def pairs(self, candidates: object) -> tuple[Candidates, PairFeatures]:
        """The candidates as `rank` reads them, and all features of their pairs, for looking into what is scored.

        Both are in the order of `Candidates.items`. Raises DataError as `rank` does.
        """
        refuse_forked()
        read = self._read(candidates, RANK_OUTPUTS)
        matcher = self._matcher_with(read)
        chunks = query_chunks(read.items, CHUNK_PAIRS)
        return read, PairFeatures.concat([pairs_of(matcher, read, rows) for rows in chunks])

    def recommend(self, user_ids: Ids, *, k: int = 10, timestamp: TimeLike | None = None) -> pl.DataFrame:
        """The best `k` items of the store for each user: user_id, item_id, score, rank, match_score, reason.

        `user_ids` is a list, a polars or pandas Series, a numpy array or an Arrow array. The result is always a polars
        frame: call `.to_pandas()` or `.to_arrow()` on it. A user gets fewer than `k` items if the store has no more.
        Items that a user already has are left out if the model was trained so. A reason names the memories that the
        match score builds on. Features of your own (`recmem train --features`) have their typical value here.
        """
        return self.recommend_with_report(user_ids, k=k, timestamp=timestamp).frame

    def recommend_with_report(
        self, user_ids: Ids, *, k: int = 10, timestamp: TimeLike | None = None
    ) -> Scored[pl.DataFrame]:
        """As `recommend`, with the number of users whom the shared memories did not answer for, or whose id is none."""
        refuse_forked()
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise DataError(f"k: expected at least 1, got {k!r}. Give a number of items per user.")
        users = to_ids(user_ids, "user_ids")
        dataset, queries, unmatched = self._queries(users, timestamp)
        best = recommend(dataset, self.matcher, self.bundle, queries, k)
        frame = best.select(users.gather(best["query"]).alias("user_id"), pl.exclude("query"))
        return Scored(frame, unmatched, user_is_known=queries.users >= 0, item_is_known=np.ones(len(frame), bool))

    def explain(
        self,
        user_id: object,
        item_id: object,
        *,
        timestamp: TimeLike | None = None,
        features: Mapping[str, object] | None = None,
    ) -> Explanation:
        """What the match score and the ranking score of an item for a user are made of.

        The ranking score is the one among the candidates that `recommend` ranks, with this item added if it is not
        among them. `features` are the item's own (`recmem train --features`), by their columns; those that are not
        given, and those of all other items, have their typical value.

        Raises DataError if the store lacks the item, or the model a feature.
        """
        refuse_forked()
        item = self._item_row(item_id)
        dataset, query, unmatched = self._queries(to_ids([user_id], "user_id"), timestamp)
        _warn_unanswered(unmatched)
        pairs = pairs_with(dataset, self.matcher, self.bundle, query, item)
        pair = int(np.flatnonzero(pairs.candidates.values == item)[0])
        if features:
            pairs = with_given(pairs, pair, dataset.config.candidate_features, features)
        prior, null, parts = match_parts(self.matcher, query.histories, np.array([item]))
        constant, contributions = self.bundle.ranker.contributions(pairs)
        slots = slot_reasons(self.matcher, dataset.catalogue, query.histories, parts[:, 0])
        stored_id = dataset.catalogue.ids[item]
        return Explanation(
            title=dataset.catalogue.title(item),
            match_raw=float(pairs.values["match_raw"][pair]),
            prior=float(prior[0]),
            null=float(null[0]),
            slots=slots,
            already_in_memory=any(slot.item_id == stored_id for slot in slots),
            features={"constant": constant} | {name: float(values[pair]) for name, values in contributions.items()},
            score=float(self.bundle.ranker.scores(pairs)[pair]),
            interests=fitting_interests(pairs)[pair],
        )

    def memory(self, user_id: object, timestamp: TimeLike | None = None) -> pl.DataFrame:
        """What is remembered of a user, newest first: item_id, title, timestamp, kind, visits_ago."""
        refuse_forked()
        dataset, query, unmatched = self._queries(to_ids([user_id], "user_id"), timestamp, with_items=False)
        _warn_unanswered(unmatched)
        history = query.histories.newest(self.bundle.config.memory.n_events)
        rows = history.items.values[::-1]
        catalogue = dataset.catalogue
        return pl.DataFrame(
            {
                "item_id": catalogue.ids.gather(rows),
                "title": pl.Series([catalogue.title(int(row)) for row in rows], dtype=pl.String),
                "timestamp": pl.Series(history.times[::-1].copy()).cast(TIMESTAMP),
                "kind": pl.Series(kind_names(history)[::-1], dtype=pl.String),
                "visits_ago": history.recency[::-1].copy(),
            }
        )

    def title(self, item_id: object) -> str:
        """What a person calls the item. Raises DataError if the store lacks it."""
        refuse_forked()
        return self.dataset.catalogue.title(self._item_row(item_id))

    def observe(self, events: object) -> Receipt:
        """Adds events: from now on all answers are as if the store held them too.

        `events` is a polars or pandas DataFrame or a pyarrow Table or RecordBatch. They are added in this process only,
        or through shared memories in all processes that use these; shared memories refuse events of items that this
        process has not loaded. The store's tables stay as they are: append the events to the store as well.

        The rules are those of `Store.append_events`: a known event counts once, a bad row is counted as rejected with
        its reason, a row with `cancels` cancels an earlier event. Events of items that the store lacks are kept, and
        remembered once the store has these items.
        """
        refuse_forked()
        frame = to_polars(events, EVENTS.name, wanted=_EVENT_COLUMNS)
        ids = {name: self.dataset.events.schema[name] for name in ("user_id", "item_id")}
        checked = check_table(frame, EVENTS, stored=ids, signals=self.dataset.config.signals)
        reasons: dict[str, int] = dict(checked.reasons()["reason"].value_counts(sort=True).iter_rows())
        if self.memories is None:
            n_new = self._add(checked.kept)
            n_duplicate = len(checked.kept) - n_new
        else:
            n_new, n_duplicate, refused = write(self.dataset, self.memories, checked.kept)
            reasons |= refused
        return Receipt(
            table=EVENTS.name,
            n_in=len(frame),
            n_new=n_new,
            n_duplicate=n_duplicate,
            n_rejected=len(frame) - n_new - n_duplicate,
            version=None,
            reasons=reasons,
            warnings=(*checked.warnings, *_unread(events), *self._unmatched(checked.kept)),
        )

    def add_vectors(self, vectors: object, *, name: str | None = None) -> Receipt:
        """Adds vectors of items to a model that reads these in place of texts (`recmem train --vectors`).

        `vectors` is a polars or pandas DataFrame or an Arrow table with `item_id` and `vector`, lists of as many
        numbers as the model's. From now on candidates of these items are scored by them, whether or not the store has
        the items. They are added in this process only: `recmem ingest --vectors` adds them to the store. `name`: that
        of the model's vectors, if given.

        Raises DataError for a model with a text encoder, for another name, and with all faults of the vectors: another
        length, nulls, NaN, zeros alone, different ones of one item, or those of another model.
        """
        refuse_forked()
        if not isinstance(self._encoder, ItemVectors):
            raise DataError(
                "vectors: expected a model that was trained with vectors, got one with a text encoder, which reads the "
                "items' texts. Leave the vectors out, or train with --vectors."
            )
        frame = to_polars(vectors, ITEM_VECTORS.name, wanted=VECTOR_COLUMNS)
        rows = given_rows(frame, self._encoder, name)
        # Only one thread at a time may add to the last ones, or the vectors of another would be lost.
        with self._observing:
            before = self._encoder
            n_new = before.n_changed(rows)
            self._encoder = before.with_added(rows)
            self._vectors = self._candidate_vectors()
            if (self.dataset.catalogue.rows(rows.ids) >= 0).any():
                self.matcher = self._new_matcher()
        return Receipt(ITEM_VECTORS.name, len(frame), n_new, len(frame) - n_new, 0, version=None, reasons={})

    def observe_users(self, users: object) -> Receipt:
        """Adds rows of the users table: from now on all answers of this process are as if the store held them too.

        `users` is a polars or pandas DataFrame or a pyarrow Table or RecordBatch. The rules are those of
        `Store.append_users`: a row holds from its `timestamp` on, always if it has none, and replaces the one of the
        same user and timestamp. The store's tables stay as they are: append the rows to the store as well.
        """
        refuse_forked()
        frame = to_polars(users, USERS.name)
        # As for events: only one thread at a time may derive a dataset from the last one.
        with self._observing:
            checked = checked_users(frame, self.dataset)
            rows = new_rows(checked, self.dataset)
            if len(rows):
                dataset = self.dataset.with_user_rows(rows)
                space = text_space(self._encoder)
                self.dataset = dataset if space is None else with_interests(dataset, space.of_texts)
        return receipt_of(checked, len(rows))

    def _unmatched(self, events: pl.DataFrame) -> list[str]:
        """What to say about observed events of items that the store lacks; shared memories refuse those."""
        ids = events["item_id"]
        unmatched = ids.filter(self.dataset.catalogue.rows(ids) < 0)
        if self.memories is not None or unmatched.is_empty():
            return []
        return [
            f"item_id: {len(unmatched):,} of {len(ids):,} rows are unmatched: the items that were loaded lack theirs, "
            f"such as {unmatched[0]!r}. They count in a model that is loaded when the store has the items."
        ]

    def _add(self, events: pl.DataFrame) -> int:
        """Replaces the dataset by one with these checked events; how many of them were new."""
        if events.is_empty():
            return 0
        # Only one thread at a time may derive a dataset from the last one, or the events of another would be lost.
        with self._observing:
            before = self.dataset
            after = before.with_events(events)
            self.dataset = after
        return len(after.events) - len(before.events)

    def _read(self, candidates: object, outputs: tuple[str, ...]) -> Candidates:
        dataset = self.dataset
        # The match reads none of them.
        features = dataset.config.candidate_features if outputs == RANK_OUTPUTS else ()
        own = [feature.name for feature in features]
        wanted = {*CANDIDATE_COLUMNS, *dataset.catalogue.text_columns, *own, *outputs}
        frame = to_polars(candidates, "candidates", wanted=wanted)
        _warn_of_number_times(frame)
        return read_candidates(frame, dataset, outputs, self.memories, features=features, vectors=self._vectors)

    def _new_matcher(self) -> Matcher:
        unit = item_units(self._encoder, self.dataset.catalogue).to(self._device)
        return Matcher.of(self.bundle.module.to(self._device), unit, self.bundle.config.memory)

    def _matcher_with(self, read: Candidates) -> Matcher:
        """The matcher over the catalogue's texts, followed by the texts that came with the candidates."""
        return self.matcher.with_texts(new_item_units(self._encoder, read)) if read.texts else self.matcher

    def _candidate_vectors(self) -> CandidateVectors | None:
        if not isinstance(self._encoder, ItemVectors):
            return None
        return CandidateVectors.of(self._encoder, self.dataset.catalogue)

    def _queries(
        self, users: pl.Series, timestamp: TimeLike | None, *, with_items: bool = True
    ) -> tuple[Dataset, QueryBatch, UnmatchedRows]:
        """One query per user, and the dataset to answer it from, which has counters of all items if `with_items`."""
        dataset = self.dataset
        time = NOW if timestamp is None else _microseconds(timestamp)
        ids = parse_ids(users, dataset.users.dtype)[0]
        requested = np.full(len(ids), time, np.int64)
        items = np.arange(len(dataset.catalogue) if with_items else 0)
        item_times = np.full(len(items), time, np.int64)
        dataset, n_unanswered = with_shared_memories(dataset, self.memories, ids, requested, items, item_times)
        times = np.where(requested == NOW, dataset.clock, requested)
        unmatched = UnmatchedRows(unanswered=n_unanswered, unreadable_ids=ids.null_count())
        return dataset, QueryBatch.of(dataset, dataset.user_rows(ids), times), unmatched

    def _item_row(self, item_id: object) -> int:
        catalogue = self.dataset.catalogue
        stored_id = parse_id(item_id, catalogue.ids.dtype)
        row = int(catalogue.rows(pl.Series("item_id", [stored_id], dtype=catalogue.ids.dtype))[0])
        if row < 0:
            raise DataError(f"item_id: expected an item of the store, got {item_id!r}. Append it to the store first.")
        return row


def in_sample_text(n_rows: int, learned_until: int) -> str:
    """What to say about rows whose time a model has learned from."""
    rows = "1 row is" if n_rows == 1 else f"{n_rows:,} rows are"
    return (
        f"{rows} in sample: the model has learned from all events up to {iso_time(learned_until)}. To fit a ranker on "
        "such rows, get their match features from recmem.training_features or `recmem features`."
    )


def _scored(candidates: FrameT, columns: Columns, read: Candidates, learned_until: int) -> Scored[FrameT]:
    """The caller's frame with the scores of each row's pair."""
    given = {name: values[read.pair_of_row] for name, values in columns.items()}
    added = pl.DataFrame(
        [
            # A text may be missing, which polars cannot tell from an array of objects.
            pl.Series(name, values.tolist(), pl.String) if values.dtype == object else pl.Series(name, values)
            for name, values in given.items()
        ]
    )
    is_in_sample = read.queries.times[read.query_of_row] <= learned_until
    return Scored(
        with_added(candidates, added),
        read.unmatched,
        user_is_known=read.user_is_known,
        item_is_known=read.item_is_known,
        n_in_sample=int(is_in_sample.sum()),
    )


def _warn_of_number_times(candidates: pl.DataFrame) -> None:
    """Logs what looks wrong about timestamps that are numbers, such as seconds that land in 1970."""
    if "timestamp" in candidates.columns and candidates.schema["timestamp"].is_numeric():
        cells = candidates["timestamp"]
        for warning in time_warnings(cells, parse_timestamps(cells)[0], is_past=False):
            _LOG.warning(f"candidates.{warning}")


def _warn_of_clock(dataset: Dataset) -> None:
    """Logs that some dates of the loaded tables were not taken for now."""
    n_ahead = dataset.tables.n_changes(END_OF_TIME) - dataset.tables.n_changes(dataset.clock)
    if n_ahead:
        now = iso_time(dataset.clock)
        _LOG.warning(
            f"{n_ahead:,} of the log's changes lie far ahead of the others and of the present. Rows without a "
            f"timestamp are read as of {now}. Correct the times of these events."
        )


def _unread(events: object) -> list[str]:
    """What to say about columns that were not converted, because events have no such columns."""
    return [] if isinstance(events, pl.DataFrame) else unread_columns(column_names(events), _EVENT_COLUMNS, EVENTS.name)


def _warn_unanswered(unmatched: UnmatchedRows) -> None:
    """Logs that an answer is as old as the loaded tables, for methods that return no report."""
    for sentence in unmatched.sentences():
        _LOG.warning(sentence)


def _microseconds(time: TimeLike) -> int:
    refused = DataError(f"timestamp: expected a time, got {time!r}. Give a datetime, ISO 8601 text or epoch seconds.")
    try:
        value: Any = time
        if isinstance(value, np.datetime64):  # polars would hold it as an object
            value = value.astype("datetime64[us]").item()
            if not isinstance(value, datetime):
                raise TypeError("NaT, or a year that Python's datetime does not have")
        times, faults = parse_timestamps(pl.Series("timestamp", [value]))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise refused from error
    if faults or times[0] is None:
        raise refused
    microseconds = int(times.dt.epoch("us")[0])
    if microseconds < LOGS_BEGIN:
        read = f"{iso_time(microseconds)}, read from {time!r}"
        _LOG.warning(f"timestamp: {read}, lies before 1990. Numbers are read as epoch seconds, or finer by their size.")
    return microseconds
