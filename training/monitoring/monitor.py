"""`recmem monitor`: scores what is new, and compares it with the reference that the bundle carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl

import recmem
from feature_store import DataError
from feature_store.addresses import without_secrets
from feature_store.schema import EVENTS as EVENTS_TABLE
from feature_store.table_checks import check_table
from feature_store.timestamps import iso_time, parse_timestamps
from recmem.batch.candidate_files import as_frame
from recmem.batch.candidate_source import candidates_at
from recmem.reference.reference import Outcomes, Reference
from recmem.serving.bundle import Bundle, load_bundle
from recmem.serving.model import Model
from recmem.serving.registry import REGISTRY, bundle_at, version_at
from training.monitoring.comparison import compared_rows, significance_level
from training.monitoring.event_rows import EventRows, event_rows
from training.monitoring.findings import Finding, Monitoring, Topic
from training.monitoring.judged_rows import LABEL, judged
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.outcome_comparison import compared_outcomes
from training.monitoring.topics import FEWEST_EVENTS, PositiveEvents, topic_findings, topics_of
from training.monitoring.uncompared import lacking_notes, not_compared
from training.monitoring.watched_rows import WatchedRows, sampled, watched_candidates, watched_scores

_CANDIDATES = "candidates"
_NO_REFERENCE = (
    "model: expected a bundle with a reference, got one without (an earlier recmem wrote it, or `recmem features`). "
    "Train again, or give --reference with candidates of a time when all was well."
)


@dataclass(frozen=True)
class Watched:
    """What to compare. One of `candidates` and `scored`."""

    model: str
    """A bundle folder, its URL, or a model in MLflow's registry."""
    candidates: str | None = None
    """Candidates to score, see `recmem score`."""
    scored: str | None = None
    """Candidates that were scored before: neither the store nor an encoder is needed."""
    events: str | None = None
    outcomes: str | None = None
    reference: str | None = None
    """Candidates to compare with, in place of the bundle's reference."""
    store: str | None = None


def monitor(
    watched: Watched,
    config: MonitorConfig,
    *,
    device: str = "auto",
    warn: Callable[[str], None] = lambda warning: None,
) -> Monitoring:
    """Compares what is new with the reference.

    Raises DataError if something cannot be read, or there is no reference.
    """
    # An alias may move while this runs: what is compared is the version that it stands for now.
    source = version_at(watched.model) or watched.model
    if watched.scored is not None:
        with bundle_at(source) as folder:
            bundle = load_bundle(folder)
        model = None
    else:
        model = recmem.load(source, store=watched.store, device=device)
        bundle = model.bundle
    reader = _Reader(bundle, model, config, warn)
    events = None if watched.events is None else reader.events(watched.events)
    reference = reader.reference(watched.reference)
    rows = reader.rows(reference, watched.candidates, watched.scored)
    topics = reader.topics()
    findings = compared_rows(reference, rows.rows, events, config, n_topics=len(topics))
    level = significance_level(reference, rows.rows, events, config, len(topics))
    findings += topic_findings(topics, config, level)
    outcomes = None
    lacking = not_compared(reference, rows.rows)
    notes = [
        *lacking_notes(reference, lacking, is_scored=watched.scored is not None),
        *_notes(reference, rows, events, topics, wants_topics=config.topics > 0),
    ]
    if watched.outcomes is not None:
        outcomes, found, more = reader.outcomes(watched.outcomes, rows, reference)
        findings += found
        notes += more
    return Monitoring(
        model=without_secrets(watched.model),
        model_version=source if source.startswith(REGISTRY) else "",
        learned_until=iso_time(bundle.config.learned_until),
        reference=_described(reference) | {"source": without_secrets(watched.reference or "bundle")},
        current=_described_rows(rows, events),
        findings=tuple(findings),
        reference_outcomes=reference.outcomes,
        current_outcomes=outcomes,
        notes=tuple(notes),
        not_compared=lacking,
        topics=topics,
    )


class _Reader:
    """Reads the files of one call."""

    def __init__(self, bundle: Bundle, model: Model | None, config: MonitorConfig, warn: Callable[[str], None]) -> None:
        self._bundle = bundle
        self._model = model
        self._config = config
        self._warn = warn
        self._events_from: int | None = None

    def reference(self, address: str | None) -> Reference:
        if address is None:
            if self._bundle.reference is None:
                raise DataError(_NO_REFERENCE)
            return self._bundle.reference
        model = self._need_model("--reference")
        rows = self._candidates(address, model, "reference")
        return rows.rows.reference("given", rows.times)

    def rows(self, reference: Reference, candidates: str | None, scored: str | None) -> WatchedRows:
        if scored is None:
            assert candidates is not None
            return self._candidates(candidates, self._need_model("--candidates"), "candidates")
        with _named("scored"), candidates_at(scored, warn=self._warn) as source:
            return watched_scores(self._bundle, reference, sampled(source, self._config.rows), source.n_rows)

    def events(self, address: str) -> EventRows:
        model = self._need_model("--events")
        frame = _table(address, "events", self._warn)
        receipt = model.observe(frame)
        for warning in receipt.warnings:
            self._warn(f"events: {warning}")
        if receipt.n_rejected:
            reason = next(iter(receipt.reasons))
            self._warn(f"events: {receipt.n_rejected:,} rows are not used, such as: {reason}.")
        dataset = model.dataset
        stored = {name: dataset.events.schema[name] for name in ("user_id", "item_id")}
        kept = check_table(frame, EVENTS_TABLE, stored=stored, signals=dataset.config.signals).kept
        times = kept["timestamp"].to_physical()
        self._events_from = times.min()  # type: ignore[assignment]
        return event_rows(kept, dataset.events, dataset.catalogue.ids)

    def topics(self) -> tuple[Topic, ...]:
        """Topics of the reference's period and of what came after it: in the events given, else in all later ones."""
        period = self._bundle.reference
        if self._model is None or period is None or not self._config.topics:
            return ()
        dataset = self._model.dataset
        since, until = parse_timestamps(pl.Series([period.since, period.until]))[0].to_physical()
        begin = until + 1 if self._events_from is None else max(self._events_from, until + 1)
        then = PositiveEvents.of(dataset.log, since, until)
        now = PositiveEvents.of(dataset.log, begin)
        units = self._model.matcher.tables.unit.float().cpu().numpy()
        return topics_of(then, now, units, dataset.catalogue, self._config)

    def outcomes(
        self, address: str, rows: WatchedRows, reference: Reference
    ) -> tuple[Outcomes | None, list[Finding], list[str]]:
        given = _table(address, "outcomes", self._warn)
        earlier = None if self._model is None else self._model.dataset.events
        generator = np.random.default_rng(self._config.seed)
        found = judged(self._bundle, rows, given, earlier, generator)
        if isinstance(found, str):
            return None, [], [found]
        notes = []
        comparable = reference.outcomes
        by = "impressions" if LABEL in given.columns else "catalogue"
        if comparable is not None and reference.asked != by:
            notes.append(_incomparable(reference.asked))
            comparable = None
        if comparable is not None and found.found < comparable.found / 2:
            notes.append(
                f"Only {found.found:.0%} of the positives are among the candidates, {comparable.found:.0%} in the "
                "reference: most of a difference in NDCG is due to which candidates were chosen."
            )
        return found, list(compared_outcomes(comparable, found, self._config)), notes

    def _candidates(self, address: str, model: Model, role: str) -> WatchedRows:
        with _named(role), candidates_at(address, warn=self._warn) as source:
            return watched_candidates(model, sampled(source, self._config.rows), source.n_rows)

    def _need_model(self, option: str) -> Model:
        if self._model is None:
            raise DataError(f"{option}: expected no --scored with it, got both. Give --candidates to have them scored.")
        return self._model


def _table(address: str, role: str, warn: Callable[[str], None]) -> pl.DataFrame:
    """A file of events or outcomes, in any format that candidates may have."""
    with _named(role), candidates_at(address, warn=warn) as source:
        return as_frame(source.table())


@contextmanager
def _named(role: str) -> Iterator[None]:
    """Errors of a file that is read as candidates are name the option that it was given by."""
    try:
        yield
    except DataError as error:
        text = str(error)
        raise DataError(role + text.removeprefix(_CANDIDATES) if text.startswith(_CANDIDATES) else text) from error


def _described_rows(rows: WatchedRows, events: EventRows | None) -> dict[str, object]:
    return {
        "queries": rows.rows.n_queries,
        "users": len(np.unique(rows.rows.users)),
        "rows": len(rows.rows),
        "since": rows.times[0],
        "until": rows.times[1],
        "rows_in_file": rows.n_rows,
        "events": 0 if events is None else len(events),
    }


def _described(reference: Reference) -> dict[str, object]:
    names = ("asked", "queries", "users", "rows", "since", "until")
    return {name: getattr(reference, name) for name in names}


def _notes(
    reference: Reference,
    rows: WatchedRows,
    events: EventRows | None,
    topics: tuple[Topic, ...],
    *,
    wants_topics: bool,
) -> list[str]:
    notes = []
    if len(rows.rows) < rows.n_rows:
        notes.append(
            f"{len(rows.rows):,} of {rows.n_rows:,} rows were compared, in whole queries (--set rows=N for more)."
        )
    if reference.asked == "catalogue":
        notes.append(
            "The reference has the candidates that recmem retrieves. Candidates that were chosen in another way differ "
            "from these on purpose: then give --reference with earlier candidates of the same kind."
        )
    if events is not None and len(events) and not reference.shares.keys() & events.shares.keys():
        notes.append("Names and first events were not compared: the reference has no events.")
    if events is not None and not len(events):
        notes.append("No event could be read: events were not compared.")
    elif events is not None and wants_topics and not topics:
        notes.append(
            f"Topics were not compared: that takes {FEWEST_EVENTS} positive events each in the reference's period and "
            "after it, of ten items with different texts."
        )
    return notes


def _incomparable(asked: str) -> str:
    what = {
        "catalogue": "ranks the whole catalogue, and these outcomes are labels of what was shown",
        "impressions": "is of labelled impressions, and these outcomes are later events",
        "given": "has no outcomes",
    }[asked]
    return f"NDCG was not compared: the reference {what}."
