"""`recmem config`: prints a configuration with every setting, and checks one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import say
from recmem.cli.error_handling import UsageError

Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Settings as a TOML file; `recmem config` prints one with all of them. --set and other options "
        "take precedence.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SETTING=VALUE", help="A single setting, such as ranker.leaves=31. May be given several times."
    ),
]


def config(config: Config = None, assignments: Assignments = None) -> None:
    """Print all settings of a training, or check a file of them.

    Each setting is printed with its meaning, the values that it may have and its default. With --config or --set, the
    values are those given; all that is wrong with them is reported at once.

      recmem config > recmem.toml
    """
    from training.configuration.all_settings import all_settings
    from training.configuration.config_text import config_toml
    from training.configuration.effective import checked_config, given_settings
    from training.configuration.given_settings import ConfigError

    try:
        given = given_settings(config, assignments or ())
        checked = checked_config(given)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    automatic = [each.name for each in all_settings().values() if each.bounds.automatic]
    say(config_toml(checked, automatic=[name for name in automatic if given.values.get(name) is None]).rstrip("\n"))
