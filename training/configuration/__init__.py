"""The configuration of a training as one file: every setting by its name, read with all faults at once, and written."""
