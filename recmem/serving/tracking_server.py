"""Whether MLflow's server answers at all: MLflow itself tries for minutes before it says that none does."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from feature_store import DataError
from feature_store.addresses import HIDDEN, cause_without_secrets, redact, without_secrets

ANSWERS_WITHIN_S = 10.0
"""A server that takes longer for its smallest page counts as away."""


def check_answers(uri: str, *, within_s: float = ANSWERS_WITHIN_S) -> None:
    """Raises DataError if there is a server's address and nobody answers there. Any answer will do, also a refusal.

    Addresses of other kinds, such as databases, are left to MLflow.
    """
    address = without_secrets(uri).rstrip("/")
    if urlsplit(uri).scheme not in ("http", "https") or HIDDEN in address:
        return
    try:
        # Through the proxies that the environment names, as MLflow goes.
        request = urllib.request.Request(f"{address}/health")
        urllib.request.urlopen(request, timeout=within_s).close()
    except urllib.error.HTTPError as error:
        error.close()  # somebody is there
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            return  # there is a server, and MLflow has settings of its own for certificates
        cause = redact(str(reason) or type(reason).__name__, addresses=[uri])
        raise DataError(
            f"tracking: expected MLflow's server, got no answer from {address!r} ({cause}). "
            "Start it, or correct --tracking or MLFLOW_TRACKING_URI."
        ) from cause_without_secrets(error, addresses=[uri])
