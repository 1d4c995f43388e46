"""Forgetting: finds an id in every spelling, removes old table versions, and searches what is left."""
