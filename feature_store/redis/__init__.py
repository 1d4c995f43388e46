"""Memories and counters in Redis, for several processes that serve one model."""

from feature_store.redis.memories import RedisMemories
from feature_store.redis.server import UnavailableError

__all__ = ["RedisMemories", "UnavailableError"]
