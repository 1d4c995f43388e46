"""Finds a model: in a bundle folder, on an object store, or in MLflow's registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from feature_store import DataError
from feature_store.addresses import cause_without_secrets, redact, without_secrets
from feature_store.atomic_files import temporary_folder
from feature_store.object_store import download_folder, is_remote, local_path
from recmem.serving.manifest import MANIFEST, MAX_BYTES
from recmem.serving.tracking_server import check_answers

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NoRegistryError(DataError):
    """MLflow's database is a file that does not exist."""


REGISTRY = "models:/"
SQLITE = "sqlite:///"
TRACKING_FILE = "mlflow.db"
"""The database that `recmem train --out OUT` makes in OUT, unless MLflow is set to track elsewhere."""
_GIVE_TRACKING = "Run the command again with --tracking, or with MLFLOW_TRACKING_URI set."
_ADDRESSES_WITHOUT_SCHEME = ("databricks", "databricks-uc", "uc")
_FOLDER_OF_MODELS = "models"
"""In a folder where MLflow keeps runs and models as files."""
_PLACES = (".", "bundle", "artifacts/bundle")
"""Where the bundle may be: the folder itself, a training run's folder, or a model that MLflow has logged."""
_COPY = "recmem-download-"
"""Prefix of the temporary folder of a downloaded model."""


@contextmanager
def bundle_at(source: str | Path) -> Iterator[Path]:
    """The folder that holds the bundle, for a `with` block; of a model elsewhere a copy, removed at its end.

    Elsewhere is an object store, or MLflow's registry, where any model URI will do: `models:/<name>@<alias>`,
    `models:/<name>/<version>`, `models:/<model id>`. Raises DataError if there is no such model, or no bundle in it.
    """
    is_registered = str(source).startswith(REGISTRY)
    if not is_registered and not is_remote(source):
        yield _bundle_in(local_path(source), source)
        return
    with temporary_folder(_COPY) as copy:
        folder = _download(str(source), copy) if is_registered else _copied(str(source), Path(copy))
        yield _bundle_in(folder, source)


def _copied(url: str, folder: Path) -> Path:
    """The files of the bundle that the URL leads to, in the place that they have there."""
    for place in _PLACES:
        below = url.rstrip("/") if place == "." else f"{url.rstrip('/')}/{place}"
        if download_folder(below, folder / place, argument="model", wanted=lambda name: name in MAX_BYTES):
            break
    return folder


def _bundle_in(folder: Path, source: str | Path) -> Path:
    for place in _PLACES:
        if (folder / place / MANIFEST).is_file():
            return folder / place
    remedy = f"Give the folder OUT/bundle of a training run, or {REGISTRY}recmem@champion."
    raise DataError(f"model: expected a folder with {MANIFEST}, got {without_secrets(str(source))!r}. {remedy}")


def version_at(source: str) -> str | None:
    """The URI of the version that an alias stands for now: `models:/recmem/3` for `models:/recmem@champion`.

    None for every other source. Raises DataError if the registry cannot be read or has no such alias.
    """
    name, at, alias = source.removeprefix(REGISTRY).rpartition("@")
    if not source.startswith(REGISTRY) or not at:
        return None
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = mlflow.get_registry_uri()
    _check_exists(uri, remedy="Set MLFLOW_TRACKING_URI to the database or server of your training runs.")
    try:
        version = MlflowClient().get_model_version_by_alias(name, alias).version
    except (MlflowException, ImportError, OSError, ValueError) as error:  # ImportError: no driver for the database
        cause = redact(str(error), addresses=[uri]).partition("\n")[0]
        remedy = "Check the name, and MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        raise DataError(
            f"model: expected an alias in MLflow's registry, got {source!r} ({cause}). {remedy}"
        ) from cause_without_secrets(error, addresses=[uri])
    return f"{REGISTRY}{name}/{version}"


def registered_versions() -> dict[str, str]:
    """Every registered model version, URI to a description such as "recmem version 3 (champion)".

    The registry is the one that MLflow's environment variables or `mlflow.set_tracking_uri` name. Raises DataError if
    it cannot be read, or is a database file that does not exist.
    """
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    _check_exists(mlflow.get_registry_uri())
    found = {}
    try:
        client = MlflowClient()
        for model in all_pages(client.search_registered_models):
            try:
                versions = list(all_pages(partial(client.search_model_versions, f"name = '{model.name}'")))
            except MlflowException:
                found[f"{REGISTRY}{model.name}"] = f"{model.name} (its versions cannot be listed)"
                continue
            for version in versions:
                names = [alias for alias, number in model.aliases.items() if str(number) == str(version.version)]
                description = f"{model.name} version {version.version}"
                if names:
                    description += f" ({', '.join(names)})"
                found[f"{REGISTRY}{model.name}/{version.version}"] = description
    except MlflowException as error:
        raise _unreadable(error) from cause_without_secrets(error, addresses=[mlflow.get_registry_uri()])
    return found


@contextmanager
def registry_at(tracking: str | None) -> Iterator[MlflowClient]:
    """A client of the registry at an address, see `tracking_at`, for a `with` block.

    Raises DataError if it cannot be read, or is a database file that does not exist: nothing is created.
    """
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with tracking_at(tracking):
        _check_exists(
            mlflow.get_registry_uri(),
            remedy="Give --tracking the folder OUT of a training run, or MLflow's address; or set MLFLOW_TRACKING_URI.",
        )
        try:
            yield MlflowClient()
        except (MlflowException, ImportError) as error:  # ImportError: no driver for the database
            raise _unreadable(error) from cause_without_secrets(error, addresses=[mlflow.get_registry_uri()])


@contextmanager
def tracking_at(uri: str | None) -> Iterator[None]:
    """MLflow's registry is the one at `uri` during the block; None leaves MLflow's own settings as they are.

    The folder of a training run, or a SQLite file, may be given by its path. MLflow resolves `models:/` only against
    its global setting, not against a URI that a call is given.
    """
    import mlflow
    from mlflow.tracking import is_tracking_uri_set

    if uri is None:
        yield
        return
    before = mlflow.get_tracking_uri() if is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(_tracking_uri(uri))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


def _tracking_uri(given: str) -> str:
    """An address as MLflow takes it: of a training run's folder, that of the database in it."""
    if not given or given in _ADDRESSES_WITHOUT_SCHEME or urlsplit(given).scheme:
        return given
    path = Path(given).absolute()
    database = path if path.is_file() else path / TRACKING_FILE
    return f"{SQLITE}{database}" if database.is_file() else given


def _unreadable(error: Exception) -> DataError:
    import mlflow

    cause = redact(str(error), addresses=[mlflow.get_registry_uri()]).partition("\n")[0]
    return DataError(
        f"tracking: expected MLflow's registry, got an error ({cause.rstrip('.')}). "
        "Check --tracking or MLFLOW_TRACKING_URI."
    )


def _check_exists(uri: str, *, remedy: str = _GIVE_TRACKING) -> None:
    """Raises NoRegistryError for a SQLite file or a folder without a registry, because MLflow would create one.

    And DataError for a server that does not answer, because MLflow would go on trying for minutes.
    """
    if not urlsplit(uri).scheme and uri not in _ADDRESSES_WITHOUT_SCHEME and not Path(uri, _FOLDER_OF_MODELS).is_dir():
        raise NoRegistryError(f"tracking: expected MLflow's registry, got no {TRACKING_FILE} at {uri!r}. {remedy}")
    scheme, _, rest = uri.partition(":///")
    path = rest.partition("?")[0]
    if scheme.partition("+")[0] == "sqlite" and path != ":memory:" and not Path(path).is_file():
        raise NoRegistryError(f"tracking: expected MLflow's registry, got no database at {path!r}. {remedy}")
    check_answers(uri)


def all_pages(search: Callable[..., Any]) -> Iterator[Any]:
    """All results of one of MLflow's searches, which answer in pages; `search` takes `page_token`."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _download(uri: str, folder: str) -> Path:
    """A copy of the model in the folder."""
    import mlflow
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    # Names and aliases are resolved by the registry, ids of logged models by the tracking server.
    is_registered = "/" in uri.removeprefix(REGISTRY) or "@" in uri
    database = mlflow.get_registry_uri() if is_registered else mlflow.get_tracking_uri()
    _check_exists(database, remedy="Set MLFLOW_TRACKING_URI to the database or server of your training runs.")
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except (MlflowException, ImportError, OSError, ValueError) as error:  # ImportError: no driver for the database
        addresses = [mlflow.get_tracking_uri(), mlflow.get_registry_uri()]
        cause = redact(str(error), addresses=addresses).partition("\n")[0]
        remedy = "Check the name, and MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        raise DataError(
            f"model: expected a model in MLflow's registry, got {uri!r} ({cause}). {remedy}"
        ) from cause_without_secrets(error, addresses=addresses)
