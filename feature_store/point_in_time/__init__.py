"""Every read as of a time: histories, counters, item-item models. The only code that compares times of events."""
