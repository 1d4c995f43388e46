"""Forgetting a user or an item for good: rows, old versions, vectors, and which models have learned from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from feature_store import EVENTS, IMPRESSIONS, DataError, SignalConfig, Store
from feature_store.cell_parsing import parse_ids
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from recmem.serving.bundle import read_config
from recmem.serving.registry import bundle_folder, registered_versions
from recmem.text.item_text import item_text
from recmem.text.vector_cache import VECTORS_FOLDER, forget_texts

UNREAD = "not looked up"


@dataclass(frozen=True)
class ForgetReceipt:
    """What was removed, without the id itself."""

    what: str
    """user or item."""
    rows: dict[str, int]
    """Table to rows that are gone."""
    vectors: int
    """Cached vectors that are gone: of an item's text, where no other item has the same."""
    models: tuple[str, ...]
    """Registered models that were trained on rows of it, or may have been."""
    note: str = ""
    """Why the models are not known, where they are not."""
    online: int | None = None
    """What the online memories held of it; None where none were named."""

    def to_json(self) -> str:
        """The receipt as a JSON object."""
        return json.dumps(asdict(self), indent=1) + "\n"


def forget_user(store: Store, user_id: object, online: RedisMemories | None = None) -> ForgetReceipt:
    """Removes the user from the store, see `Store.forget_user`, and from online memories.

    Nothing else under a store tells of users: text vectors are of items' texts, and scores are written elsewhere.
    """
    models, note = _trained_on(store, "user_id", user_id)
    n_online = None
    if online is not None:
        rows = _rows_of(store.events(), store.items(), "user_id", user_id, online)
        n_online = online.forget_user(str(user_id), rows)
    removed = store.forget_user(user_id).n_removed
    _published_anew(store, online)
    return ForgetReceipt("user", removed, 0, models, note, n_online)


def forget_item(store: Store, item_id: object, online: RedisMemories | None = None) -> ForgetReceipt:
    """As `forget_user`, for an item; and the vector of its text goes unless another item has the same."""
    models, note = _trained_on(store, "item_id", item_id)
    texts = _own_texts(store.items(), item_id)
    n_online = None if online is None else online.forget_item(str(item_id))
    removed = store.forget_item(item_id).n_removed
    _published_anew(store, online)
    n_vectors = 0 if "://" in store.path else forget_texts(Path(store.path) / VECTORS_FOLDER, texts)
    return ForgetReceipt("item", removed, n_vectors, models, note, n_online)


def _rows_of(
    events: pl.DataFrame, items: pl.DataFrame, column: str, value: object, online: RedisMemories
) -> pl.DataFrame:
    """What the tables tell of the id, as the online memories know it."""
    (wanted,) = parse_ids(pl.Series(column, [value]), events.schema[column])[0]
    mine = events.filter(pl.col(column).eq_missing(pl.lit(wanted, events.schema[column])))
    rules = online.settings()
    return event_rows(mine, items["item_id"].sort(), SignalConfig() if rules is None else rules.signals)


def _published_anew(store: Store, online: RedisMemories | None) -> None:
    """Counts of older events, which online memories keep as mere numbers, follow the tables."""
    if online is not None:
        online.publish_anew(store.events(), store.items()["item_id"].sort())


def _own_texts(items: pl.DataFrame, item_id: object) -> Sequence[str]:
    """The item's text, unless another has the same."""
    texts = items.select("item_id").with_columns(item_text(items))
    (wanted,) = parse_ids(pl.Series("item_id", [item_id]), items.schema["item_id"])[0]
    own = texts.filter(pl.col("item_id").eq_missing(pl.lit(wanted, items.schema["item_id"])))
    others = texts.join(own, on="item_id", how="anti")
    return own.join(others, on="text", how="anti")["text"].to_list()


def _trained_on(store: Store, column: str, value: object) -> tuple[tuple[str, ...], str]:
    """Registered models of this store whose tables held the id when they were trained; and why they are not known."""
    try:
        versions = registered_versions()
    except (DataError, ImportError) as error:
        return (), f"{UNREAD}: {error}"
    told = []
    for uri, name in versions.items():
        try:
            config = read_config(bundle_folder(uri))
        except DataError as error:
            told.append(f"{name}, perhaps: it cannot be read ({str(error).partition('. ')[0]})")
            continue
        if config.store == store.path:
            told += _as_told(store, config.store_versions, column, value, name)
    return tuple(told), ""


def _as_told(store: Store, versions: dict[str, int], column: str, value: object, name: str) -> list[str]:
    """The model's name where a table held the id at its version, with a word where that version cannot be read now."""
    try:
        tables = [
            store.read(table, version=versions[table.name]) for table in (EVENTS, IMPRESSIONS) if table.name in versions
        ]
    except DataError:
        return [f"{name}, perhaps: the versions that it was trained from are gone"]
    for table in tables:
        (wanted,) = parse_ids(pl.Series(column, [value]), table.schema[column])[0]
        if wanted is not None and (table[column] == wanted).any():
            return [name]
    return []
