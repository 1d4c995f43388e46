"""Bounds of a bundle's configuration: numbers beyond which a model would overflow, never end or fill the memory.

Those of settings stand beside them (`feature_store.settings`) and are checked as they are read; here are the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

MAX_COLUMNS = 20_000
MAX_CHARACTERS = 10_000
"""Of one text: a column's name, a path, a version."""
MAX_REFRESHES = 100_000
"""Fits of the item-item models in the time that the log of the training spans."""

_TEXT_OF_LINES = "encoder.text_prefix"
"""What instructs an encoder often has a line break."""
_MICROSECONDS = 2**60
"""36,000 years: sums of two such times fit into 64 bits."""
_INTS = {
    "dataset.counters.short": (1, _MICROSECONDS),
    "dataset.counters.medium": (1, _MICROSECONDS),
    "dataset.counters.long": (1, _MICROSECONDS),
    "dataset.counters.span": (1, _MICROSECONDS),
    "dataset.refresh_origin": (-_MICROSECONDS, _MICROSECONDS),
    "dataset.refresh_every": (1, _MICROSECONDS),
    "learned_until": (-_MICROSECONDS, _MICROSECONDS),
}
_FLOATS = {
    "calibration.slope": (0.0, 1e9),
    "calibration.intercept": (-1e9, 1e9),
}


def check_limits(config: Any) -> None:
    """Raises ValueError for a number of a `BundleConfig` outside its bounds, or a text that is no plain short one."""
    for path, value in _values(config, ""):
        if isinstance(value, str):
            _check_text(path, value)
        bounds = _INTS.get(path) or _FLOATS.get(path)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"config.{path}: expected {bounds[0]} to {bounds[1]}, got {value}. Train again.")
    for name, columns in (("text_columns", config.text_columns), ("number_columns", config.number_columns)):
        if len(columns) > MAX_COLUMNS or len(set(columns)) < len(columns):
            raise ValueError(
                f"config.{name}: expected at most {MAX_COLUMNS:,} columns, each once, got {len(columns):,}."
            )
    for place in ("candidate_features", "user_features"):
        names = [feature.name for feature in getattr(config.dataset, place)]
        if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
            raise ValueError(
                f"config.dataset.{place}: expected at most {MAX_COLUMNS:,} columns, each once, got {len(names):,}."
            )
    _check_spaces(config)
    every = config.dataset.refresh_every
    span = config.dataset.counters.span
    if every * MAX_REFRESHES < span:
        raise ValueError(
            f"config.dataset.refresh_every: expected at least span / {MAX_REFRESHES:,} ({span / MAX_REFRESHES:.0f}), "
            f"got {every}. Train again."
        )
    for table, version in config.store_versions.items():
        _check_text("store_versions", table)
        if version < 0:
            raise ValueError(f"config.store_versions: expected versions from 0, got {version}. Train again.")


def _check_spaces(config: Any) -> None:
    """Raises ValueError unless the match module reads the frozen encoder's vectors, with a tuned one's beside them."""
    dim = config.match.dim
    is_tuned = config.tuning is not None
    if is_tuned != (config.tuned_fingerprint is not None):
        got = "only one of them"
        raise ValueError(f"config.tuning, tuned_fingerprint: expected both or none, got {got}. Train again.")
    similarity_dim = dim if config.match.similarity_dim is None else config.match.similarity_dim
    if similarity_dim * (2 if is_tuned else 1) != dim:
        expected = "half of dim, the frozen encoder's" if is_tuned else "all of dim"
        raise ValueError(
            f"config.match.similarity_dim: expected {expected} ({dim}), got {config.match.similarity_dim}. Train again."
        )


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every text and number inside, with where it stands; the entries of a list stand where the list does."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _values(getattr(value, field.name), f"{path}.{field.name}" if path else field.name)
    elif isinstance(value, tuple):
        for part in value:
            yield from _values(part, path)
    else:
        yield path, value


def _check_text(path: str, text: str) -> None:
    # Column names may hold any letters, but what controls a terminal is in no one's columns.
    shown = text.replace("\n", "").replace("\t", "") if path == _TEXT_OF_LINES else text
    if len(text) > MAX_CHARACTERS or any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown):
        raise ValueError(
            f"config.{path}: expected at most {MAX_CHARACTERS} characters and none that control a terminal, "
            f"got {text[:60]!a}. Train again."
        )
