from __future__ import annotations

import pytest

from feature_store.addresses import cause_without_secrets, redact, secrets_of, without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:hunter2@host:6379/0", "redis://host:6379/0"),
        ("redis://:hunter2@host:6379/0#shop", "redis://host:6379/0#shop"),
        ("rediss://host/0?password=hunter2&db=3#shop", "rediss://host/0#shop"),
        ("postgresql+psycopg://me:hunter2@db.local/mlflow?sslmode=require", "postgresql+psycopg://db.local/mlflow"),
        ("https://hunter2@tracking.local:5000/api", "https://tracking.local:5000/api"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2", "mssql+pyodbc:///"),
        # Special characters of the password that should have been percent-encoded.
        ("redis://:hun/ter2@host:6379/0", "redis://host:6379/0"),
        ("redis://hun/ter2@host:6379/0", "redis://host:6379/0"),
        ("redis://:hunter2@x@host:6379/0", "redis://host:6379/0"),
        ("redis://:hun?ter2@host/0", "redis://***"),
        ("redis://:hun#ter2@host/0", "redis://***"),
        ("redis://host/0?password=hun@ter2", "redis://***"),
        ("me:hunter2@host:6379", "host:6379"),
    ],
)
def test_no_part_of_a_secret_is_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown
    assert "hun" not in without_secrets(address)
    assert "ter2" not in without_secrets(address)


@pytest.mark.parametrize(
    "address",
    [
        "redis://localhost:6379/0#shop",
        "runs/demo@2/store",
        "/data/a@b/store",
        "C:\\data\\a@b",
        "models:/recmem@champion",
        "file:///data/a@b",
        "s3://bucket/prefix@v2/store",
        "abfss://container@account.dfs.core.windows.net/store",
        "sqlite:///mlflow.db",
        "",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(address: str) -> None:
    assert without_secrets(address) == address


@pytest.mark.parametrize(
    "address",
    ["redis://me:hun%2Fter2@host/0", "redis://host/0?password=hun%2Fter2", "https://hun%2Fter2@host"],
)
def test_a_secret_is_known_as_written_and_decoded(address: str) -> None:
    assert {"hun/ter2", "hun%2Fter2"} <= set(secrets_of(address))


def test_errors_that_quote_an_address_or_a_secret_are_shown_without_it() -> None:
    address = "redis://me:hunter2@host:6379/0"
    text = f"cannot open {address}: AUTH hunter2 refused; see postgresql://a:other9@b/c"
    shown = redact(text, addresses=[address], secrets=["refused"])
    assert shown == "cannot open redis://host:6379/0: AUTH *** ***; see postgresql://b/c"
    assert redact("no address, no secret: a b", secrets=["a"]) == "no address, no secret: a b"


def test_a_password_with_quotes_and_spaces_is_found_in_an_error() -> None:
    address = "redis://:hunter 2's@host:6379/0"
    assert "hunter" not in redact(f"Port could not be cast: {address!s}", addresses=[address])
    assert "hunter" not in redact("AUTH hunter 2's", addresses=[address])


def test_an_error_is_not_raised_from_one_that_quotes_a_secret() -> None:
    address = "redis://me:hunter2@host/0"
    led_to = ValueError("no answer")
    led_to.__cause__ = OSError(f"no answer from {address}")
    assert cause_without_secrets(led_to, addresses=[address]) is None
    while_handling = ValueError("no answer")
    while_handling.__context__ = led_to
    assert cause_without_secrets(while_handling, addresses=[address]) is None
    harmless = ValueError("no answer from redis://host/0")
    assert cause_without_secrets(harmless, addresses=[address]) is harmless
    assert cause_without_secrets(ValueError("AUTH hunter2"), secrets=["hunter2"]) is None
