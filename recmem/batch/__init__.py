"""Parquet files of any length, scored chunk by chunk."""
