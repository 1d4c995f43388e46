"""The HTTP service: rankings, recommendations and reasons as JSON, in batches, from a model that follows its alias."""
