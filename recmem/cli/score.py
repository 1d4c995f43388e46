"""`recmem score`: adds scores to the rows of a file of candidates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import UsageError
from recmem.cli.options import Device, ModelSource, OnlineUrl, StorePath
from recmem.cli.signals import exit_on_sigterm
from recmem.cli.vector_options import Vectors

CHUNK_ROWS = 100_000


class Columns(StrEnum):
    """Which columns are added to each row."""

    RANK = "rank"
    MATCH = "match"


def score(
    model: ModelSource,
    candidates: Annotated[
        str,
        typer.Option(
            metavar="PATH|URL",
            help="File, or folder of Parquet files, with user_id and item_id [timestamp, impression_id, history, ...], "
            "in the format of its ending: .parquet, .arrow, .csv, .tsv, .jsonl or others. timestamp: the query's "
            "time. impression_id: keeps the impressions of one user and time apart. history: item ids, oldest first, "
            "read instead of the user's events; in CSV a JSON list. For items that are not in the store, add their "
            "text columns (title, ...).",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH|URL",
            help="Output file, written atomically in the format of its ending, which may be another than that of the "
            "candidates.",
        ),
    ],
    store: StorePath = None,
    online: OnlineUrl = None,
    vectors: Vectors = None,
    vectors_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The name of these vectors, which must be that of the model's.",
            show_default="the name of the model's vectors",
        ),
    ] = "",
    columns: Annotated[
        Columns,
        typer.Option(
            help="Columns to add. match: match_score (0 to 1), match_raw, match_prior and similarity_*. rank: these, "
            "and score and rank (1 is the best of its query)."
        ),
    ] = Columns.RANK,
    trees_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of each query's candidates that LightGBM re-ranks: the best by the linear blend, at least 20. "
            "`recmem cascade` measures what a smaller share costs.",
        ),
    ] = 1.0,
    explain: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=20,
            help="Add the N strongest reasons to each row: match_reason_1, ... (memories; parts of match_raw), "
            "score_reason_1, ... (features; parts of score), and reasons, both as JSON with all parts of each sum.",
        ),
    ] = 0,
    device: Annotated[Device, typer.Option(help="Device that scores; auto uses CUDA if available.")] = Device.AUTO,
    chunk_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows per chunk; lower it if memory is short or texts are long.")
    ] = CHUNK_ROWS,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Processes that score, with one copy of the tables in memory. The output is the same with any number. "
            "One on a GPU, and with --online.",
            show_default="one per core for 10 million rows and more on 4 cores and more, else 1",
        ),
    ] = None,
) -> None:
    """Score a file of candidates.

    The output has every input row once, in the same order, with its own columns and the scores. Memory use does not
    grow with the file, and the rows of a query may be anywhere in it. Rows without a timestamp are scored as of just
    after the last event. Candidates in other formats than Parquet, and files on object stores (s3://bucket/key, gs://,
    az://, with credentials in the environment), are kept in the folder for temporary files meanwhile.
    """
    if _is_among(out, candidates):
        got = "one of them, or one in their folder"
        raise UsageError(f"--out: expected a file that is none of --candidates, got {got}. Give another path.")
    if columns is Columns.MATCH and trees_share < 1:
        raise UsageError("--trees-share: expected --columns rank with it, got match. Drop one of the two options.")
    if explain and trees_share < 1:
        raise UsageError("--explain: expected no --trees-share with it, got one below 1. Drop one of the two options.")
    import recmem
    from feature_store.files.table_files import read_table
    from feature_store.schema import ITEM_VECTORS
    from recmem.batch.candidate_source import candidates_at
    from recmem.batch.file_formats import output_format
    from recmem.serving.file_scorer import score_candidates
    from recmem.serving.scored import in_sample_text

    output_format(out)  # refused before anything is read
    with exit_on_sigterm(), candidates_at(candidates, warn=complain) as source:
        loaded = recmem.load(model, store=store, online=online, device=device.value)
        if vectors is not None:
            rows = read_table(vectors, table=ITEM_VECTORS.name)
            loaded.add_vectors(rows.frame, name=vectors_name or None)
        scorer = loaded.scorer(ranks=columns is Columns.RANK, trees_share=trees_share, explain=explain)
        if workers is not None and workers > 1 and scorer.why_one_process:
            complain(f"--workers: one process scores, because {scorer.why_one_process}.")
        with Bars().stage("Scoring candidates", source.n_rows) as advance:
            report = score_candidates(source, out, scorer, workers=workers, chunk_rows=chunk_rows, on_progress=advance)
    say(f"Wrote {source.n_rows:,} rows to {out}.")
    for sentence in report.unmatched.sentences():
        complain(sentence)
    if columns is Columns.MATCH and report.n_in_sample > 0:
        complain(in_sample_text(report.n_in_sample, loaded.bundle.config.learned_until))


def _is_among(out: str, candidates: str) -> bool:
    """Whether the output would replace candidates, or be read as some in the next run over their folder."""
    from feature_store.object_store import is_remote, local_path

    if is_remote(out) or is_remote(candidates):
        folder, _, name = out.rpartition("/")
        return out == candidates or (folder == candidates.rstrip("/") and name.endswith(".parquet"))
    path = local_path(out).resolve()
    given = local_path(candidates).resolve()
    is_read = given.is_dir() and path.suffix == ".parquet" and not path.name.startswith((".", "_"))
    return path == given or (path.parent == given and is_read)
