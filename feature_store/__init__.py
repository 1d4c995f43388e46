"""The ground of recmem: durable tables, and the only place where rows are joined on time."""

from feature_store.data_errors import DataError
from feature_store.point_in_time.event_log import EventLog
from feature_store.signals import SignalConfig
from feature_store.store import Receipt, Store

__all__ = ["DataError", "EventLog", "Receipt", "SignalConfig", "Store"]
