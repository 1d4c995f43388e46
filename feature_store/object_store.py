"""Files and folders on object stores: copied to this machine, or written in one piece.

Addresses and credentials are those of the store, for both are read by the same library beneath: `s3://bucket/key` with
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, and likewise `gs://` and Azure's `az://`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from feature_store.addresses import cause_without_secrets, redact, without_secrets
from feature_store.data_errors import DataError
from feature_store.extras import install_command

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
"""Schemes of the addresses of object stores."""
_CHUNK_BYTES = 1 << 23
_RETRIES = 4
_CHECK = "Check the address, and the credentials in the environment."


def is_remote(address: str | Path) -> bool:
    """Whether this is a URL of another scheme than `file`."""
    return "://" in str(address) and not str(address).startswith("file://")


def local_path(address: str | Path) -> Path:
    """The local path that a path or a URL of the scheme `file` names."""
    text = str(address)
    return Path(unquote(text.removeprefix("file://"))) if text.startswith("file://") else Path(address)


def name_of(address: str | Path) -> str:
    """The last part of a path or URL: what its ending is read from."""
    return PurePosixPath(str(address)).name


def download_file(url: str, folder: Path, *, argument: str) -> Path:
    """A copy of the object in the folder, under its own name.

    `argument` is what errors call the address. Raises DataError if there is no such object or it cannot be read.
    """
    with _failures(url, argument):
        store, key = _opened(url, argument)
        return _download(store, key, folder / PurePosixPath(key).name)


def download_folder(url: str, folder: Path, *, argument: str, wanted: Callable[[str], bool] = lambda name: True) -> int:
    """Copies the objects below the URL whose names, relative to it, are `wanted`, and returns their number.

    Raises DataError if the store cannot be read.
    """
    with _failures(url, argument):
        import obstore

        store, key = _opened(url, argument)
        prefix = f"{key.rstrip('/')}/" if key else ""
        n_found = 0
        for page in obstore.list(store, prefix=prefix or None):
            for found in page:
                name = str(found["path"])[len(prefix) :]
                if _is_place_below(name) and wanted(name):
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _download(store, str(found["path"]), target)
                    n_found += 1
        return n_found


def _is_place_below(name: str) -> bool:
    """Whether an object's name, relative to the folder's, is a file's place below a folder.

    An object store's names may be anything: `/etc/passwd` is one, as is `../passwd`, or a folder's own, which is empty.
    """
    return not {"", ".", ".."} & set(name.split("/"))


def upload_file(path: Path, url: str, *, argument: str) -> None:
    """Writes the file to the URL. Until it is there as a whole, a reader sees the old object, or none.

    Raises DataError if it cannot be written.
    """
    with _failures(url, argument):
        import obstore

        store, key = _opened(url, argument)
        # In parts where it is large: the store makes an object of them when the last one is there.
        obstore.put(store, key, path, chunk_size=_CHUNK_BYTES)


def check_reachable(url: str, *, argument: str) -> None:
    """Raises DataError if there is no such bucket, or no answer: now, and not after hours of work.

    Whether it may be written shows only when it is: credentials may well allow that and nothing else.
    """
    with _failures(url, argument):
        import obstore
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        store, key = _opened(url, argument)
        if not key or key.endswith("/"):
            remedy = "Give the name of a file below it."
            raise DataError(f"{argument}: expected a file's address, got {without_secrets(url)!r}. {remedy}")
        try:
            obstore.list(store, prefix=f"{key}/", chunk_size=1).collect()
        except (PermissionDeniedError, UnauthenticatedError) as error:
            if "InvalidAccessKeyId" in str(error) or "SignatureDoesNotMatch" in str(error):
                raise


def _opened(url: str, argument: str) -> tuple[ObjectStore, str]:
    """The bucket, and the key within it."""
    from obstore.store import from_url

    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        remedy = f"Give a path, or a URL that begins with {', '.join(f'{known}://' for known in SCHEMES[:4])}."
        raise DataError(f"{argument}: expected a path or an object store, got {without_secrets(url)!r}. {remedy}")
    bucket, _, key = rest.partition("/")
    return from_url(f"{scheme}://{bucket}", retry_config={"max_retries": _RETRIES}), key


def _download(store: ObjectStore, key: str, target: Path) -> Path:
    import obstore

    with target.open("wb") as file:
        for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK_BYTES):
            file.write(chunk)
    return target


@contextmanager
def _failures(url: str, argument: str) -> Iterator[None]:
    """Turns the library's errors into DataErrors that name the address without its secrets."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "obstore":
            raise
        raise DataError(
            f"{argument}: expected the Python package obstore for {without_secrets(url)!r}, got none. "
            f"Run {install_command('obstore')}."
        ) from error
    except Exception as error:  # what obstore raises is recognised by its module; all else is raised as it is
        if not (isinstance(error, FileNotFoundError) or type(error).__module__.startswith("obstore")):
            raise
        has_no_bucket = "NoSuchBucket" in str(error)
        if has_no_bucket or isinstance(error, FileNotFoundError):
            expected = "a bucket that exists" if has_no_bucket else "a file"
            got = f"none at {without_secrets(url)!r}"
            raise DataError(f"{argument}: expected {expected}, got {got}. {_CHECK}") from cause_without_secrets(
                error, addresses=[url]
            )
        cause = redact(str(error), addresses=[url]).partition("\n")[0].rstrip(".: ")
        if "invalid path" in cause:
            expected = "objects whose names have no empty or special parts"
            raise DataError(
                f"{argument}: expected {expected}, got another at {without_secrets(url)!r} ({cause}). Rename it, or "
                "give a folder without it."
            ) from cause_without_secrets(error, addresses=[url])
        raise DataError(
            f"{argument}: expected an object store that answers, got an error at {without_secrets(url)!r} ({cause}). "
            f"{_CHECK}"
        ) from cause_without_secrets(error, addresses=[url])
