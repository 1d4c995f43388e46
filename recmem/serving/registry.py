"""Where a model is: a bundle folder, or a version in MLflow's registry."""

from __future__ import annotations

from pathlib import Path

from feature_store import DataError
from recmem.serving.manifest import MANIFEST

REGISTRY = "models:/"
_PLACES = (".", "bundle", "artifacts/bundle")


def bundle_folder(source: str | Path) -> Path:
    """The local folder that holds the bundle; downloaded from the registry for `models:/recmem@champion`.

    Any URI that MLflow takes for a model will do: `models:/<name>@<alias>`, `models:/<name>/<version>`,
    `models:/<model id>`. Raises DataError where there is no such model, or no bundle in it.
    """
    folder = _download(str(source)) if str(source).startswith(REGISTRY) else Path(source)
    for place in _PLACES:
        if (folder / place / MANIFEST).is_file():
            return folder / place
    remedy = f"Give the folder OUT/bundle of a training run, or {REGISTRY}recmem@champion."
    raise DataError(f"model: expected a folder with {MANIFEST}, got {str(source)!r}. {remedy}")


def registered_versions() -> dict[str, str]:
    """Every version in the registry, by its URI: "recmem version 3 (champion)".

    The registry is where MLflow's variables, or `mlflow.set_tracking_uri`, point. Raises DataError where there is none.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    found = {}
    try:
        client = MlflowClient()
        for model in client.search_registered_models():
            for version in client.search_model_versions(f"name = '{model.name}'"):
                names = [alias for alias, number in model.aliases.items() if str(number) == str(version.version)]
                told = f"{model.name} version {version.version}"
                found[f"{REGISTRY}{model.name}/{version.version}"] = f"{told} ({', '.join(names)})" if names else told
    except MlflowException as error:
        cause = str(error).partition("\n")[0]
        raise DataError(
            f"tracking: expected MLflow's registry, got an error ({cause}). Check --tracking, or MLFLOW_TRACKING_URI."
        ) from error
    return found


def _download(uri: str) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        cause = str(error).partition("\n")[0]
        remedy = "Check the name, and MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        raise DataError(f"model: expected a model in MLflow's registry, got {uri!r} ({cause}). {remedy}") from error
