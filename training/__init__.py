"""Everything that learns, evaluates or reports; the only floor that writes to MLflow's tracking."""

__all__: list[str] = []
