"""`python -m benchmarks.ablation LOG... --seeds 5 --out FOLDER`: what each kind of memory and text feature is worth.

A LOG is a folder with `items`, `events` and, if it has them, `impressions`, `users` and `facts`, as `recmem train`
reads them.
Each log is ablated once per seed, as by `recmem train --ablate`, without the training that follows it. The table is
written to `FOLDER/ablation.md` after each run, as Markdown, and printed at the end. The same command goes on where it
was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from recmem.cli.console import Bars
from training.ablation.ablate import ablate
from training.configuration.effective import effective_config
from training.evaluation.ablation import PARTS, TEST, VALIDATION, Ablation, KindWorth
from training.evaluation.ledger import Lift
from training.parent_run import log_config
from training.pipeline import run_step
from training.report.labels import metric_label
from training.run import open_run
from training.run_lock import only_training_in
from training.tables import Tables
from training.tracking.tracker import Tracker

TABLES = ("items", "events", "impressions", "users", "facts")
ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".arrow")
PREPARING_STEPS = ("ingest", "encode", "tune")
Results = dict[str, list[Ablation]]
"""By the name of the log, in the order of the seeds."""


def tables_in(folder: Path) -> dict[str, str | None]:
    """The files of a log by table; None for one that it lacks."""
    found = {name: [folder / f"{name}{ending}" for ending in ENDINGS] for name in TABLES}
    return {name: next((str(path) for path in paths if path.is_file()), None) for name, paths in found.items()}


def ablation_of(log: Path, out: Path, seed: int, assignments: Sequence[str]) -> Ablation:
    """The ablation of a log with a seed; all seeds share a store, and so the encoded texts."""
    given = tables_in(log)
    tables = Tables.of(given["items"], given["events"], given["impressions"], given["users"], facts=given["facts"])
    config = effective_config(None, assignments=assignments, options={"seed": seed, "ablate": True})
    run = open_run(tables, out / f"seed-{seed}", str(out / "store"), config, Bars())
    with only_training_in(run.out), Tracker.start(out=run.out, run_name=f"{log.name}, seed {seed}") as tracker:
        log_config(run, tracker, kind="ablation")
        for step in PREPARING_STEPS:
            run_step(run, step, tracker)
        result = ablate(run, tracker, run_step)
        tracker.parent.log_metrics(result.metrics())
    return result


def markdown(results: Results) -> str:
    """A row per log and kind: means over the seeds, with the standard deviation of one seed."""
    lines = [
        "| log | kind | given | worth on validation | above, below zero | worth on the test | above, below zero "
        "| switched |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for log, ablations in results.items():
        lines += _rows(log, ablations)
    return "\n".join(lines) + "\n"


def _rows(log: str, ablations: list[Ablation]) -> Iterator[str]:
    n_seeds = len(ablations)
    metric = metric_label(ablations[0].metric)
    figures = {part: mean(each.figures[part] for each in ablations) for part in PARTS}
    shown = f"{figures[VALIDATION]:.3f} | | {figures[TEST]:.3f}"
    yield f"| **{log}** | {metric} of what was given, seeds: {n_seeds} | | {shown} | | |"
    control = [_lifts_text([each.control[part] for each in ablations]) for part in PARTS]
    yield f"| | (control: another seed) | | {control[0]} | {control[1]} | |"
    # A kind that applies with one seed applies with all, but a folder may hold runs of several versions.
    names = dict.fromkeys(kind.name for each in ablations for kind in each.kinds)
    for name in names:
        kinds = [kind for each in ablations for kind in each.kinds if kind.name == name]
        yield _row(kinds)


def _row(kinds: list[KindWorth]) -> str:
    cells = [_lifts_text([kind.parts[part].all for kind in kinds]) for part in PARTS]
    given = "on" if kinds[0].was_on else "off"
    n_switched = sum(kind.is_switched for kind in kinds)
    return f"| | {kinds[0].words} | {given} | {cells[0]} | {cells[1]} | {n_switched} of {len(kinds)} |"


def _lifts_text(lifts: list[Lift]) -> str:
    differences = [lift.difference for lift in lifts]
    deviation = f" ({stdev(differences):.4f})" if len(differences) > 1 else ""
    above = sum(lift.ci95[0] > 0 for lift in lifts)
    below = sum(lift.ci95[1] < 0 for lift in lifts)
    return f"{mean(differences):+.4f}{deviation} | {above}, {below}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="folder with items, events, ...")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs per log, with the seeds 0, 1, ...")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="output folder")
    parser.add_argument(
        "--set", action="append", default=[], dest="assignments", metavar="SETTING=VALUE", help="for all runs"
    )
    given = parser.parse_args(arguments)
    results: Results = {}
    # Seed by seed, so that an interrupted benchmark has figures of all logs.
    for seed in range(given.seeds):
        for log in given.logs:
            result = ablation_of(log, given.out / log.name, seed, given.assignments)
            results.setdefault(log.name, []).append(result)
            path = given.out / log.name / f"ablation-{seed}.json"
            path.write_text(json.dumps(result.to_document(), indent=2) + "\n")
            print(f"{log.name}, seed {seed}: done.", file=sys.stderr)
            (given.out / "ablation.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
