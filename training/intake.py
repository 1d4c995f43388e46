"""What the step `ingest` read, and what the store held then: receipts, unmatched rows, and the versions of the tables.

Later steps read the store at these versions, also in processes of their own, whatever others append meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from feature_store import EVENTS, IMPRESSIONS, USERS, Receipt, SignalConfig, Store
from feature_store.atomic_files import write_text_atomically
from feature_store.pinned_store import PinnedStore
from feature_store.point_in_time.item_history import dated_columns
from feature_store.warnings.date_columns import holds_dates
from feature_store.warnings.event_kinds import EventKind, event_kinds, kind_warnings
from feature_store.warnings.rating_scale import rating_warnings, unread_ratings
from feature_store.warnings.unmatched_ids import UnmatchedIds, n_items_without_events, unmatched_rows
from recmem.dataset.catalogue import numeric_columns
from recmem.text.item_text import text_columns
from training.config import TrainingConfig
from training.event_weights import weight_warnings
from training.optional_inputs import used_inputs, used_users
from training.target_counts import target_counts, target_warnings
from training.user_features import UsersConfig, user_feature_names


@dataclass(frozen=True)
class Intake:
    """The receipts of the tables that were given, and the state of the store after them."""

    receipts: tuple[Receipt, ...]
    """One per table that was given; none if the run used what the store had."""
    unmatched: tuple[UnmatchedIds, ...]
    """Rows of the whole store that name items or users which it lacks."""
    n_items_without_events: int
    """Items without events."""
    versions: dict[str, int]
    """The versions of the tables that the run reads."""
    digest: str
    """The store's digest at these versions."""
    read_at: str
    """When the tables were read: ISO 8601, UTC."""
    warnings: tuple[str, ...] = ()
    """Names of events that no rule knows, and what looks wrong about events that the store had before; the receipts say
    what looks wrong about those that were given."""
    reused: bool = False
    """Whether an earlier run read them: neither the tables nor the store have changed since."""
    kinds: tuple[EventKind, ...] = ()
    """The events of the whole store by their names, and how they are taken."""
    unused: tuple[str, ...] = ()
    """Columns that the store holds and the training does not read, such as `items.url`."""
    used: tuple[str, ...] = ()
    """Sentences about optional columns and settings that change what is learned, see `training.optional_inputs`."""
    undated: tuple[str, ...] = ()
    """Numeric columns of items that came without times, and are read as they are now for all past queries."""
    dates: tuple[str, ...] = ()
    """Those of `unused` that hold dates."""

    @classmethod
    def of(
        cls,
        store: Store,
        receipts: tuple[Receipt, ...],
        signals: SignalConfig,
        features: Sequence[str] = (),
        of_users: UsersConfig | None = None,
        *,
        weights: Sequence[str] = (),
        debiases: bool = False,
        has_encoder: bool = True,
        repeats: bool = False,
    ) -> Intake:
        """The store as it is now, after the appends that gave the receipts; `features` are columns of impressions.

        `weights` are the setting `event_weights`; `debiases` says whether positions are read, `has_encoder` whether
        texts are, `repeats` whether items that users have had are wanted again.
        """
        pinned = PinnedStore.newest(store)
        items = pinned.items()
        events = pinned.events()
        impressions = pinned.impressions()
        users = pinned.users()
        read = (*features, *(("position",) if debiases else ()))
        of_users = of_users or UsersConfig()
        unused = [*_unused(items, events, impressions, read), *_unused_of_users(users, of_users)]
        were_given = any(receipt.table == EVENTS.name for receipt in receipts)
        kinds = event_kinds(events, signals)
        counts = target_counts(items, events, weights, signals, repeats=repeats)
        warnings = [
            *kind_warnings(kinds, ratings=unread_ratings(events, signals)),
            *weight_warnings(kinds, weights, signals),
        ]
        warnings += [*target_warnings(counts), *([] if were_given else rating_warnings(events, signals))]
        return cls(
            receipts=receipts,
            unmatched=unmatched_rows(items, events, impressions, users),
            n_items_without_events=n_items_without_events(items, events),
            versions=pinned.versions(),
            digest=pinned.digest(),
            kinds=kinds,
            unused=tuple(unused),
            used=(
                *used_inputs(events, impressions, counts, debiases=debiases),
                *used_users(users, of_users, has_encoder=has_encoder),
            ),
            dates=tuple(_dates(unused, {"items": items, "impressions": impressions, "users": users})),
            undated=tuple(_undated(items, pinned.item_changes())),
            warnings=tuple(f"{EVENTS.name}.{warning}" for warning in warnings),
            read_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def metrics(self) -> dict[str, float]:
        """The counts by the names that they have in MLflow."""
        counts: dict[str, float] = {"items_without_events": self.n_items_without_events}
        for receipt in self.receipts:
            name = receipt.table
            counts |= {f"rows_read/{name}": receipt.n_in, f"rows_new/{name}": receipt.n_new}
            counts |= {f"rows_duplicate/{name}": receipt.n_duplicate, f"rows_rejected/{name}": receipt.n_rejected}
            counts |= {f"rows_known/{name}": receipt.n_known}
            counts |= {f"warnings/{name}": len(receipt.warnings)}
        return counts | {f"rows_unmatched/{each.column}": each.n_unmatched for each in self.unmatched}

    def n_unmatched(self, column: str) -> int:
        """Unmatched rows of a column such as `events.item_id`."""
        return sum(each.n_unmatched for each in self.unmatched if each.column == column)

    def as_reused(self) -> Intake:
        """The same, marked as that of an earlier run."""
        return replace(self, reused=True)

    def write(self, path: Path) -> None:
        """Writes JSON; whether it is reused is not part of it."""
        fields = asdict(self)
        del fields["reused"]
        write_text_atomically(path, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Intake:
        """What `write` has written."""
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        receipts = tuple(Receipt.from_dict(receipt) for receipt in fields["receipts"])
        unmatched = tuple(
            UnmatchedIds(**each | {name: tuple(each[name]) for name in ("examples", "known_examples")})
            for each in fields["unmatched"]
        )
        warnings = tuple(fields["warnings"])
        # Runs of an earlier version noted no kinds.
        kinds = tuple(EventKind(**kind) for kind in fields.get("kinds", ()))
        unused = tuple(fields.get("unused", ()))
        read = {
            "receipts": receipts,
            "unmatched": unmatched,
            "warnings": warnings,
            "kinds": kinds,
            "unused": unused,
            "used": tuple(fields.get("used", ())),
            "undated": tuple(fields.get("undated", ())),
            "dates": tuple(fields.get("dates", ())),
        }
        return cls(**fields | read)


def intake_of(store: Store, receipts: tuple[Receipt, ...], config: TrainingConfig) -> Intake:
    """The store as it is now, as a training with these settings reads it; see `Intake.of`."""
    return Intake.of(
        store,
        receipts,
        config.signals,
        config.features,
        config.users,
        weights=config.event_weights,
        debiases=config.ranker.position_debiasing,
        has_encoder=not config.vectors_name,
        repeats=not config.retrieval.exclude_seen,
    )


def _undated(items: pl.DataFrame, changes: pl.DataFrame) -> Iterator[str]:
    """The numeric columns of items that came without times."""
    dated = dated_columns(changes)
    for name in numeric_columns(items):
        if name not in dated:
            yield f"items.{name}"


def _unused(
    items: pl.DataFrame, events: pl.DataFrame, impressions: pl.DataFrame, features: Sequence[str]
) -> Iterator[str]:
    """The columns with values that no step reads. Of items, texts that are no words to read: links, dates, codes."""
    texts = text_columns(items)
    for name, dtype in items.schema.items():
        if name != "item_id" and name not in texts and not dtype.is_numeric():
            yield f"items.{name}"
    if events["session_id"].count():
        yield "events.session_id"
    for name in impressions.columns:
        is_read = name in IMPRESSIONS.schema() and name != "position"
        if not is_read and name not in features and impressions[name].count():
            yield f"impressions.{name}"


def _dates(unused: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> Iterator[str]:
    """Those of the columns, by full names, that hold dates."""
    for full_name in unused:
        table, _, name = full_name.partition(".")
        if table in tables and holds_dates(tables[table][name]):
            yield full_name


def _unused_of_users(users: pl.DataFrame, config: UsersConfig) -> Iterator[str]:
    """The columns of the users table with values that no step reads."""
    read = {*USERS.schema(), config.interests, *(config.features or user_feature_names(users, config.interests))}
    for name in users.columns:
        if name not in read and users[name].count():
            yield f"users.{name}"
