"""Point-in-time reads: histories, counters and item-item models as of a time. No other package joins rows on time."""
