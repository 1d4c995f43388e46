"""Where a run is seen in MLflow: the address of its page, and the command that serves it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from feature_store.addresses import without_secrets
from training.tracking.experiment import SQLITE
from training.tracking.links import run_url

LOCAL_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""


def run_page(tracking_uri: str, experiment_id: str, run_id: str) -> tuple[str, str]:
    """The address of the run's page and the command that serves it, without secrets.

    The command is empty for a server that runs already. Both are empty for Databricks, whose pages are elsewhere.
    """
    page = run_url(tracking_uri, experiment_id, run_id)
    if not page or page.startswith("http"):
        return page, ""
    return f"{LOCAL_SERVER}/{page}", server_command(tracking_uri)


def server_command(tracking_uri: str) -> str:
    """The command that serves MLflow's pages from a database or a folder; a password in its address is not shown."""
    shown = without_secrets(tracking_uri)
    if shown != tracking_uri:
        return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
    path = Path(tracking_uri.removeprefix(SQLITE))
    here = Path.cwd()
    if tracking_uri.startswith(SQLITE) and path.is_relative_to(here):
        shown = f"{SQLITE}{path.relative_to(here)}"
    return f"mlflow ui --backend-store-uri {quote(shown)}"
