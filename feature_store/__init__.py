"""The feature store: durable tables, and point-in-time joins over them."""

from feature_store.data_errors import DataError
from feature_store.point_in_time.event_log import EventLog
from feature_store.receipts import Receipt
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, REJECTED
from feature_store.signals import SignalConfig
from feature_store.store import Store

__all__ = [
    "EVENTS",
    "IMPRESSIONS",
    "ITEMS",
    "REJECTED",
    "DataError",
    "EventLog",
    "Receipt",
    "SignalConfig",
    "Store",
]
