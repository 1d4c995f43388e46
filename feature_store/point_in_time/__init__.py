"""Every read as of a time: histories, counters, item-item models. The only place that joins rows on time."""
