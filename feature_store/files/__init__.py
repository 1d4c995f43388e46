"""Reads tables from files: their bytes, their encoding, and every row that can be read."""
