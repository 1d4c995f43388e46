"""Training, evaluation and reports. No other package writes to MLflow."""

__all__: list[str] = []
