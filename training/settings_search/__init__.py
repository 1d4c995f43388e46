"""The search for better settings on validation queries: `recmem tune`."""
