"""The trained model in use: candidates in, match scores, rankings and reasons out.

Each method checks that it may run here, and leaves the work to the module of its idea.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

import polars as pl

from feature_store import DataError, Receipt, Store
from feature_store.forked_process import refuse_forked
from feature_store.schema import ITEM_VECTORS, USERS
from feature_store.vector_checks import COLUMNS as VECTOR_COLUMNS
from recmem.dataset.candidate_frame import Candidates
from recmem.dataset.candidate_vectors import CandidateVectors
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories, connected, write
from recmem.matching.matcher import Matcher
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.bundle import Bundle, load_bundle
from recmem.serving.embedding import Embedding, embedding_of, item_units, text_space, with_fact_vectors
from recmem.serving.explain import Explanation
from recmem.serving.explained_item import explained
from recmem.serving.file_scorer import FileScorer
from recmem.serving.frame_scores import matched, ranked, read_pairs
from recmem.serving.frames import FrameT, Ids, to_polars
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.match_expression import match_expression
from recmem.serving.matched_texts import match_text_frame, match_texts
from recmem.serving.memory_search import search_memory
from recmem.serving.model_store import open_store, read_dataset
from recmem.serving.observed_events import ReadEvents
from recmem.serving.observed_users import checked_users, new_rows, receipt_of, with_interests
from recmem.serving.recommend import recommend
from recmem.serving.request_times import TimeLike
from recmem.serving.scored import Scored, in_sample_text
from recmem.serving.user_queries import memory_of
from recmem.text.item_vectors import ItemVectors, given_rows
from recmem.text.torch_device import resolve_device

__all__ = ["Explanation", "Model", "Scored"]

_LOG = logging.getLogger("recmem")


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
        known = with_fact_vectors(dataset, space)
        self.dataset = known if space is None else with_interests(known, space.of_items)
        """Never changed in place: `observe` puts a new one here. Read it once per call."""
        self.memories = memories
        self._embedding = embedding
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
        opened = open_store(store, trained=bundle.config.store)
        identity = "" if opened is None else opened.identity()
        memories = None if online is None else connected(online, bundle.config.dataset, store=identity)
        embedding = embedding_of(bundle, opened, device=device)
        return cls(bundle, read_dataset(opened, bundle.config), embedding, memories=memories, device=device)

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
        return matched(self._parts(), candidates, explain=explain)

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

    def match_texts(
        self, user_id: object, texts: Sequence[str] | pl.Series, *, timestamp: TimeLike | None = None, explain: int = 0
    ) -> pl.DataFrame:
        """Scores of any texts against a user's memory: answers, articles or offers, which are no items of the store.

        A row per text, in their order: text, match_score, match_raw, match_prior, similarity_max, unknown_user, reason.
        `match_raw` is the raw match score, the sum of `match_prior` (from the text alone), the null slot's part and the
        parts of the memories that `reason` names. `similarity_max` is the cosine with the most similar remembered
        event, 0 without events. `match_score`, 0 to 1, is calibrated on retrieved items: the probability that an item
        with this text would be taken up, had it been among the candidates that are ranked for the user. For a text that
        is no candidate it keeps order and scale, but is no frequency of anything.

        An unknown user, and one of whom nothing is remembered before `timestamp` (default: just after the last event),
        gets the base score of each text. `explain` adds that many reasons as in `match`. Texts are encoded as an item's
        title is, and their vectors are kept in memory only: nothing is written. A first call encodes, some hundred
        texts a second.

        Raises DataError for what is no text or has no words, and for a model that reads vectors of items.
        """
        refuse_forked()
        return match_texts(self._parts(), user_id, texts, timestamp=timestamp, explain=explain)

    def match_text_frame(self, texts: FrameT, *, explain: int = 0) -> Scored[FrameT]:
        """As `match_texts`, for the rows of a frame: `user_id`, `text` and optionally `timestamp`.

        The scores are added to the frame, a polars or pandas DataFrame or an Arrow table. The report counts rows of
        unknown users, and those that are in sample.
        """
        refuse_forked()
        return match_text_frame(self._parts(), texts, explain=explain)

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
        return ranked(self._parts(), candidates, trees_share=trees_share, explain=explain)

    def scorer(self, *, ranks: bool = True, trees_share: float = 1.0, explain: int = 0) -> FileScorer:
        """What `rank`, or `match` without `ranks`, does, with the events observed so far: for `score_candidates`."""
        refuse_forked()
        return FileScorer(self._parts(), ranks=ranks, trees_share=trees_share, explain=explain)

    def pairs(self, candidates: object) -> tuple[Candidates, PairFeatures]:
        """The candidates as `rank` reads them, and all features of their pairs, for looking into what is scored.

        Both are in the order of `Candidates.items`. Raises DataError as `rank` does.
        """
        refuse_forked()
        return read_pairs(self._parts(), candidates)

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
        return recommend(self._parts(), user_ids, k=k, timestamp=timestamp)

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
        return explained(self._parts(), user_id, item_id, timestamp=timestamp, features=features)

    def memory(self, user_id: object, timestamp: TimeLike | None = None) -> pl.DataFrame:
        """What is remembered of a user: item_id, title, timestamp, kind, visits_ago.

        Events come first, the newest at the top. What is no event follows, without item_id and visits_ago.
        """
        refuse_forked()
        return memory_of(self._parts(), user_id, timestamp)

    def search_memory(
        self,
        user_id: object,
        text: str,
        *,
        k: int = 5,
        timestamp: TimeLike | None = None,
        min_similarity: float = -1.0,
        negatives: bool = False,
    ) -> pl.DataFrame:
        """What of a user's memory bears on a text: the `k` things remembered whose texts are most similar to it.

        A row per item, declared interest, fact or consolidated slot, the most similar first: item_id, title, text;
        timestamp, kind and visits_ago of an item's newest event; n_events in the memory; similarity (the cosine, -1 to
        1) and contribution (what it adds to the raw match score of the text); as_of, the time that the memory was read
        at. What is no event has neither visits_ago nor, but for an item that was shown, item_id; its text is its title.
        `negatives`: also items that the user returned, skipped, rated low or, as `not_clicked`, saw and did not click,
        of a model trained with `memory.negatives` or `memory.not_clicked`.

        An unknown user has no rows. Nothing is written. Raises DataError as `match_texts` does, and if `negatives`
        asks for what the model does not remember.
        """
        refuse_forked()
        return search_memory(
            self._parts(),
            user_id,
            text,
            k=k,
            timestamp=timestamp,
            min_similarity=min_similarity,
            negatives=negatives,
        )

    def title(self, item_id: object) -> str:
        """What a person calls the item. Raises DataError if the store lacks it."""
        refuse_forked()
        parts = self._parts()
        return parts.dataset.catalogue.title(parts.item_row(item_id))

    def observe(self, events: object) -> Receipt:
        """Adds events: from now on all answers are as if the store held them too.

        `events` is a polars or pandas DataFrame or a pyarrow Table or RecordBatch. They are added in this process only,
        or through shared memories in all processes that use these; shared memories refuse events of items that this
        process has not loaded. The store's tables stay as they are: append the events to the store as well.

        The rules are those of `Store.append_events`: a known event counts once, a bad row is counted as rejected with
        its reason, a row with `cancels` cancels an earlier event. Events of items that the store lacks are kept, and
        remembered once the store has these items.
        """
        return self.observe_read(self.read_events(events))

    def read_events(self, events: object) -> ReadEvents:
        """The first half of `observe`: valid events in the types of the store, and what is wrong with others."""
        refuse_forked()
        # Shared memories refuse events of items that the dataset lacks.
        return ReadEvents.of(events, self.dataset, keeps_unmatched=self.memories is None)

    def observe_read(self, read: ReadEvents) -> Receipt:
        """The second half of `observe`."""
        refuse_forked()
        kept = read.checked.kept
        refused: dict[str, int] = {}
        if self.memories is None:
            n_new = self._add(kept)
            n_duplicate = len(kept) - n_new
        else:
            n_new, n_duplicate, refused = write(self.dataset, self.memories, kept)
        return read.receipt(n_new, n_duplicate, refused)

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
        if not isinstance(self._embedding, ItemVectors):
            raise DataError(
                "vectors: expected a model that was trained with vectors, got one with a text encoder, which reads the "
                "items' texts. Leave the vectors out, or train with --vectors."
            )
        frame = to_polars(vectors, ITEM_VECTORS.name, wanted=VECTOR_COLUMNS)
        rows = given_rows(frame, self._embedding, name)
        # Only one thread at a time may add to the last ones, or the vectors of another would be lost.
        with self._observing:
            before = self._embedding
            n_new = before.n_changed(rows)
            self._embedding = before.with_added(rows)
            self._vectors = self._candidate_vectors()
            if (self.dataset.catalogue.rows(rows.ids) >= 0).any():
                self.matcher = self._new_matcher()
        return Receipt(ITEM_VECTORS.name, len(frame), n_new, len(frame) - n_new, 0, version=None, reasons={})

    def observe_users(self, users: object) -> Receipt:
        """Adds rows of the users table: from now on all answers of this process are as if the store held them too.

        `users` is a polars or pandas DataFrame or a pyarrow Table or RecordBatch. The rules are those of
        `Store.append_users`: a row holds from its `timestamp` on, always if it has none, and replaces the one of the
        same user and timestamp. The store's tables stay as they are: append the rows to the store as well. Warnings of
        the receipt name columns that the model does not read.
        """
        refuse_forked()
        frame = to_polars(users, USERS.name)
        # As for events: only one thread at a time may derive a dataset from the last one.
        with self._observing:
            checked = checked_users(frame, self.dataset)
            rows = new_rows(checked, self.dataset)
            if len(rows):
                dataset = self.dataset.with_user_rows(rows)
                space = text_space(self._embedding)
                self.dataset = dataset if space is None else with_interests(dataset, space.of_texts)
            return receipt_of(checked, len(rows), self.dataset)

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

    def _parts(self) -> LoadedParts:
        """What one call works with, each part read once."""
        return LoadedParts(
            bundle=self.bundle,
            dataset=self.dataset,
            matcher=self.matcher,
            embedding=self._embedding,
            vectors=self._vectors,
            memories=self.memories,
        )

    def _new_matcher(self) -> Matcher:
        unit = item_units(self._embedding, self.dataset.catalogue)
        return Matcher.of(self.bundle.module.to(self._device), unit, self.bundle.config.memory)

    def _candidate_vectors(self) -> CandidateVectors | None:
        if not isinstance(self._embedding, ItemVectors):
            return None
        return CandidateVectors.of(self._embedding, self.dataset.catalogue)
