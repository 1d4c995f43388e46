"""Forgets a user or an item: deletes rows, old table versions and vectors, and lists the models trained on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from feature_store import EVENTS, IMPRESSIONS, DataError, SignalConfig, Store
from feature_store.addresses import without_secrets
from feature_store.cell_parsing import parse_ids
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from recmem.serving.bundle import read_config
from recmem.serving.registry import bundle_at, registered_versions, tracking_at
from recmem.text.item_text import item_text
from recmem.text.vector_cache import VECTORS_FOLDER, forget_texts


@dataclass(frozen=True)
class ForgetReceipt:
    """What was removed. It does not hold the id itself."""

    what: str
    """user or item."""
    rows: dict[str, int]
    """Number of removed rows, by table."""
    vectors: int
    """Number of removed text vectors: of the item's text, unless another item has the same text."""
    models: tuple[str, ...]
    """Registered models that were trained on these rows, or may have been."""
    note: str = ""
    """Why the models could not be looked up; empty if they could."""
    online: int | None = None
    """Number of entries removed from shared memories; None if none were named."""

    def to_json(self) -> str:
        """The receipt as a JSON object."""
        return json.dumps(asdict(self), indent=1) + "\n"


def forget_user(
    store: Store, user_id: object, online: RedisMemories | None = None, *, tracking_uri: str | None = None
) -> ForgetReceipt:
    """Removes the user from the store, see `Store.forget_user`, and from shared memories.

    Nothing else under a store is about users: text vectors belong to items, and scores are written elsewhere. The
    models that were trained on the user are looked up at `tracking_uri`, by default where MLflow is set to track.
    """
    with tracking_at(tracking_uri):
        models, note = _trained_on(store, "user_id", user_id)
    n_online = None
    if online is not None:
        rows = _rows_of(store.events(), store.items(), "user_id", user_id, online)
        n_online = online.forget_user(str(user_id), rows)
    removed = store.forget_user(user_id).n_removed
    _republish(store, online)
    return ForgetReceipt("user", removed, 0, models, note, n_online)


def forget_item(
    store: Store, item_id: object, online: RedisMemories | None = None, *, tracking_uri: str | None = None
) -> ForgetReceipt:
    """As `forget_user`, for an item. The vector of its text is removed too, unless another item has the same text."""
    with tracking_at(tracking_uri):
        models, note = _trained_on(store, "item_id", item_id)
    texts = _own_texts(store.items(), item_id)
    n_online = None if online is None else online.forget_item(str(item_id))
    removed = store.forget_item(item_id).n_removed
    _republish(store, online)
    n_vectors = 0 if "://" in store.path else forget_texts(Path(store.path) / VECTORS_FOLDER, texts)
    return ForgetReceipt("item", removed, n_vectors, models, note, n_online)


def _rows_of(
    events: pl.DataFrame, items: pl.DataFrame, column: str, value: object, online: RedisMemories
) -> pl.DataFrame:
    """The tables' events of the id, as shared memories hold events."""
    (wanted,) = parse_ids(pl.Series(column, [value]), events.schema[column])[0]
    mine = events.filter(pl.col(column).eq_missing(pl.lit(wanted, events.schema[column])))
    rules = online.settings()
    return event_rows(mine, items["item_id"].sort(), SignalConfig() if rules is None else rules.signals)


def _republish(store: Store, online: RedisMemories | None) -> None:
    """Corrects the totals of older events in shared memories, which hold no rows of these."""
    if online is not None:
        online.publish_anew(store.events(), store.items()["item_id"].sort())


def _own_texts(items: pl.DataFrame, item_id: object) -> Sequence[str]:
    """The item's text, unless another item has the same."""
    texts = items.select("item_id").with_columns(item_text(items))
    (wanted,) = parse_ids(pl.Series("item_id", [item_id]), items.schema["item_id"])[0]
    own = texts.filter(pl.col("item_id").eq_missing(pl.lit(wanted, items.schema["item_id"])))
    others = texts.join(own, on="item_id", how="anti")
    return own.join(others, on="text", how="anti")["text"].to_list()


def _trained_on(store: Store, column: str, value: object) -> tuple[tuple[str, ...], str]:
    """Registered models trained on rows of this id, and why they could not be looked up, if so."""
    try:
        versions = registered_versions()
    except (DataError, ImportError) as error:
        return (), str(error)
    models = []
    for uri, name in versions.items():
        try:
            with bundle_at(uri) as folder:
                config = read_config(folder)
        except DataError as error:
            models.append(f"{name}, perhaps (it cannot be read: {str(error).partition('. ')[0]})")
            continue
        if config.store == without_secrets(store.path):
            models += _named_if_trained(store, config.store_versions, column, value, name)
    return tuple(models), ""


def _named_if_trained(store: Store, versions: dict[str, int], column: str, value: object, name: str) -> list[str]:
    """The model's name if one of its tables held the id; with a remark if these versions can no longer be read."""
    try:
        tables = [
            store.read(table, version=versions[table.name]) for table in (EVENTS, IMPRESSIONS) if table.name in versions
        ]
    except DataError:
        return [f"{name}, perhaps (the table versions that it was trained on are gone)"]
    for table in tables:
        (wanted,) = parse_ids(pl.Series(column, [value]), table.schema[column])[0]
        if wanted is not None and (table[column] == wanted).any():
            return [name]
    return []
