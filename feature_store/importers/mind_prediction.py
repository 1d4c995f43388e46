"""The file that MIND's leaderboard takes: the ranks of each impression's news, in the order of `behaviors.tsv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.atomic_files import unfinished_beside
from feature_store.data_errors import DataError
from feature_store.files.file_content import looks_like
from feature_store.importers.import_receipt import FileCount
from feature_store.importers.mind import BEHAVIORS_FORM, behaviors_rows, check_form
from feature_store.importers.published_file import Advance, PublishedFile, no_progress

_COLUMNS = ("impression_id", "user_id", "item_id", "score")
_FORM = "the Parquet file of `recmem score`, with impression_id, user_id, item_id and score"
_ROWS_A_BLOCK = 200_000


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    n_impressions: int
    n_left_over: int
    """Scores whose impression is not in the file, or is in it without that news."""


def export_mind_prediction(scores: Path, behaviors: Path, out: Path, on_lines: Advance = no_progress) -> Prediction:
    """Writes a line `ID [rank,rank,...]` per impression, in the order of the file; rank 1 is the highest score.

    Equal scores get distinct ranks, in the order in which the news stand in the file: MIND shuffles it, so that favours
    nothing. Scores are read in the order of their file; where that is the order of `behaviors`, as `recmem import` and
    `recmem score` leave it, memory does not grow with the files.

    Raises DataError if a file is not of its form, an impression or one of its news has no score, or a score is NaN.
    """
    file = PublishedFile(behaviors, "behaviors", BEHAVIORS_FORM)
    check_form(file)
    table = _opened(scores)
    count = FileCount(behaviors.name)
    given = _GivenScores(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_beside(out)
    n_impressions = 0
    try:
        with unfinished.open("w", encoding="utf-8") as lines:
            for block in behaviors_rows(file, count, on_lines):
                for impression_id, user_id, shown in block.select("impression_id", "user_id", "shown").iter_rows():
                    news = [_news_id(each) for each in shown.split()]
                    ranks = ",".join(map(str, ranks_of(given.of(impression_id, user_id, news))))
                    lines.write(f"{impression_id} [{ranks}]\n")
                    n_impressions += 1
        if count.left_out:
            raise file.refusal(f"{count.n_left_out:,} rows of another form", "Download it again.")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return Prediction(n_impressions, given.n_left_over())


def ranks_of(scores: list[float]) -> list[int]:
    """The rank of each score, from 1 for the highest; of equal ones the first has the better rank.

    >>> ranks_of([0.2, 0.7, 0.2])
    [2, 1, 3]
    """
    order = sorted(range(len(scores)), key=lambda place: -scores[place])  # sorted is stable
    ranks = [0] * len(scores)
    for rank, place in enumerate(order, start=1):
        ranks[place] = rank
    return ranks


class _GivenScores:
    """Scores by impression and news, read from their file until the wanted ones have come."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._blocks = file.iter_batches(batch_size=_ROWS_A_BLOCK, columns=list(_COLUMNS))
        # By impression and user, since the files of all splits number their impressions from 1.
        self._waiting: dict[tuple[str, str], dict[str, float]] = {}

    def of(self, impression_id: str, user_id: str, news: list[str]) -> list[float]:
        """The scores of an impression's news; what was read of them is dropped then."""
        key = (impression_id, user_id)
        while not all(each in self._waiting.get(key, {}) for each in news):
            if not self._read_block():
                lacking = next(each for each in news if each not in self._waiting.get(key, {}))
                raise DataError(
                    f"scores: expected a score for all news of impression {impression_id}, got none for {lacking!r}. "
                    "Score the candidates that `recmem import mind` has written of the same file."
                )
        own = self._waiting.pop(key, {})
        if left := {each: score for each, score in own.items() if each not in set(news)}:
            self._waiting[key] = left
        return [own[each] for each in news]

    def n_left_over(self) -> int:
        """Scores that no impression asked for."""
        while self._read_block():
            pass
        return sum(map(len, self._waiting.values()))

    def _read_block(self) -> bool:
        """Whether there was another block."""
        block = next(self._blocks, None)
        if block is None:
            return False
        frame = pl.DataFrame(block).with_columns(
            pl.col("impression_id", "user_id", "item_id").cast(pl.String),
            pl.col("score").cast(pl.Float64, strict=False),
        )
        n_bad = frame.filter(pl.col("score").is_null() | pl.col("score").is_nan()).height
        if n_bad:
            raise DataError(
                f"scores.score: expected numbers, got others or none in {n_bad:,} rows. Score the candidates again."
            )
        for impression_id, user_id, item_id, score in frame.select(_COLUMNS).iter_rows():
            self._waiting.setdefault((impression_id, user_id), {})[item_id] = score
        return True


def _opened(scores: Path) -> pq.ParquetFile:
    if not scores.is_file():
        raise DataError(f"scores: expected {_FORM}, got nothing at {str(scores)!r}. Check the path.")
    with scores.open("rb") as file:
        beginning = file.read(4096)
    if not beginning.startswith(b"PAR1"):
        got = looks_like(beginning) or "another file"
        raise DataError(f"scores: expected {_FORM}, got {got} ({str(scores)!r}). Give --out scores.parquet to score.")
    try:
        table = pq.ParquetFile(scores)
    except pa.ArrowException as error:
        got = f"one that is truncated or damaged ({str(scores)!r})"
        raise DataError(f"scores: expected {_FORM}, got {got}. Score the candidates again.") from error
    missing = [name for name in _COLUMNS if name not in table.schema_arrow.names]
    if missing:
        got = f"one without {', '.join(missing)}"
        raise DataError(
            f"scores: expected {_FORM}, got {got} ({str(scores)!r}). Score the candidates of `recmem import mind`, "
            "with --columns rank."
        )
    return table


def _news_id(shown: str) -> str:
    """The id of a shown news, without its label if it has one."""
    news_id, separator, label = shown.rpartition("-")
    return news_id if separator and label in ("0", "1") else shown
