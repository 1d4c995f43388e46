"""Which items of the catalogue are ranked for a user."""
