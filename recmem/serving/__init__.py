"""A trained model in use: load a bundle, score and rank candidates, recommend, explain."""
