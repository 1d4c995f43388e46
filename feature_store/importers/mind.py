"""MIND, Microsoft's news recommendation data set: `news.tsv` and `behaviors.tsv` of any of its splits.

No header, no quoting, tabs between. A row of `behaviors.tsv` is an impression: id, user, US time in UTC, the user's
history (news ids in the order of the clicks, without times), and the news shown, `N1-0 N2-1` with labels or `N1 N2` in
the test split. Their order is shuffled, so it is no position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import polars as pl

from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command
from feature_store.importers.mind_history import EVENT_SCHEMA, distinct_histories, history_events
from feature_store.importers.published_file import Advance, PublishedFile, no_progress
from feature_store.importers.separated_rows import split_rows
from feature_store.importers.table_files import TIME, TableFiles, blocks_of, tables_in

NEWS_FORM = "MIND's news.tsv (8 columns with tabs between: id, category, subcategory, title, abstract, ...)"
BEHAVIORS_FORM = "MIND's behaviors.tsv (5 columns with tabs between: impression id, user, time, history, news shown)"
N_NEWS_FIELDS = 8
N_BEHAVIORS_FIELDS = 5
TIME_FORM = "%m/%d/%Y %I:%M:%S %p"
_TIME_EXAMPLE = "11/15/2019 8:55:22 AM"
_NEWS_ID = r"N\d+"
_LABELLED = r"^(\S+)-([01])$"
_ROWS_A_BLOCK = 10_000
"""Rows of `behaviors.tsv`, of some forty news each."""
_NEWS_SCHEMA = pl.Schema(dict.fromkeys(("item_id", "title", "abstract", "category", "subcategory"), pl.String))
_BEHAVIORS_SCHEMA = pl.Schema(
    {"line": pl.Int64} | dict.fromkeys(("impression_id", "user_id", "cell", "history", "shown"), pl.String)
)


class Impressions(NamedTuple):
    """A block of `behaviors.tsv`."""

    rows: pl.DataFrame
    """One per impression: impression_id, user_id, timestamp, history."""
    labelled: pl.DataFrame
    """One per news shown with a label: impression_id, user_id, timestamp, item_id, label."""
    unlabelled: pl.DataFrame
    """One per news shown without, in the order of the file: the same without label."""


def import_mind(
    news: Sequence[Path], behaviors: Sequence[Path], out: Path, on_lines: Advance = no_progress
) -> ImportReceipt:
    """Writes items, events, impressions, and candidates from impressions without labels.

    Events are the clicks of impressions at their times, and those of histories: see `mind_history`. Of several files
    of news the first that has an id counts.

    Raises DataError if a file is not of MIND's form, or if the impressions show none of the news.
    """
    news_files = [PublishedFile(path, "news", NEWS_FORM) for path in news]
    behaviors_files = [PublishedFile(path, "behaviors", BEHAVIORS_FORM) for path in behaviors]
    for file in [*news_files, *behaviors_files]:
        check_form(file)
    # The files of all splits have the same names.
    is_one_split = len(news) == len(behaviors) == 1
    counts = [FileCount(path.name if is_one_split else str(path)) for path in (*news, *behaviors)]
    with tables_in(out) as tables:
        known = _write_news(news_files, counts, tables, on_lines)
        clicks, histories, shown = _write_impressions(behaviors_files, counts[len(news) :], tables, on_lines)
        if not shown & known:
            raise behaviors_files[0].refusal(
                "impressions that show none of the news", "Give the news of the same split."
            )
        of_histories = history_events(histories, clicks)
        unset = (pl.lit(None, EVENT_SCHEMA[name]).alias(name) for name in ("available_at", "weight"))
        tables.write("events", pl.concat([of_histories, clicks.with_columns(unset)]))
        if not tables.n_rows("events"):
            raise behaviors_files[0].refusal("neither clicks nor histories", "Check which file it is.")
        notes = _notes(clicks, of_histories, known, shown)
    written = tables.written()
    return ImportReceipt(tuple(counts), written, tuple(notes), tuple(_commands(written, behaviors, out)))


def check_form(file: PublishedFile) -> None:
    """Raises DataError if the first line of a file is not of its form."""
    text = file.first_line()
    fields = text.split("\t")
    if file.form == NEWS_FORM:
        if len(fields) == N_NEWS_FIELDS:
            return
        looks_like = " (it looks like behaviors.tsv)" if _is_behaviors(fields) else ""
    else:
        if _is_behaviors(fields):
            return
        looks_like = " (it looks like news.tsv)" if len(fields) == N_NEWS_FIELDS else ""
    got = f"a first line of {len(fields)} columns{looks_like}"
    if len(fields) == N_BEHAVIORS_FIELDS and not looks_like:
        got = f"a first line whose third column is no time such as {_TIME_EXAMPLE}"
    raise file.wrong_line(got, text, "Name the file that has them.")


def behaviors_rows(file: PublishedFile, count: FileCount, on_lines: Advance = no_progress) -> Iterator[pl.DataFrame]:
    """Blocks of the file as text: line, impression_id, user_id, cell (the time), history, shown."""
    rows = split_rows(file, "\t", N_BEHAVIORS_FIELDS, count, on_lines)
    yield from blocks_of(((line, *fields) for line, fields in rows), _BEHAVIORS_SCHEMA, _ROWS_A_BLOCK)


def _is_behaviors(fields: list[str]) -> bool:
    if len(fields) != N_BEHAVIORS_FIELDS:
        return False
    return pl.Series([fields[2]]).str.to_datetime(TIME_FORM, strict=False).null_count() == 0


def _write_news(
    files: Sequence[PublishedFile], counts: Sequence[FileCount], tables: TableFiles, on_lines: Advance
) -> set[str]:
    """Writes the items; returns their ids."""
    known: set[str] = set()

    def rows() -> Iterator[tuple[object, ...]]:
        for file, count in zip(files, counts, strict=False):
            for line, fields in split_rows(file, "\t", N_NEWS_FIELDS, count, on_lines):
                news_id, category, subcategory, title, abstract = fields[:5]
                if not news_id:
                    count.leave_out("news id: expected an id such as N1, got none", line=line)
                elif news_id in known:
                    count.leave_out("news given before, which is kept")
                else:
                    known.add(news_id)
                    yield news_id, title, abstract, category, subcategory

    for block in blocks_of(rows(), _NEWS_SCHEMA):
        tables.write("items", block)
    return known


def _write_impressions(
    files: Sequence[PublishedFile], counts: Sequence[FileCount], tables: TableFiles, on_lines: Advance
) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
    """Writes impressions and candidates. Returns clicks, distinct histories, and the ids of all news shown."""
    clicks = [pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, "timestamp": TIME, "event": pl.String})]
    histories = distinct_histories([])
    waiting: list[pl.DataFrame] = []
    shown: set[str] = set()
    for file, count in zip(files, counts, strict=True):
        for text in behaviors_rows(file, count, on_lines):
            block = _impressions(text, count)
            tables.write("impressions", block.labelled)
            tables.write("candidates", block.unlabelled)
            waiting.append(block.rows)
            # Not after each block, which would go over all histories each time.
            if sum(part.height for part in waiting) > histories.height:
                histories = distinct_histories([histories, *waiting])
                waiting = []
            for part in (block.labelled, block.unlabelled):
                shown.update(part["item_id"].unique())
            clicked = block.labelled.filter(pl.col("label") == 1)
            clicks.append(clicked.select("user_id", "item_id", "timestamp", event=pl.lit("click")))
    return pl.concat(clicks).unique(maintain_order=True), distinct_histories([histories, *waiting]), shown


def _impressions(text: pl.DataFrame, count: FileCount) -> Impressions:
    """The impressions of a block; rows that cannot be read are left out and counted."""
    rows = text.with_columns(
        timestamp=pl.col("cell").str.to_datetime(TIME_FORM, strict=False, time_unit="us", time_zone="UTC"),
        news=pl.col("shown").str.split(" ").list.eval(pl.element().filter(pl.element() != "")),
    ).with_columns(n_labelled=pl.col("news").list.eval(pl.element().str.contains(_LABELLED)).list.sum())
    n_shown = pl.col("news").list.len()
    is_labelled = pl.col("n_labelled") == n_shown
    no_id = (pl.col("impression_id") == "") | (pl.col("user_id") == "")
    no_news = ~_is_shown(is_labelled, n_shown)
    faults = (
        ("impression or user id: expected an id, got none", "", no_id),
        (f"time: expected a time such as {_TIME_EXAMPLE}, got other text", "cell", pl.col("timestamp").is_null()),
        ("news shown: expected N1-0 N2-1, or N1 N2 of the test split, got other text", "shown", no_news),
    )
    for reason, column, is_bad in faults:
        bad = rows.filter(is_bad)
        if bad.height:
            cell = bad[column][0] if column else None
            count.leave_out(reason, cell=cell, line=bad["line"][0], n=bad.height)
            rows = rows.filter(~is_bad)
    shown = rows.select(
        "impression_id", "user_id", "timestamp", pl.col("news").alias("item_id"), is_labelled=is_labelled
    )
    shown = shown.explode("item_id")
    labelled = shown.filter("is_labelled").drop("is_labelled")
    parts = pl.col("item_id").str.extract_groups(_LABELLED)
    labelled = labelled.with_columns(item_id=parts.struct[0], label=parts.struct[1].cast(pl.Int8))
    # News that an impression shows twice are clicked if either is.
    labelled = labelled.group_by("impression_id", "user_id", "timestamp", "item_id", maintain_order=True).max()
    unlabelled = shown.filter(~pl.col("is_labelled")).drop("is_labelled").unique(maintain_order=True)
    return Impressions(rows.select("user_id", "timestamp", "history"), labelled, unlabelled)


def _is_shown(is_labelled: pl.Expr, n_shown: pl.Expr) -> pl.Expr:
    """Whether all news shown have a label, or none has and all are ids."""
    are_ids = pl.col("news").list.eval(pl.element().str.contains(f"^{_NEWS_ID}$")).list.all()
    return (n_shown > 0) & (is_labelled | ((pl.col("n_labelled") == 0) & are_ids))


def _notes(clicks: pl.DataFrame, of_histories: pl.DataFrame, known: set[str], shown: set[str]) -> Iterator[str]:
    """What to know about the tables."""
    yield f"events: {clicks.height:,} clicks of impressions, {of_histories.height:,} of histories."
    if of_histories.height:
        yield (
            "Clicks of histories have an order and no times: they are dated before the first impression, and read from "
            "the first impression on whose row has them."
        )
    named = shown.union(of_histories["item_id"].unique())
    if lost := len(named - known):
        yield f"{lost:,} of {len(named):,} news that are shown or in histories are not in the news files."


def _commands(written: dict[Path, int], behaviors: Sequence[Path], out: Path) -> Iterator[str]:
    tables = {path: n for path, n in written.items() if path.stem != "candidates"}
    names = {path.stem for path in written}
    if "impressions" in names:
        yield train_command(tables)
    if "candidates" in names:
        if "impressions" not in names:
            options = " ".join(f"--{path.stem} {quote(str(path))}" for path in tables)
            yield f"recmem ingest --store run/store {options}"
        candidates = quote(str(out / "candidates.parquet"))
        yield f"recmem score --model run/bundle --candidates {candidates} --out scores.parquet"
        shown = quote(str(behaviors[-1]))
        yield (f"recmem export mind-prediction --scores scores.parquet --behaviors {shown} --out prediction.txt")
