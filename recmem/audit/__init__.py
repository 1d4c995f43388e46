"""Checks on a trained model and its store: batch and online features are equal, nothing leaks, files are as written."""
