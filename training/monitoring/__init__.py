"""What is watched of a model in service: rows, events and outcomes, compared with the reference in its bundle."""
