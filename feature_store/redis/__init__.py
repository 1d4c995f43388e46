"""Memories and counters in Redis, for several processes that serve one model."""

from feature_store.redis.error_words import LostDataError, UnavailableError
from feature_store.redis.memories import RedisMemories

__all__ = ["LostDataError", "RedisMemories", "UnavailableError"]
