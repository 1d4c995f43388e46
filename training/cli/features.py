"""`recmem features`: adds match features to past rows, for a ranker of one's own, and writes the model that serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recmem.cli.console import Bars, complain, say, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.ingest import Events, Impressions, Items
from recmem.cli.score import CHUNK_ROWS
from recmem.cli.vector_options import Vectors
from training.cli.interruption import FOLDS_ARE_KEPT, interruptible
from training.cli.setting_options import OF_THE_RANKER, OF_THE_WHOLE, require_tables, settings_given, takes_settings
from training.cli.train import STORE_HELP

if TYPE_CHECKING:
    import polars as pl

    from training.cross_fit.fit import Fit
    from training.cross_fit.row_features import RowFeatures


@interruptible(FOLDS_ARE_KEPT)
@takes_settings(but=(*OF_THE_RANKER, *OF_THE_WHOLE))
def features(
    context: typer.Context,
    rows: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Parquet file, or folder of them, with the rows that your ranker is trained on: user_id, item_id, "
            "timestamp, and any further columns, which are kept.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="Output Parquet file, written atomically.")],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
    vectors: Vectors = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Folder for match_bundle/ (the model that serves the same features), match_folds/ and, by default, "
            "store/. It may be the OUT of `recmem train`.",
            show_default="OUT without its ending",
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(metavar="PATH|URL", help=STORE_HELP, show_default="RUN/store")] = None,
    folds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Windows of the log whose rows get features, each from a match module that has learned from all "
            "before it. A log of few distinct times has fewer.",
        ),
    ] = 5,
    chunk_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows per chunk; lower it if memory is short or texts are long.")
    ] = CHUNK_ROWS,
    **options: Any,
) -> None:
    """Add match features to the training rows of your own ranker.

    Each row's features are those that it would have had at its time: they come from a match module that has learned
    from what was before, never from the row or from anything after it. Rows from before the first fold have no learned
    features. New rows get theirs from the model in RUN/match_bundle, on the same scale: `recmem score --columns match`,
    or model.match in Python. Folds that a run in RUN has fitted on the same log are used again. The text encoder is not
    tuned. --config may be that of a training (its OUT/recmem.toml); what only a training needs is not read.
    """
    require_tables(items, events, store)
    folder = _folder_of(run, out, rows)
    from recmem.batch.candidate_files import CandidateFiles, as_frame
    from recmem.batch.score_file import score_file
    from training.cross_fit.row_features import check_rows
    from training.cross_fit.windows import FoldConfig
    from training.report.terminal import show_intake
    from training.run import open_run
    from training.tables import Tables
    from training.training_features import FIXED_OPTIONS, fit_in

    settings = settings_given(context, options, **FIXED_OPTIONS)
    source = CandidateFiles.open(rows)
    check_rows(as_frame(source.schema.empty_table()))  # columns only; cells are checked as they are read
    progress = Bars()
    tables = Tables.of(items, events, impressions, vectors=vectors)
    opened = open_run(tables, folder, store, settings, progress)
    fit = fit_in(opened, FoldConfig(folds=folds), on_intake=show_intake)
    found: list[RowFeatures] = []

    def scorer(frame: pl.DataFrame) -> pl.DataFrame:
        frame, features = fit.fitted.added_to(frame)
        found.append(features)
        return frame

    with progress.stage("Computing match features", source.n_rows) as advance:
        score_file(source, out, scorer, chunk_rows=chunk_rows, on_progress=advance)
    _show_folds(fit)
    _show_rows(fit, found, source.n_rows, out)


def _folder_of(run: Path | None, out: Path, rows: Path) -> Path:
    """The run's folder. Raises UsageError if one of the three paths would replace another."""
    if out.resolve() == rows.resolve():
        raise UsageError("--out: expected a file other than --rows, got the same file. Give another path.")
    folder = run or out.with_suffix("")
    if folder.resolve() in (out.resolve(), rows.resolve()):
        raise UsageError(f"--run: expected a folder of its own, got {folder}. Name another one.")
    return folder


def _show_folds(fit: Fit) -> None:
    """Prints the folds, and how they meet."""
    borders = {border.time: border for border in fit.borders}
    rows = []
    for number, fold in enumerate(fit.fitted.folds, start=1):
        border = borders.get(fold.until)
        scores = ("", "") if border is None else (f"{border.before:.4f}", f"{border.after:.4f}")
        end = "new rows" if number == len(fit.fitted.folds) else _time(fold.scores_until)
        rows.append((str(number), _time(fold.until), end, *scores))
    show_table(("fold", "rows after", "up to", "score by the fold before", "by this fold"), rows, n_words=3)
    if borders:
        say("Scores: mean match_score of the same candidates behind the border, by the folds on both sides of it.")


def _show_rows(fit: Fit, found: list[RowFeatures], n_rows: int, out: Path) -> None:
    from recmem.dataset.unmatched_rows import UnmatchedRows

    again = ", with the folds of an earlier run" if fit.reused else ""
    say(f"Wrote {n_rows:,} rows to {out}{again}.")
    n_without = sum(features.n_without for features in found)
    if n_without:
        first = _time(fit.fitted.folds[0].until)
        complain(
            f"{n_without:,} rows: not after {first}, where the first fold begins. Their match_score, match_raw and "
            "match_prior are null."
        )
    for sentence in sum((features.unmatched for features in found), UnmatchedRows()).sentences():
        complain(sentence)
    for warning in fit.warnings:
        complain(f"Warning: {warning}")
    say(f"Model for new rows: {fit.bundle}")


def _time(microseconds: int) -> str:
    from feature_store.timestamps import iso_time
    from training.report.number_text import time_text

    return time_text(iso_time(microseconds))
