"""How to install what an optional part of recmem needs: the command that errors name."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """The command that adds an extra of pyproject.toml to the environment: `pip install 'recmem[redis]'`.

    It is the same for a checkout, though recmem is not on PyPI: pip takes the recmem that is installed, and fetches
    only the packages of the extra.
    """
    return f"pip install 'recmem[{extra}]'"
