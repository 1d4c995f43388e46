"""`recmem audit`: are batch and online features equal, does anything leak from the future, are the files intact?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say, show_table
from recmem.cli.error_handling import REFUSED, UsageError
from recmem.cli.options import MODEL_HELP, ONLINE_TIMEOUT_S, StorePath

if TYPE_CHECKING:
    import polars as pl

    from recmem.batch.output_file import Finish

N_SHOWN = 20
"""Differences shown; `--out` keeps them all."""
REDIS_EXPIRES_S = 86_400
"""Seconds after which Redis drops what an audit wrote, if the audit is killed: longer than an audit takes."""
SHOWN = ("user_id", "timestamp", "item_id", "what")

OptionalModel = Annotated[
    str | None, typer.Option(metavar="PATH|URI", help=MODEL_HELP, show_default="only the files, with --files")
]


def audit(
    model: OptionalModel = None,
    store: StorePath = None,
    online: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis server to replay through: redis://host:port/db. The audit does not change what it holds.",
            show_default="replay in this process",
        ),
    ] = None,
    queries: Annotated[int, typer.Option(metavar="N", min=1, help="Past queries to replay, at most.")] = 10_000,
    cuts: Annotated[int, typer.Option(metavar="N", min=1, help="Times to check for leaks.")] = 20,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write all differences to this Parquet file.")
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="Compare the store's files with what was written. Needs no --model.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="With --files: note the digests of files that have none, as they are now.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed for sampling queries and times.")] = 0,
    moments: Annotated[int | None, typer.Option(min=1, hidden=True, help="Former name of --queries.")] = None,
) -> None:
    """Check for leaks and batch/online differences.

    Parity: memories, features and scores of past queries are computed from the whole log, and again by a process that
    observes one event after another. The two must be equal.

    Leaks: events after a time are dropped, or moved and exchanged. Memories, features and scores as of that time must
    not change.

    Files (--files): every file of the store is compared with the digest that was noted when it was written.

    Any differences are shown, and the exit code is 1.
    """
    if files:
        _check_files(model, store, record=record)
    elif record:
        raise UsageError("--record: expected --files, got none. Digests are noted after the files were compared.")
    if model is None and not files:
        raise UsageError("--model: expected a model, or --files to check the store's files, got neither.")
    if model is None:
        return
    # Opened before the work: a file that cannot be written is refused at once.
    with _output(out) as output:
        differences = _check_model(model, store, online, queries=moments or queries, cuts=cuts, seed=seed)
        if output is not None:
            folder, finish = output
            differences.write_parquet(folder / "differences")
            finish(folder / "differences")
            say(f"Wrote all differences to {out}.")
    if differences.height:
        complain("Differences indicate a bug in recmem, or in code that replaces a part of it. Please report them.")
        raise typer.Exit(REFUSED)


def _output(out: Path | None) -> AbstractContextManager[tuple[Path, Finish] | None]:
    from recmem.batch.output_file import output_at

    return nullcontext() if out is None else output_at(out)


def _check_model(
    model: str, store: str | None, online: str | None, *, queries: int, cuts: int, seed: int
) -> pl.DataFrame:
    """Shows the differences between batch and online and those that leaks make; returns all as one table."""
    from uuid import uuid4

    import numpy as np
    import polars as pl

    import recmem
    from feature_store import DataError
    from feature_store.redis.key_space import split_url
    from recmem.audit.leaks import LEAK_SIDES, leak_audit
    from recmem.audit.parity import PARITY_SIDES, replay_audit
    from recmem.audit.past_queries import PastQueries
    from recmem.dataset.shared_memories import RedisMemories

    loaded = recmem.load(model, store=store)
    generator = np.random.default_rng(seed)
    chosen = PastQueries.sample(loaded.dataset, queries, generator)
    if not len(chosen):
        raise DataError("store: expected events to replay, got none. Name the store that the model was trained on.")
    n_cuts = min(cuts, len(np.unique(chosen.times)))
    memories = None
    if online is not None:
        # A name of its own, so that what the server already holds stays as it is.
        own_name = f"{split_url(online)[0]}#audit-{uuid4().hex}"
        memories = RedisMemories(own_name, timeout=ONLINE_TIMEOUT_S, expire_s=REDIS_EXPIRES_S)
    progress = Bars()
    try:
        with progress.stage("Replaying queries", len(chosen)) as advance:
            replayed = replay_audit(loaded, chosen, online=memories, on_query=advance)
    finally:
        if memories is not None:
            memories.clear()
    with progress.stage("Cutting the log", n_cuts) as advance:
        leaked = leak_audit(loaded, chosen, n_cuts=n_cuts, generator=generator, on_cut=advance)
    n_pairs = len(chosen.items.values)
    parity = f"Batch vs. online: {len(replayed):,} differences in {n_pairs:,} pairs of {len(chosen):,} queries."
    _report(replayed, parity, PARITY_SIDES)
    leaks = f"Leaks from the future: {len(leaked):,} differences at {n_cuts} {'time' if n_cuts == 1 else 'times'}."
    _report(leaked, leaks, LEAK_SIDES)
    found = [
        replayed.with_columns(audit=pl.lit("replay"), change=pl.lit(None, pl.String)),
        leaked.with_columns(audit=pl.lit("leak")),
    ]
    return pl.concat(found, how="diagonal")


def _check_files(model: str | None, store: str | None, *, record: bool) -> None:
    from recmem.audit.store_files import check_files
    from recmem.serving.bundle import read_config
    from recmem.serving.model_store import open_store
    from recmem.serving.registry import bundle_at

    trained = None
    if model is not None and store is None:
        with bundle_at(model) as folder:
            trained = read_config(folder).store
    opened = open_store(store, trained=trained)
    if opened is None:
        raise UsageError("--store: expected the store whose files to check, got none. Give --store or --model.")
    found = check_files(opened, record=record)
    n_without = len(found.without_digest)
    n_wrong = len(found.changed) + len(found.missing)
    say(f"Files: {found.n_unchanged:,} as written, {n_wrong:,} changed or missing, {n_without:,} without a digest.")
    for name in found.changed:
        complain(f"store: expected {name!r} as it was written, got other content. Restore it from a backup.")
    for name in found.missing:
        complain(f"store: expected {name!r}, got no such file. Restore it from a backup.")
    for problem in found.problems:
        complain(problem)
    if found.n_damaged_notes:
        complain(f"{found.n_damaged_notes:,} digests cannot be read any more; the files themselves are not affected.")
    if n_without and record:
        say(f"Noted the digests of {n_without:,} files as they are now.")
    elif n_without:
        say("Files of an older recmem or of another program have none; --record notes them as they are now.")
    if not found.is_as_written:
        raise typer.Exit(REFUSED)


def _report(differences: pl.DataFrame, headline: str, sides: tuple[str, str]) -> None:
    say(headline)
    if differences.is_empty():
        return
    counts = differences["what"].value_counts(sort=True).rows()
    say(f"Differences in {', '.join(f'{name} {n:,}' for name, n in counts)}.")
    columns = (*SHOWN, *sides)
    rows = [[str(cell) for cell in row] for row in differences.select(columns).head(N_SHOWN).rows()]
    show_table(columns, rows, n_words=len(columns))
