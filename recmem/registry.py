"""Where a model is: a bundle folder, or a version in MLflow's registry."""

from __future__ import annotations

from pathlib import Path

from feature_store import DataError
from recmem.bundle import MANIFEST

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
    mend = f"Give the folder OUT/bundle of a training run, or {REGISTRY}recmem@champion."
    raise DataError(f"model: expected a folder with {MANIFEST}, got {str(source)!r}. {mend}")


def _download(uri: str) -> Path:
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        cause = str(error).partition("\n")[0]
        mend = "Check the name, and MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        raise DataError(f"model: expected a model in MLflow's registry, got {uri!r} ({cause}). {mend}") from error
