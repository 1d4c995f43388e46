"""The match of a candidate's text with a user's memory: memory slots, match module, text similarity."""
