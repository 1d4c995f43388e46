"""Forgets a user or an item: deletes rows, old table versions and vectors, and lists the models trained on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import polars as pl

from feature_store import EVENTS, IMPRESSIONS, ITEMS, USERS, DataError, SignalConfig, Store
from feature_store.addresses import without_secrets
from feature_store.cell_parsing import id_text, parse_ids
from feature_store.forgetting.erasure import refuse_links
from feature_store.receipts import Forgotten
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from recmem.forgetting.interest_texts import cached_interests_of
from recmem.forgetting.item_texts import cached_texts_of
from recmem.forgetting.run_files import files_with, forget_in_runs
from recmem.serving.bundle import read_config
from recmem.serving.registry import NoRegistryError, bundle_at, registered_versions, tracking_at
from recmem.text.vector_cache import VECTORS_FOLDER, forget_texts


@dataclass(frozen=True)
class ForgetReceipt:
    """What was removed. It does not hold the id itself."""

    what: str
    """user or item."""
    rows: dict[str, int]
    """Number of removed rows, by table."""
    vectors: int
    """Number of removed text vectors: of the item's or user's texts, earlier ones too, unless another has the same."""
    models: tuple[str, ...]
    """Registered models that were trained on these rows, or may have been."""
    note: str = ""
    """Why the models could not be looked up; empty if they could."""
    online: int | None = None
    """Number of entries removed from shared memories; None if none were named."""
    registered_models: str = ""
    """How many registered models were checked, or "not checked" and why."""
    mentions: dict[str, int] = field(default_factory=dict)
    """Rows of others that mention the id and stay, by `table.column`, such as a description that names an item."""
    files: tuple[str, ...] = ()
    """Files of trainings that hold the id and stay, such as reports and a model's input example."""

    def to_json(self) -> str:
        """The receipt as a JSON object."""
        return json.dumps(asdict(self), indent=1) + "\n"


def forget_user(
    store: Store,
    user_id: object,
    online: RedisMemories | None = None,
    *,
    tracking_uri: str | None = None,
    runs: Sequence[Path] = (),
) -> ForgetReceipt:
    """Removes the user from the store, see `Store.forget_user`, and from shared memories.

    The vectors of declared interests, earlier ones too, are removed as well, unless somebody else has the same text.
    Nothing else under a store is about users: other vectors belong to items, and scores are written elsewhere. The
    models that were trained on the user are looked up at `tracking_uri`, by default where MLflow is set to track.
    `runs` are folders of trainings on the store: their vectors are removed too, and files that hold the id listed.
    """
    with tracking_at(tracking_uri):
        looked_up = _trained_on(store, "user_id", user_id)
    online = _of_store(online, store)
    n_online = None
    if online is not None:
        rows = _rows_of(store.events(), store.items(), "user_id", user_id, online)
        n_online = online.forget_user(id_text(user_id), rows)
    if "://" not in store.path:
        refuse_links(Path(store.path))
    texts = cached_interests_of(store, user_id)
    n_vectors = forget_in_runs(runs, texts) + _forget_texts(store, texts)
    forgotten = store.forget_user(user_id)
    n_vectors += _forget_texts(store, texts)
    _republish(store, online)
    return _receipt("user", forgotten, n_vectors, looked_up, n_online, files_with(runs, store, user_id))


def forget_item(
    store: Store,
    item_id: object,
    online: RedisMemories | None = None,
    *,
    tracking_uri: str | None = None,
    runs: Sequence[Path] = (),
) -> ForgetReceipt:
    """As `forget_user`, for an item. The vectors of its texts, earlier ones too, are removed as well.

    A vector stays if another item has the same text.
    """
    with tracking_at(tracking_uri):
        looked_up = _trained_on(store, "item_id", item_id)
    if "://" not in store.path:
        refuse_links(Path(store.path))
    texts = cached_texts_of(store, item_id)
    online = _of_store(online, store)
    n_online = None if online is None else online.forget_item(id_text(item_id))
    # Before the rows, since a repeated call could no longer tell the earlier texts; and after them, because a process
    # that still had the item may have encoded its text again.
    n_vectors = forget_in_runs(runs, texts) + _forget_texts(store, texts)
    forgotten = store.forget_item(item_id)
    n_vectors += _forget_texts(store, texts)
    _republish(store, online)
    return _receipt("item", forgotten, n_vectors, looked_up, n_online, files_with(runs, store, item_id))


@dataclass(frozen=True)
class _LookedUp:
    """The models in MLflow's registry that were trained on an id."""

    models: tuple[str, ...] = ()
    summary: str = ""
    note: str = ""


def _receipt(
    what: str,
    forgotten: Forgotten,
    n_vectors: int,
    looked_up: _LookedUp,
    online: int | None,
    files: Sequence[str],
) -> ForgetReceipt:
    return ForgetReceipt(
        what=what,
        rows=forgotten.n_removed,
        vectors=n_vectors,
        models=looked_up.models,
        note=looked_up.note,
        online=online,
        registered_models=looked_up.summary,
        mentions=forgotten.mentions,
        files=tuple(files),
    )


def _forget_texts(store: Store, texts: Sequence[str]) -> int:
    return forget_texts(Path(store.path) / VECTORS_FOLDER, texts) if texts else 0


def _rows_of(
    events: pl.DataFrame, items: pl.DataFrame, column: str, value: object, online: RedisMemories
) -> pl.DataFrame:
    """The tables' events of the id, as shared memories hold events."""
    (wanted,) = parse_ids(pl.Series(column, [value]), events.schema[column])[0]
    mine = events.filter(pl.col(column).eq_missing(pl.lit(wanted, events.schema[column])))
    rules = online.settings()
    return event_rows(mine, items["item_id"].sort(), SignalConfig() if rules is None else rules.signals)


def _of_store(online: RedisMemories | None, store: Store) -> RedisMemories | None:
    """The shared memories, refused if they are those of another store."""
    return None if online is None else online.of_store(store.identity())


def _republish(store: Store, online: RedisMemories | None) -> None:
    """Corrects the totals of older events in shared memories, which hold no rows of these."""
    if online is not None:
        online.publish_anew(store.events(), store.items()["item_id"].sort())


def _trained_on(store: Store, column: str, value: object) -> _LookedUp:
    """Registered models trained on rows of this id, or why they could not be looked up."""
    try:
        versions = registered_versions()
    except NoRegistryError as error:
        return _LookedUp((), "not checked, no tracking database given", str(error))
    except (DataError, ImportError) as error:
        return _LookedUp((), "not checked, the registry cannot be read", str(error))
    models = []
    for uri, name in versions.items():
        try:
            with bundle_at(uri) as folder:
                config = read_config(folder)
        except Exception as error:  # broad on purpose: whatever is wrong with one model, the others are looked at
            cause = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
            models.append(f"{name}, perhaps (it cannot be read: {cause})")
            continue
        if _is_same(config.store, without_secrets(store.path)):
            models += _named_if_trained(store, config.store_versions, column, value, name)
    return _LookedUp(tuple(models), f"{len(versions):,} checked")


def _is_same(noted: str | None, path: str) -> bool:
    """Whether two paths or URLs are of one store; a local one may be named through `..` or a link."""
    if not noted or "://" in noted + path:
        return noted == path
    return Path(noted).resolve() == Path(path).resolve()


def _named_if_trained(store: Store, versions: dict[str, int], column: str, value: object, name: str) -> list[str]:
    """The model's name if one of its tables held the id; with a remark if these versions can no longer be read."""
    # Of an item without an event the text is still a candidate that trainings learn from.
    holding = [table for table in (ITEMS, EVENTS, IMPRESSIONS, USERS) if column in table.schema()]
    try:
        tables = [store.read(table, version=versions[table.name]) for table in holding if table.name in versions]
    except DataError:
        return [f"{name}, perhaps (the table versions that it was trained on are gone)"]
    for table in tables:
        (wanted,) = parse_ids(pl.Series(column, [value]), table.schema[column])[0]
        if wanted is not None and (table[column] == wanted).any():
            return [name]
    return []
