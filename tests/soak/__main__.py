"""`python -m tests.soak kills --rounds 200`, and the other soaks; PYTHONPATH=.:tests."""

import argparse
import sys

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
)

parser = argparse.ArgumentParser(prog="python -m tests.soak")
soaks = parser.add_subparsers(dest="soak", required=True)
killing = soaks.add_parser("kills", description=kills.__doc__)
killing.add_argument("--rounds", type=int, default=200)
killing.add_argument("--trainings", type=int, default=20)
killing.add_argument("--seed", type=int, default=0)
filling = soaks.add_parser("full-disk", description=full_disk.__doc__)
filling.add_argument("--rounds", type=int, default=10)
filling.add_argument("--seed", type=int, default=0)
losing = soaks.add_parser("lost-drive", description=lost_drive.__doc__)
losing.add_argument("--rounds", type=int, default=10)
losing.add_argument("--seed", type=int, default=0)
losing.add_argument("--preload", action="store_true")
losing.add_argument("--jobs", nargs="+", choices=kills.JOBS, default=list(kills.JOBS))
sharing = soaks.add_parser("concurrency", description=concurrency.__doc__)
sharing.add_argument("--seconds", type=float, default=60)
fuzzing = soaks.add_parser("fuzz", description=fuzz.__doc__)
fuzzing.add_argument("--cases", type=int, default=10_000)
fuzzing.add_argument("--seed", type=int, default=0)
losing_keys = soaks.add_parser("redis", description=redis_losses.__doc__)
losing_keys.add_argument("--rounds", type=int, default=100)
losing_keys.add_argument("--seed", type=int, default=0)
malforming = soaks.add_parser("malformed-bundles", description=malformed_bundles.__doc__)
malforming.add_argument("--cases", type=int, default=500)
malforming.add_argument("--seed", type=int, default=0)
forgets = soaks.add_parser("forgetting", description=forgetting.__doc__)
forgets.add_argument("--rounds", type=int, default=96)
forgets.add_argument("--seconds", type=float, default=60)
forgets.add_argument("--seed", type=int, default=0)
flipping = soaks.add_parser("bit-flips", description=bit_flips.__doc__)
flipping.add_argument("--flips", type=int, default=400)
flipping.add_argument("--seed", type=int, default=0)
flipping.add_argument("--without-digests", action="store_true")
ingesting = soaks.add_parser("ingest-during-training", description=ingest_during_training.__doc__)
ingesting.add_argument("--rounds", type=int, default=20)
ingesting.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
if options.soak == "kills":
    sys.exit(kills.main(options.rounds, options.trainings, options.seed))
if options.soak == "full-disk":
    sys.exit(full_disk.main(options.rounds, options.seed))
if options.soak == "lost-drive":
    sys.exit(lost_drive.main(options.rounds, options.seed, tuple(options.jobs), preload=options.preload))
if options.soak == "redis":
    sys.exit(redis_losses.main(options.rounds, options.seed))
if options.soak == "malformed-bundles":
    sys.exit(malformed_bundles.main(options.cases, options.seed))
if options.soak == "fuzz":
    sys.exit(fuzz.main(options.cases, options.seed))
if options.soak == "forgetting":
    sys.exit(forgetting.main(options.rounds, options.seconds, options.seed))
if options.soak == "bit-flips":
    sys.exit(bit_flips.main(options.flips, options.seed, without_digests=options.without_digests))
if options.soak == "ingest-during-training":
    sys.exit(ingest_during_training.main(options.rounds, options.seed))
sys.exit(concurrency.main(options.seconds))
