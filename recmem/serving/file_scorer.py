"""Scores candidate files with what a model holds now, in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from feature_store import DataError
from feature_store.arrays import Float32Array
from feature_store.timestamps import parse_timestamps
from recmem.batch.candidate_files import CandidateFiles, as_frame
from recmem.batch.candidate_source import candidates_at
from recmem.batch.file_formats import output_format
from recmem.batch.score_file import CHUNK_ROWS, Check, Progress, score_file
from recmem.batch.workers import Workers, usable_cores
from recmem.dataset.candidate_features import feature_faults
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.embedding import EncodedByParent
from recmem.serving.frame_scores import matched, ranked
from recmem.serving.loaded_parts import LoadedParts
from recmem.text.item_vectors import ItemVectors

PAYS_FROM_ROWS = 10_000_000
"""Rows from which workers make up for the time that they take to start; an estimate, see docs/log.md, 2026-11-29."""
PAYS_FROM_CORES = 4
"""Threads keep fewer cores as busy as processes do."""


@dataclass(frozen=True)
class ScoredRows:
    """The columns that scoring adds to a frame, and what it noticed."""

    added: pl.DataFrame
    unmatched: UnmatchedRows
    n_in_sample: int


@dataclass(frozen=True)
class FileReport:
    """What scoring noticed in a whole file."""

    unmatched: UnmatchedRows
    n_in_sample: int
    n_workers: int
    """Processes that scored: 1 for this one alone."""


@dataclass(frozen=True, eq=False)
class FileScorer:
    """Scores whole queries as `Model.rank` or `Model.match` does; `Model.scorer` makes it."""

    parts: LoadedParts
    ranks: bool = True
    trees_share: float = 1.0
    explain: int = 0

    def __call__(self, frame: pl.DataFrame) -> ScoredRows:
        """The columns that are added to the frame. Raises DataError as `Model.rank` does."""
        if self.ranks:
            scored = ranked(self.parts, frame, trees_share=self.trees_share, explain=self.explain)
        else:
            scored = matched(self.parts, frame, explain=self.explain)
        return ScoredRows(scored.frame.drop(frame.columns), scored.unmatched, scored.n_in_sample)

    @property
    def checks(self) -> dict[str, Check]:
        """Finds what is wrong with the cells of features of the caller's own, by their columns."""
        features = self.parts.dataset.config.candidate_features if self.ranks else ()
        return {feature.name: partial(feature_faults, feature=feature) for feature in features}

    @property
    def why_one_process(self) -> str:
        """Why several processes cannot score with this model; empty if they can."""
        if self.parts.matcher.device.type != "cpu":
            return "pairs are scored on a GPU, which one process keeps busy"
        if self.parts.memories is not None:
            return "the memories of a server are read by one process"
        return ""

    def workers_that_pay(self, n_rows: int, n_cores: int) -> int:
        """How many processes score so many rows soonest: 1 if that is this one alone."""
        if self.why_one_process:
            return 1
        return n_cores if n_rows >= PAYS_FROM_ROWS and n_cores >= PAYS_FROM_CORES else 1

    def fit_for(self, candidates: CandidateFiles, chunk_rows: int) -> None:
        """Fits the item-item models of all times in the file: workers do not hold what they are fitted from."""
        if not self.ranks:
            return
        timeline = self.parts.dataset.timeline
        periods = set(timeline.periods_of(np.array([self.parts.dataset.clock])))
        if "timestamp" in candidates.schema.names:
            for batch in candidates.batches(chunk_rows, ["timestamp"]):
                cells = as_frame(pa.Table.from_batches([batch]))["timestamp"]
                times = parse_timestamps(cells)[0].drop_nulls().dt.epoch("us").to_numpy()
                periods.update(timeline.periods_of(times))
        for period in sorted(periods):
            timeline.at(period)

    def for_workers(self) -> FileScorer:
        """The same scorer with no more than scoring reads, for other processes."""
        dataset = self.parts.dataset
        smaller = replace(
            dataset,
            catalogue=replace(dataset.catalogue, texts=[]),
            events=dataset.events.clear(),
            impressions=dataset.impressions.clear(),
            item_changes=dataset.item_changes.clear(),
        )
        embedding = self.parts.embedding
        # The encoder stays with the parent: it uses all cores, and encodes each text once, in the same batch as ever.
        parts = replace(
            self.parts,
            dataset=smaller,
            embedding=embedding if isinstance(embedding, ItemVectors) else EncodedByParent(),
        )
        return replace(self, parts=parts)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """Answers `EncodedByParent`: float32[text, width]."""
        if isinstance(self.parts.embedding, ItemVectors):
            raise TypeError("texts: expected none with vectors of items, got some. This is a bug; please report it.")
        vectors: Float32Array = self.parts.embedding.of_texts(texts).cpu().numpy()
        return vectors


def score_candidates(
    candidates: CandidateFiles | str | Path,
    out: str | Path,
    scorer: FileScorer,
    *,
    workers: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    on_progress: Progress | None = None,
) -> FileReport:
    """Writes the candidates with their scores as `score_file` does, the same bytes with any number of workers.

    `workers`: processes that score; by default as many as pay for the rows of the file and the cores. Where one process
    has to do, see `FileScorer.why_one_process`, there is one. Raises DataError as `score_file` does, or for workers
    below 1, and WorkerKilledError if a worker was killed.
    """
    if workers is not None and workers < 1:
        raise DataError(f"workers: expected 1 or more, got {workers}. Give the number of processes.")
    if not isinstance(candidates, CandidateFiles):
        output_format(out)  # refused before anything is read
        with candidates_at(candidates) as opened:
            return score_candidates(
                opened, out, scorer, workers=workers, chunk_rows=chunk_rows, on_progress=on_progress
            )
    n_workers = scorer.workers_that_pay(candidates.n_rows, usable_cores()) if workers is None else workers
    # More would have no chunk to score.
    n_workers = 1 if scorer.why_one_process else min(n_workers, -(-candidates.n_rows // chunk_rows))
    noticed: list[ScoredRows] = []

    def added(scored: ScoredRows) -> pl.DataFrame:
        noticed.append(replace(scored, added=scored.added.clear()))
        return scored.added

    def score(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.hstack(added(scorer(frame)))

    def score_each(frames: Iterable[pl.DataFrame]) -> Generator[pl.DataFrame, None, None]:
        # Not before there is something to score: until then, a file can be refused at once.
        scorer.fit_for(candidates, chunk_rows)
        with (
            Workers(scorer.for_workers(), n_workers, answer=scorer.encode) as started,
            closing(started.in_order(frames)) as scored_frames,
        ):
            yield from map(added, scored_frames)

    score_file(
        candidates,
        out,
        score,
        chunk_rows=chunk_rows,
        score_each=score_each if n_workers > 1 else None,
        checks=scorer.checks,
        on_progress=on_progress,
    )
    unmatched = sum((each.unmatched for each in noticed), UnmatchedRows())
    return FileReport(unmatched, sum(each.n_in_sample for each in noticed), max(n_workers, 1))
