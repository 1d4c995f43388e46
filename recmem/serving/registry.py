"""Finds a model: in a bundle folder, or in MLflow's registry."""

from __future__ import annotations

import os
from pathlib import Path

from feature_store import DataError
from recmem.serving.manifest import MANIFEST

REGISTRY = "models:/"
_SQLITE = "sqlite:///"
_PLACES = (".", "bundle", "artifacts/bundle")
"""Where the bundle may be: the folder itself, a training run's folder, or a model that MLflow has logged."""


def bundle_folder(source: str | Path, *, tracking_uri: str | None = None) -> Path:
    """The local folder that holds the bundle, downloaded first if `source` is a model in the registry.

    Any model URI of MLflow will do: `models:/<name>@<alias>`, `models:/<name>/<version>`, `models:/<model id>`. Raises
    DataError if there is no such model, or no bundle in it.
    """
    folder = _download(str(source), tracking_uri) if str(source).startswith(REGISTRY) else Path(source)
    for place in _PLACES:
        if (folder / place / MANIFEST).is_file():
            return folder / place
    remedy = f"Give the folder OUT/bundle of a training run, or {REGISTRY}recmem@champion."
    raise DataError(f"model: expected a folder with {MANIFEST}, got {str(source)!r}. {remedy}")


def registered_versions(tracking_uri: str | None = None) -> dict[str, str]:
    """Every registered model version, URI to a description such as "recmem version 3 (champion)".

    The registry is the one at `tracking_uri`, by default where MLflow's environment variables or
    `mlflow.set_tracking_uri` point. Raises DataError if it cannot be read, or is a database file that does not exist.
    """
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    registry_uri = _registry_uri(tracking_uri)
    _check_exists(registry_uri or mlflow.get_registry_uri())
    found = {}
    try:
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri)
        for model in client.search_registered_models():
            for version in client.search_model_versions(f"name = '{model.name}'"):
                names = [alias for alias, number in model.aliases.items() if str(number) == str(version.version)]
                description = f"{model.name} version {version.version}"
                if names:
                    description += f" ({', '.join(names)})"
                found[f"{REGISTRY}{model.name}/{version.version}"] = description
    except MlflowException as error:
        cause = str(error).partition("\n")[0]
        raise DataError(
            f"tracking: expected MLflow's registry, got an error ({cause}). Check --tracking or MLFLOW_TRACKING_URI."
        ) from error
    return found


def _registry_uri(tracking_uri: str | None) -> str | None:
    """The registry that belongs to a tracking URI; None if MLflow's own settings decide."""
    return tracking_uri and (os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri)


def _check_exists(uri: str) -> None:
    """Raises DataError for a SQLite file that does not exist, because MLflow would create it."""
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    if uri.startswith(_SQLITE) and not Path(path).is_file():
        remedy = "Run the command again with --tracking, or with MLFLOW_TRACKING_URI set."
        raise DataError(f"tracking: expected MLflow's registry, got no database at {path!r}. {remedy}")


def _download(uri: str, tracking_uri: str | None) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        folder = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, tracking_uri=tracking_uri, registry_uri=_registry_uri(tracking_uri)
        )
    except (MlflowException, OSError) as error:
        cause = str(error).partition("\n")[0]
        remedy = "Check the name, and MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        raise DataError(f"model: expected a model in MLflow's registry, got {uri!r} ({cause}). {remedy}") from error
    return Path(folder)
