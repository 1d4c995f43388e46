"""Training runs, their steps and the models that come of them, in MLflow."""
