"""What of the data a training used, and what not and why: the rows of a table in its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from feature_store.receipts import most_frequent
from feature_store.warnings.event_kinds import EventKind
from training.report.content import DataUse
from training.run import Run
from training.steps.example_users import queries_of_test_period

_MAX_NAMES = 6
"""Names of events that are listed."""


def data_use(run: Run) -> list[DataUse]:
    """The rows of the table, from those of `USES`."""
    return list(chain.from_iterable(use(run) for use in USES))


def _items(run: Run) -> Iterator[DataUse]:
    catalogue = run.training_data.dataset.catalogue
    yield DataUse("items", f"{len(catalogue):,}, all of which can be ranked", _sentences(_rejected(run, "items")))
    columns = ", ".join(catalogue.text_columns)
    links = _unused(run, "items", "no words to read: links, dates or codes")
    if (vectors := run.training_data.vectors) is None:
        yield DataUse("item texts", f"{columns}: read as the item's text", _sentences(links))
    else:
        instead = f"{columns}: vectors stand in for texts" if columns else ""
        yield DataUse("item vectors", f"{vectors.name}, of {vectors.dim:,} numbers: what the match reads")
        yield DataUse("item texts", "none", _sentences([instead, *links]))
    numbers = ", ".join(catalogue.number_columns)
    yield DataUse("item attributes", f"{numbers}: features of the ranker" if numbers else "none: no numeric column")


def _events(run: Run) -> Iterator[DataUse]:
    dataset = run.training_data.dataset
    log = dataset.log
    n_users = len(np.unique(log.user_rows))
    unknown = run.training_data.events_of_unknown_items
    not_used = [
        *_rejected(run, "events"),
        f"{unknown:,} name an item that the items table lacks" if unknown else "",
        f"{len(dataset.cancelled.log):,} were cancelled by a later event" if dataset.cancelled is not None else "",
        *_unused(run, "events", "no step reads it"),
    ]
    yield DataUse("events", f"{len(log):,} of {n_users:,} users", _sentences(not_used))
    positive = _by_name(run, "n_positive", "what is to be ranked first; remembered")
    yield DataUse("positive events", positive or f"{int((log.signs > 0).sum()):,}")
    remembered = "remembered" if run.config.memory.negatives else "not remembered"
    others = [_by_name(run, "n_neutral", "neutral, remembered"), _by_name(run, "n_negative", f"negative, {remembered}")]
    if any(others):
        yield DataUse("other events", "; ".join(filter(None, others)), "not learned as something to rank first")


def _impressions(run: Run) -> Iterator[DataUse]:
    impressions = run.training_data.dataset.impressions
    if not len(impressions):
        yield DataUse("impressions", "none: a query ranks the whole catalogue")
        return
    not_used = [
        *_rejected(run, "impressions"),
        *(f"{each.n_unmatched:,} rows name an unknown item" for each in run.intake.unmatched if _is_shown(each.column)),
        *_unused(run, "impressions", "--features makes it a feature of the ranker"),
    ]
    yield DataUse("impressions", f"{len(impressions):,} rows: what each query ranks", _sentences(not_used))
    features = ", ".join(run.config.features)
    yield DataUse("own features", f"{features} (--features)" if features else "none: --features was not given")


def _users(run: Run) -> Iterator[DataUse]:
    dataset = run.training_data.dataset
    if not len(dataset.profiles):
        return
    config = dataset.config
    attributes = ", ".join(feature.name for feature in config.user_features)
    used = [
        f"{attributes}: features of the ranker" if attributes else "",
        f"{config.interests}: compared with the items' texts" if config.interests else "",
    ]
    not_used = [*_rejected(run, "users"), *_unused(run, "users", "no step reads it")]
    yield DataUse("users", _sentences([f"{len(dataset.profiles):,}", *used]), _sentences(not_used))


def _facts(run: Run) -> Iterator[DataUse]:
    dataset = run.training_data.dataset
    config = dataset.config.knowledge
    n_stored = len(run.pinned.facts())
    if config is None:
        if n_stored:
            yield DataUse("facts", "none: knowledge.facts is false", f"{n_stored:,} of the facts table")
        return
    facts = dataset.catalogue.facts
    sources = [
        f"{n_stored:,} of the facts table" if config.facts else "",
        f"those of {', '.join(config.columns)}" if config.columns else "",
    ]
    used = f"{len(facts):,} that two items or more have, of {facts.n_items:,} items: features of the ranker"
    yield DataUse("facts", _sentences([*sources, used]), _sentences(_rejected(run, "facts")))


def _queries(run: Run) -> Iterator[DataUse]:
    n_queries = len(queries_of_test_period(run))
    n_used = min(n_queries, run.config.test_queries)
    left_out = f"{n_queries - n_used:,}, evenly spread: test_queries is {n_used:,}" if n_used < n_queries else ""
    yield DataUse("queries of the test period", f"{n_used:,}", left_out)


USES: tuple[Callable[[Run], Iterator[DataUse]], ...] = (_items, _events, _impressions, _users, _facts, _queries)
"""Each yields the rows of one kind of data, in the order of the table. A new kind of data is one more function."""


def _rejected(run: Run, table: str) -> Iterator[str]:
    """How many rows of a table were rejected, and why most of them were."""
    for receipt in run.intake.receipts:
        if receipt.table == table and receipt.n_rejected:
            yield f"{receipt.n_rejected:,} rows were rejected ({most_frequent(receipt.reasons)})"


def _unused(run: Run, table: str, why: str) -> Iterator[str]:
    """The columns of a table that no step reads, and why."""
    prefix = f"{table}."
    names = [name.removeprefix(prefix) for name in run.intake.unused if name.startswith(prefix)]
    if names:
        yield f"{', '.join(names)}: {why}"


def _by_name(run: Run, count: str, how: str) -> str:
    """The events that are taken in one way, by name: `120 view, 30 click are neutral`; "" if there are none."""
    counted = [(getattr(kind, count), kind) for kind in run.intake.kinds]
    named = [f"{n:,} {_name(kind)}" for n, kind in counted if n]
    shown = named[:_MAX_NAMES] + ([f"{len(named) - _MAX_NAMES:,} more names"] if len(named) > _MAX_NAMES else [])
    return f"{', '.join(shown)}: {how}" if shown else ""


def _name(kind: EventKind) -> str:
    return "without a name" if kind.event is None else kind.event


def _is_shown(column: str) -> bool:
    return column == "impressions.item_id"


def _sentences(parts: Iterator[str] | list[str]) -> str:
    return "; ".join(part for part in parts if part)
