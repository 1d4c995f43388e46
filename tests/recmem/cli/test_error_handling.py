"""Failures become sentences."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from command_line import REFUSED, WIDE
from feature_store import DataError
from recmem.cli import app as app_module
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


def failing(error: Exception) -> typer.Typer:
    command = typer.Typer(pretty_exceptions_enable=False)

    @command.command(cls=GuardedCommand)
    def fail(store: Annotated[str, typer.Option()] = "", debug: Annotated[bool, typer.Option()] = False) -> None:
        raise error

    return command


ADDRESS = "postgresql://me:hunter-2@db.local:5432/mlflow?sslpassword=hunter-22"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot connect to {ADDRESS}",
        f"store: expected a table, got an error at {ADDRESS}. Check it.",
        "password 'hunter-2' was refused",
        "key hunter-22 was refused, so was hunter-three",
    ],
)
@pytest.mark.parametrize("kind", [RuntimeError, DataError, OSError])
def test_errors_do_not_quote_the_secrets_of_the_command(
    text: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["recmem", "fail", f"--store={ADDRESS}"])
    result = CliRunner().invoke(failing(kind(text)), env=WIDE | {"MLFLOW_TRACKING_PASSWORD": "hunter-three"})
    assert result.exit_code == REFUSED
    assert "hunter" not in result.output
    assert "***" in result.stderr or "postgresql://db.local:5432/mlflow" in result.stderr


def test_the_traceback_of_debug_has_no_secrets_and_no_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        try:
            raise OSError(f"refused by {ADDRESS}")
        except OSError as cause:
            raise RuntimeError("hunter-2 \x1b[31m") from cause

    monkeypatch.setattr(app_module, "app", fail)
    monkeypatch.setattr(app_module, "QUIET_LIBRARIES", {})
    monkeypatch.setattr(sys, "argv", ["recmem", "--debug", "fail", "--store", ADDRESS])
    with pytest.raises(SystemExit) as ended:
        app_module.main()
    assert ended.value.code == REFUSED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback (most recent call last)" in printed.err
    assert "refused by postgresql://db.local:5432/mlflow" in printed.err
    assert r"RuntimeError: *** \x1b[31m" in printed.err
    # The source lines of this test are in the traceback, too.
    messages = [line for line in printed.err.splitlines() if not line.startswith(" ")]
    assert "hunter" not in "".join(messages)
    assert "\x1b" not in printed.err


def test_ordinary_words_of_the_environment_stay_in_messages() -> None:
    result = CliRunner().invoke(
        failing(RuntimeError("true or false")), env=WIDE | {"TOKENIZERS_PARALLELISM": "true", "API_KEY": "false"}
    )
    assert "true or false" in result.stderr
