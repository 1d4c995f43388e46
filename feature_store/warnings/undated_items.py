"""Warnings about items that change: numbers without times leak what came later, and texts have no times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

_MAX_NAMED = 5
_TIMES = ("timestamp", "available_at", "event_id", "cancels")
TEXTS_ARE_NEWEST = "For all times the newest text is read: only numbers are read as of a time."


def repeated_items(rows: pl.DataFrame) -> Iterator[str]:
    """What to say where rows without times have several numbers or texts for an item: a sentence or two of each."""
    if rows["item_id"].n_unique() == len(rows):
        return
    columns = [name for name in rows.columns if name != "item_id"]
    if found := _with_several_values(rows, [name for name in columns if rows.schema[name].is_numeric()]):
        yield (
            f"Several rows of an item have different numbers: {_some(found)}. The last row counts. If each row is a "
            "change, name the column of its time `timestamp`."
        )
    if found := _with_several_values(rows, [name for name in columns if rows.schema[name] == pl.String]):
        yield (
            f"Several rows of an item have different texts: {_some(found)}. The last row counts. If the others belong "
            "to the item too, join them into one row, or give them as facts."
        )


def changed_numbers(given: pl.DataFrame, stored: pl.DataFrame) -> Iterator[str]:
    """What to say where items without times bring other numbers than the stored ones: a sentence or two, or nothing.

    `given` has one row an item; both have `item_id`.
    """
    both = given.select("item_id").join(stored, on="item_id", how="left", maintain_order="left")
    stored_names = set(both.columns)
    found = []
    for name, dtype in given.schema.items():
        if name == "item_id" or not dtype.is_numeric() or name not in stored_names:
            continue
        n_changed = int((both[name].is_not_null() & given[name].ne_missing(both[name])).sum())
        if n_changed:
            found.append(_counted(name, n_changed))
    if found:
        yield (
            f"Stored numbers have changed: {_some(found)}. Without times, past queries read the new ones too, which "
            "leaks where they tell what has happened since. Give the table a `timestamp` and a row for each change."
        )


def other_numbers(n_rows: int) -> tuple[str, ...]:
    """What to say about rows with the item and time of a stored row, but other numbers; nothing if there are none."""
    if not n_rows:
        return ()
    rows = "1 row has" if n_rows == 1 else f"{n_rows:,} rows have"
    return (
        f"{rows} the item and timestamp of a stored row, but other numbers: the stored ones count. To correct a row, "
        "give one of a later time, or cancel it: see `cancels`.",
    )


def several_texts(rows: pl.DataFrame) -> tuple[str, ...]:
    """What to say about checked rows with times in which the texts of items change; nothing where none do."""
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String and name not in ("item_id", *_TIMES)]
    found = _with_several_values(rows, texts)
    return (f"Texts change: {_some(found)}. {TEXTS_ARE_NEWEST}",) if found else ()


def _with_several_values(rows: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """The columns of these in which items have several values, with how many items do."""
    found = []
    for name in names:
        of_item = pl.DataFrame({"item": rows["item_id"], "value": rows[name]}).drop_nulls()
        n_items = of_item.group_by("item").agg(pl.col("value").n_unique()).filter(pl.col("value") > 1).height
        if n_items:
            found.append(_counted(name, n_items))
    return found


def _counted(name: str, n_items: int) -> str:
    return f"{name} (1 item)" if n_items == 1 else f"{name} ({n_items:,} items)"


def _some(found: list[str]) -> str:
    more = f" and {len(found) - _MAX_NAMED:,} more columns" if len(found) > _MAX_NAMED else ""
    return ", ".join(found[:_MAX_NAMED]) + more
