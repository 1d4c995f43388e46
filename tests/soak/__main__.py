"""`python -m tests.soak kills --rounds 200`, and the other campaigns; PYTHONPATH=.:tests."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.soak import (
    bit_flips,
    concurrency,
    forgetting,
    full_disk,
    fuzz,
    ingest_during_training,
    kills,
    lost_drive,
    malformed_bundles,
    redis_losses,
    tuning,
)


class Campaign(NamedTuple):
    """One soak test: its options are the parameters of `main`."""

    main: Callable[..., int]
    description: str | None
    options: dict[str, Any]
    """Defaults by name; False stands for a flag, a tuple for a choice of several."""


CAMPAIGNS = {
    "kills": Campaign(kills.main, kills.__doc__, {"rounds": 200, "trainings": 20, "seed": 0}),
    "full-disk": Campaign(full_disk.main, full_disk.__doc__, {"rounds": 10, "seed": 0}),
    "lost-drive": Campaign(
        lost_drive.main, lost_drive.__doc__, {"rounds": 10, "seed": 0, "jobs": tuple(kills.JOBS), "preload": False}
    ),
    "concurrency": Campaign(concurrency.main, concurrency.__doc__, {"seconds": 60.0}),
    "fuzz": Campaign(fuzz.main, fuzz.__doc__, {"cases": 10_000, "seed": 0}),
    "redis": Campaign(redis_losses.main, redis_losses.__doc__, {"rounds": 100, "seed": 0}),
    "malformed-bundles": Campaign(malformed_bundles.main, malformed_bundles.__doc__, {"cases": 500, "seed": 0}),
    "forgetting": Campaign(forgetting.main, forgetting.__doc__, {"rounds": 96, "seconds": 60.0, "seed": 0}),
    "bit-flips": Campaign(bit_flips.main, bit_flips.__doc__, {"flips": 400, "seed": 0, "without_digests": False}),
    "ingest-during-training": Campaign(
        ingest_during_training.main, ingest_during_training.__doc__, {"rounds": 20, "seed": 0}
    ),
    "tuning": Campaign(tuning.main, tuning.__doc__, {"rounds": 10, "seed": 0}),
}


def add_option(parser: argparse.ArgumentParser, name: str, default: Any) -> None:
    flag = f"--{name.replace('_', '-')}"
    if default is False:
        parser.add_argument(flag, action="store_true")
    elif isinstance(default, tuple):
        parser.add_argument(flag, nargs="+", choices=default, default=default)
    else:
        parser.add_argument(flag, type=type(default), default=default)


parser = argparse.ArgumentParser(prog="python -m tests.soak")
commands = parser.add_subparsers(dest="campaign", required=True)
for name, campaign in CAMPAIGNS.items():
    command = commands.add_parser(name, description=campaign.description)
    for option, default in campaign.options.items():
        add_option(command, option, default)
options = vars(parser.parse_args())
sys.exit(CAMPAIGNS[options.pop("campaign")].main(**options))
