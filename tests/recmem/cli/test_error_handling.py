"""Failures become sentences."""

from __future__ import annotations

import errno
import os
import re

import pytest
import typer
from typer.testing import CliRunner

from command_line import REFUSED, WIDE
from recmem.cli.error_handling import GuardedCommand


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, os.strerror(errno.EIO), "/drive/file"),
        OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN)),
        ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)),
        OSError("error closing file"),
        RuntimeError("(sqlite3.OperationalError) disk I/O error\n[SQL: ...]"),
        RuntimeError(
            "(raised by autoflush)\n(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: ...]"
        ),
    ],
)
def test_a_drive_that_is_lost_is_reported_in_words(error: Exception) -> None:
    command = typer.Typer(pretty_exceptions_enable=False)

    @command.command(cls=GuardedCommand)
    def fail() -> None:
        raise error

    result = CliRunner().invoke(command, env=WIDE)
    assert result.exit_code == REFUSED
    cause = re.escape(str(error).partition("\n[")[0].rpartition("\n")[2])
    assert re.match(rf"disk: expected files .*, got an error \({cause}\)\. Reconnect the drive", result.stderr)
