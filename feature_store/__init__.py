"""The ground of recmem: durable tables, and the only place where rows are joined on time."""

from feature_store.faults import DataError
from feature_store.log import EventLog, SignalConfig
from feature_store.store import Receipt, Store

__all__ = ["DataError", "EventLog", "Receipt", "SignalConfig", "Store"]
