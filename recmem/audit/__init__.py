"""Checks on a trained model: batch and online features are equal, nothing leaks from the future, and forgetting."""
