"""The feature store: durable tables, and point-in-time joins over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

# At once, not on first use: it notes before a fork that the parent has used polars.
import feature_store.forked_process  # noqa: F401

# Imported on first use: an encoder, whose settings are checked by `feature_store.settings`, also runs on machines that
# have torch but no polars.
if TYPE_CHECKING:
    from feature_store.data_errors import DataError
    from feature_store.point_in_time.event_log import EventLog
    from feature_store.receipts import Receipt
    from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, REJECTED, USERS
    from feature_store.signals import SignalConfig
    from feature_store.store import Store

__all__ = [
    "EVENTS",
    "IMPRESSIONS",
    "ITEMS",
    "REJECTED",
    "USERS",
    "DataError",
    "EventLog",
    "Receipt",
    "SignalConfig",
    "Store",
]

_MODULES = {
    "DataError": "data_errors",
    "EventLog": "point_in_time.event_log",
    "Receipt": "receipts",
    "EVENTS": "schema",
    "IMPRESSIONS": "schema",
    "ITEMS": "schema",
    "REJECTED": "schema",
    "USERS": "schema",
    "SignalConfig": "signals",
    "Store": "store",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'feature_store' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"feature_store.{_MODULES[name]}"), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
