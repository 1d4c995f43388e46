"""Forgetting a user or an item: rows, vectors of texts, shared memories, and which models and files hold the id."""
