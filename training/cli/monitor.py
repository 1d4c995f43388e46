"""`recmem monitor`: what has changed in service since the model was measured."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import complain, say, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.options import Device, ModelSource, StorePath
from recmem.cli.printable import one_line

if TYPE_CHECKING:
    from training.monitoring.findings import Monitoring

WARNED = 3
ALERTED = 4
"""Exit codes beside 1 (data or model refused) and 2 (wrong use)."""
N_SHOWN = 12
PAGE = "monitor.html"
JSON = "monitor.json"


class FailOn(StrEnum):
    """From which status on the command fails."""

    ALERT = "alert"
    WARN = "warn"
    NEVER = "never"


def monitor(
    model: ModelSource,
    out: Annotated[
        Path, typer.Option(metavar="PATH", help=f"Folder for {PAGE} and {JSON}; those of an earlier call are replaced.")
    ],
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL", help="Candidates, as `recmem score` takes them. They are scored and compared."
        ),
    ] = None,
    scored: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="In place of --candidates: the output of `recmem score`. Its columns are compared; nothing is scored, "
            "and the store is not read.",
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="New events (user_id, item_id, timestamp, event, ...). They are compared, and so are the topics of "
            "their items' texts; the model knows them while it scores, and the store stays as it is.",
        ),
    ] = None,
    outcomes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="What became of the candidates: rows with user_id, item_id and label (0 or 1) [timestamp, "
            "impression_id], or events after the candidates' times.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Earlier candidates to compare with.",
            show_default="the reference in the bundle",
        ),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help=f"Exit with {WARNED} for a warning, {ALERTED} for an alert: from this status on.")
    ] = FailOn.ALERT,
    store: StorePath = None,
    tracking: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URI",
            help="MLflow for a run of this monitoring: the folder OUT of a training run, or an address.",
            show_default="MLflow's environment variables; without them no run is logged",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A limit, such as psi_alert=0.3; see docs/monitoring.md."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="Device for match, features and ranker; auto uses CUDA if available.")
    ] = Device.AUTO,
) -> None:
    """Compare what is scored now with what the model was measured on.

    Features, scores, memory sizes, text lengths, unknown users and items of the candidates are compared with the
    reference in the bundle, by the population stability index (PSI) and the Kolmogorov-Smirnov distance (KS); with
    --outcomes also NDCG@10 and the calibration of match_score. A difference that chance explains does not count.

    Exit codes: 0 fine, 3 warnings, 4 alerts (see --fail-on), 1 data or model refused, 2 wrong use.
    """
    if (candidates is None) == (scored is None):
        got = "neither" if candidates is None else "both"
        raise UsageError(f"--candidates, --scored: expected one of them, got {got}. Give the rows to compare.")
    if scored is not None and (events is not None or reference is not None):
        got = "--events" if events is not None else "--reference"
        raise UsageError(f"--scored: expected no {got} with it, got both. Give --candidates instead.")
    from feature_store.atomic_files import write_text_atomically
    from recmem.serving.registry import tracking_at
    from training.monitoring.mlflow_run import log_monitoring
    from training.monitoring.monitor import Watched
    from training.monitoring.monitor import monitor as compare
    from training.monitoring.monitor_config import config_with
    from training.monitoring.page import render_page

    try:
        config = config_with(set_ or [])
    except ValueError as error:
        raise UsageError("\n".join(f"--set: {line}" for line in str(error).splitlines())) from error
    watched = Watched(model, candidates, scored, events, outcomes, reference, store)
    with tracking_at(tracking):
        found = compare(watched, config, device=device.value, warn=complain)
        out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out / JSON, found.to_json())
        write_text_atomically(out / PAGE, render_page(found))
        logged = ""
        if tracking is not None or _tracks():
            logged = log_monitoring(found, out, tracking_uri=None, files=[out / JSON, out / PAGE])
    _show(found)
    say(f"Wrote {out / PAGE} and {out / JSON}." + (f" MLflow run: {logged}." if logged else ""))
    code = {"warn": WARNED, "alert": ALERTED}.get(found.status, 0)
    if fail_on is FailOn.NEVER or (fail_on is FailOn.ALERT and code == WARNED):
        code = 0
    if code:
        raise typer.Exit(code)


def _tracks() -> bool:
    """Whether MLflow's variables or its settings name a tracking server."""
    from mlflow.tracking import is_tracking_uri_set

    return bool(is_tracking_uri_set())  # type: ignore[no-untyped-call]


def _show(found: Monitoring) -> None:
    from training.monitoring.outcome_words import outcome_sentences
    from training.monitoring.words import STATUS_WORDS, advice, distance_text, figure_name, headline, topic_sentences

    say(headline(found), style="bold")
    moved = [*found.with_status("alert"), *found.with_status("warn")]
    if moved:
        rows = [
            (
                figure_name(each),
                STATUS_WORDS[each.status],
                distance_text(each),
                f"{each.reference:.3g}",
                f"{each.current:.3g}",
            )
            for each in moved[:N_SHOWN]
        ]
        show_table(("figure", "status", "distance", "reference", "now"), rows, n_words=3)
        if len(moved) > N_SHOWN:
            say(f"... and {len(moved) - N_SHOWN} more, see {PAGE}.")
    for sentence in outcome_sentences(found):
        say(sentence)
    for sentence in topic_sentences(found):
        say(one_line(sentence))
    for sentence in advice(found):
        say(sentence)
    for note in found.notes:
        complain(note)
