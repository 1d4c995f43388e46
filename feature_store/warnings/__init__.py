"""Data that can be read but looks wrong: times, rating scales, columns that are not read, ids that match nothing."""
