"""Features of (query, candidate) pairs, and the ranker that scores them."""
