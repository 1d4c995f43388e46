"""The command line. Commands import heavy packages when they run, so that `recmem --help` is fast."""

from recmem.cli.app import main

__all__ = ["main"]
