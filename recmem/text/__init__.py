"""From an item's columns to a text, and from texts to cached unit vectors."""
