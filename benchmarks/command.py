"""The command line in a process of its own: how long it takes, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_CODE = """
import json, resource, sys
from recmem.cli import main
sys.argv[0] = "recmem"
try:
    main()
except SystemExit as done:
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([done.code or 0, peak * 1024]))
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended well."""

    seconds: float
    """From the start of the process to its end."""
    peak_bytes: float
    """The greatest resident set of the process, or of one that it has started."""


def run_command(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
    """`recmem ARGUMENTS...` with these environment variables besides. Raises RuntimeError for an exit code above 0."""
    begin = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", _CODE, *arguments],
        env=os.environ | dict(environment or {}),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - begin
    code, peak = json.loads(ended.stdout.splitlines()[-1])
    if code:
        raise RuntimeError(f"recmem {arguments[0]}: expected exit code 0, got {code}.")
    return Done(seconds, peak)
