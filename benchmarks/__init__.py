"""Measurements, each a ratio within one run: `make bench` on a CPU, `make bench-gpu` on a GPU."""
