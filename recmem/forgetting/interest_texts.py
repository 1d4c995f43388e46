"""Every text of a user under which a vector may be cached: declared interests, earlier ones too."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from feature_store import USERS, Store
from feature_store.table_writes import has_id
from recmem.dataset.interests import interest_entries, interest_parts, interest_texts
from recmem.forgetting.item_texts import stored_rows
from recmem.text.item_text import item_text, text_columns
from recmem.text.vector_cache import VECTORS_FOLDER, cached_texts


def cached_interests_of(store: Store, user_id: object) -> list[str]:
    """The user's texts whose vectors are in the store's cache and are needed for no other user and for no item.

    Call it before the user is forgotten: earlier rows are read from the files of the table's older versions. Which
    column a model reads is its setting, so the texts of all columns count.
    """
    if "://" in store.path:
        return []
    users = store.users()
    own = set[str]()
    for rows in (users, *stored_rows(Path(store.path) / USERS.name, "user_id")):
        own |= _texts(rows.filter(has_id(rows, "user_id", user_id)))
    cached = set(cached_texts(Path(store.path) / VECTORS_FOLDER, sorted(own)))
    if not cached:
        return []
    items = store.items()
    of_items = set(item_text(items, text_columns(items))) if len(items) else set()
    others = users.filter(~has_id(users, "user_id", user_id))
    return sorted(cached - of_items - _texts(others))


def _texts(users: pl.DataFrame) -> set[str]:
    """What the columns of text would be encoded as."""
    names = [name for name, dtype in users.schema.items() if dtype == pl.String and name != "user_id"]
    whole = {text for name in names for text in interest_texts(users[name])}
    single = {text for name in names for parts in interest_parts(users[name]) for text in parts}
    # Earlier versions of recmem took other lines for lists, and told fewer entries apart.
    entries = {text for name in names for text in interest_entries(users[name])}
    return (whole | single | entries) - {""}
