"""The command line. What is heavy is imported inside the commands, so that `recmem --help` answers at once."""

from recmem.cli.app import main

__all__ = ["main"]
