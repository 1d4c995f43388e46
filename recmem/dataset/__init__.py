"""Items, users and events as one dataset that can be read as of any time, and the candidates to score."""
