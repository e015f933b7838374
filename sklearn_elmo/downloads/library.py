"""The user's folder of downloaded models, and everything that adds to it."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import platformdirs

from sklearn_elmo.downloads import hashes
from sklearn_elmo.downloads.address import candidate_urls, canonical_url, is_url
from sklearn_elmo.downloads.hashes import Fingerprint
from sklearn_elmo.downloads.registry import (
    OPTIONS_FILE_NAME,
    REGISTRY,
    WEIGHTS_FILE_NAME,
    ModelEntry,
    RemoteFile,
)
from sklearn_elmo.errors import (
    DownloadError,
    InvalidParameterError,
    ModelFileError,
    ModelFileNotFoundError,
    ModelNotFetchedError,
)
from sklearn_elmo.messages import quote
from sklearn_elmo.plain_files import open_plain_file, parse_json

if TYPE_CHECKING:
    from sklearn_elmo.downloads.transfer import TransferSettings

HOME_VARIABLE = "SKLEARN_ELMO_HOME"
DOWNLOAD_VARIABLE = "SKLEARN_ELMO_DOWNLOAD"

_MODEL_FILE_NAMES = (OPTIONS_FILE_NAME, WEIGHTS_FILE_NAME)
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_COPY_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_LOCAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def home_folder() -> Path:
    """Return the folder of downloaded files.

    It is ``SKLEARN_ELMO_HOME`` if that is set, otherwise the user's cache folder of
    this operating system. It may not exist.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))
    return Path(platformdirs.user_cache_dir("sklearn_elmo"))


def download_allowed() -> bool:
    """Return True if ``SKLEARN_ELMO_DOWNLOAD=1`` allows `fit` to fetch a model."""
    return os.environ.get(DOWNLOAD_VARIABLE, "").lower() in ("1", "true", "yes")


def fetched_folder(name: str) -> Path | None:
    """Return the folder of a fetched or imported model, or None.

    Only the list of files is read, so this is fast.

    Parameters
    ----------
    name : str
        Name in `REGISTRY`, or one given to `import_model`.
    """
    if not _LOCAL_NAME.fullmatch(name):
        return None
    folder = home_folder() / "models" / name
    if all((folder / file_name).is_file() for file_name in _MODEL_FILE_NAMES):
        return folder
    return None


def local_names() -> list[str]:
    """Return the sorted names of all fetched or imported models."""
    models = home_folder() / "models"
    if not models.is_dir():
        return []
    return sorted(
        folder.name for folder in models.iterdir() if fetched_folder(folder.name)
    )


def model_folder(name: str) -> Path:
    """Return the folder of a registered model; fetch it only if that is allowed.

    Raises
    ------
    ModelNotFetchedError
        It has not been fetched, and ``SKLEARN_ELMO_DOWNLOAD`` is not 1.
    """
    folder = fetched_folder(name)
    if folder is not None:
        return folder
    _entry(name)
    if download_allowed():
        return fetch(name)
    message = (
        f"The model {name!r} has not been fetched to {home_folder()}. Fetch it once "
        f"with 'sklearn-elmo models fetch {name}' (or models.fetch({name!r})), or set "
        f"{DOWNLOAD_VARIABLE}=1 to fetch it when it is first needed."
    )
    raise ModelNotFetchedError(message)


def fetch(
    name: str,
    *,
    progress: bool = False,
    sha256: Mapping[str, str] | None = None,
    settings: "TransferSettings | None" = None,
) -> Path:
    """Fetch a registered model, unless it has been fetched before.

    Parameters
    ----------
    name : str
        Name in `REGISTRY`.
    progress : bool
        Show a progress bar on stderr.
    sha256 : mapping of file name to hexadecimal SHA-256, optional
        Pins ``"options.json"`` or ``"weights.hdf5"``: a file with another hash is
        refused, also if it was fetched before.
    settings : TransferSettings, optional
        Time-outs, attempts and limits.

    Returns
    -------
    Path
        Folder with ``options.json`` and ``weights.hdf5``.

    Raises
    ------
    DownloadError
        The download failed, or the file does not have the registered, pinned or
        recorded hash.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> models.fetch("original")  # doctest: +SKIP
    PosixPath('/home/anna/.cache/sklearn_elmo/models/original')
    """
    entry = _entry(name)
    pins = dict(sha256 or {})
    if unknown := set(pins) - set(_MODEL_FILE_NAMES):
        message = (
            f"The 'sha256' parameter of fetch names the file {min(unknown)!r}; "
            f"expected {' or '.join(_MODEL_FILE_NAMES)}."
        )
        raise InvalidParameterError(message)
    folder = home_folder() / "models" / name
    for file in entry.files:
        _obtain(
            file.urls,
            folder / file.name,
            size=file.size,
            sha256=pins.get(file.name, file.sha256),
            progress=progress,
            settings=settings,
        )
    return folder


def fetched_url(url: str) -> Path | None:
    """Return the local copy of a URL, or None if it has not been fetched."""
    path, _ = _place_of(url)
    return path if path.is_file() else None


def fetch_url(
    url: str,
    *,
    sha256: str | None = None,
    progress: bool = False,
    settings: "TransferSettings | None" = None,
) -> Path:
    """Fetch the file of a URL, unless it has been fetched before.

    If an address of AllenNLP's old how-to (``s3-us-west-2.amazonaws.com``) fails, the
    current one is tried. Both share the local copy with `fetch`.

    Parameters
    ----------
    url : str
        ``http``, ``https`` or ``s3``.
    sha256 : str, optional
        Hexadecimal SHA-256 that the file must have.
    progress, settings : optional
        As in `fetch`.

    Returns
    -------
    Path
        The local copy, with the suffix of the URL.
    """
    if not is_url(url):
        message = (
            f"The 'url' parameter of fetch_url must begin with http://, https:// or "
            f"s3://. Got {quote(url)} instead. Pass local files as they are."
        )
        raise InvalidParameterError(message)
    path, known = _place_of(url)
    _obtain(
        (url,),
        path,
        size=None if known is None else known.size,
        sha256=known.sha256 if sha256 is None and known is not None else sha256,
        progress=progress,
        settings=settings,
    )
    return path


def import_model(
    name: str, options_file: str | os.PathLike[str], weight_file: str | os.PathLike[str]
) -> Path:
    """Copy the two files of a model into the folder, for machines without a network.

    Parameters
    ----------
    name : str
        Name in `REGISTRY`, or a new one.
    options_file, weight_file : path
        Local files.

    Returns
    -------
    Path
        Folder of the copy; it appears complete or not at all.
    """
    is_good = isinstance(name, str) and _LOCAL_NAME.fullmatch(name)
    if not is_good or name == "default":
        message = (
            f"The 'name' parameter of import_model must be letters, digits, '.', '_' "
            f"and '-', and not 'default'. Got {quote(name)} instead."
        )
        raise InvalidParameterError(message)
    folder = home_folder() / "models" / name
    if folder.exists():
        message = (
            f"There is a model named {name!r} in {folder}. Choose another name, or "
            "delete that folder first."
        )
        raise DownloadError(message)
    sources = [Path(os.path.expanduser(f)) for f in (options_file, weight_file)]
    entry = REGISTRY.get(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as temporary:
        copy = Path(temporary) / name
        copy.mkdir()
        for source, file_name in zip(sources, _MODEL_FILE_NAMES, strict=True):
            _copy(source, copy / file_name)
            if complaint := _content_check(file_name)(copy / file_name):
                message = f"{source}: {complaint}. Nothing was imported."
                raise ModelFileError(message)
        for file in entry.files if entry else ():
            _compare(file, copy / file.name)
        copy.rename(folder)
    for file_name in _MODEL_FILE_NAMES:
        path = folder / file_name
        hashes.remember(home_folder(), _key(path), hashes.fingerprint(path))
    return folder


def verify(name: str) -> dict[str, Fingerprint]:
    """Compare the files of a fetched model with their recorded hashes.

    Returns
    -------
    dict of str to Fingerprint
        The hash found, by file name.

    Raises
    ------
    ModelNotFetchedError
        It has not been fetched.
    DownloadError
        A file has changed since it was fetched.
    """
    folder = fetched_folder(name)
    if folder is None:
        message = (
            f"There is no model {quote(name)} in {home_folder()}, only: "
            f"{', '.join(local_names()) or 'none'}. Fetch or import it first."
        )
        raise ModelNotFetchedError(message)
    found = {}
    known = hashes.read_known(home_folder())
    for file_name in _MODEL_FILE_NAMES:
        path = folder / file_name
        found[file_name] = hashes.fingerprint(path)
        if _key(path) in known:
            _refuse_other(path, found[file_name], known[_key(path)].sha256)
        else:
            hashes.remember(home_folder(), _key(path), found[file_name])
    return found


def _obtain(
    urls: tuple[str, ...],
    path: Path,
    *,
    size: int | None,
    sha256: str | None,
    progress: bool,
    settings: "TransferSettings | None",
) -> None:
    """Download a file unless it exists; raise if it has the wrong hash."""
    # Imported only here, because it imports much.
    from sklearn_elmo.downloads.transfer import download

    if sha256 is not None and not _is_sha256(sha256):
        message = (
            f"The 'sha256' parameter for {path.name} must be 64 hexadecimal digits. "
            f"Got {quote(sha256)} instead."
        )
        raise InvalidParameterError(message)
    home = home_folder()
    recorded = hashes.read_known(home).get(_key(path))
    if path.is_file():
        if sha256 is not None:
            # The record was made from this file: do not read 400 MB each time.
            same_length = recorded and recorded.size == path.stat().st_size
            found = recorded if same_length else None
            _refuse_other(path, found or hashes.fingerprint(path), sha256)
        return
    found = download(
        [candidate for url in urls for candidate in candidate_urls(url)],
        path,
        size=size,
        sha256=sha256 or (recorded.sha256 if recorded else None),
        check=_content_check(path.name),
        progress=progress,
        settings=settings,
    )
    if recorded != found:
        hashes.remember(home, _key(path), found)


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _key(path: Path) -> str:
    """Return the key of a file in the record of hashes: its path below the home."""
    return path.relative_to(home_folder()).as_posix()


def _place_of(url: str) -> tuple[Path, RemoteFile | None]:
    """Return the path of the local copy of a URL, and what is known about it."""
    canonical = canonical_url(url)
    for entry in REGISTRY.values():
        for file in entry.files:
            if canonical in file.urls:
                return home_folder() / "models" / entry.name / file.name, file
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    base_name = unquote(PurePosixPath(urlsplit(canonical).path).name)
    base_name = re.sub(r"[^A-Za-z0-9._-]", "_", base_name)[-80:] or "file"
    return home_folder() / "urls" / digest / base_name, None


def _entry(name: str) -> ModelEntry:
    try:
        return REGISTRY[name]
    except KeyError as error:
        message = (
            f"There is no model {quote(name)} to fetch, only "
            f"{', '.join(REGISTRY)}. Other models are used by their path."
        )
        raise InvalidParameterError(message) from error


def _copy(source: Path, target: Path) -> None:
    try:
        with open_plain_file(source) as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _COPY_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = (
            f"{quote(str(source))} cannot be copied ({reason}). Nothing was imported; "
            "give the paths of an options file and a weight file."
        )
        if isinstance(error, FileNotFoundError):
            raise ModelFileNotFoundError(message) from error
        raise ModelFileError(message) from error


def _compare(file: RemoteFile, path: Path) -> None:
    """Raise if an imported file is not the registered one."""
    if file.size is not None and path.stat().st_size != file.size:
        message = (
            f"{path.name} has {path.stat().st_size} bytes; the registered file has "
            f"{file.size}. Import it under another name."
        )
        raise ModelFileError(message)
    if file.sha256 is not None:
        _refuse_other(path, hashes.fingerprint(path), file.sha256)


def _refuse_other(path: Path, found: Fingerprint, sha256: str) -> None:
    if found.sha256 != sha256.lower():
        message = (
            f"{path} has the SHA-256 {found.sha256}, expected {sha256.lower()}. "
            "Delete the file to fetch it again, or correct the hash."
        )
        raise DownloadError(message)


def _content_check(file_name: str) -> Callable[[Path], str | None]:
    """Return a check of the content for the suffix of a file.

    If no hash is known, it prevents a log-in page that is served with status 200 from
    being kept as a model.
    """

    def begins_with(magic: bytes, kind: str) -> Callable[[Path], str | None]:
        def check(path: Path) -> str | None:
            with path.open("rb") as file:
                start = file.read(40)
            return None if start.startswith(magic) else f"not a {kind} ({start!r})"

        return check

    def is_json(path: Path) -> str | None:
        try:
            parse_json(path.read_bytes())
        except ValueError as error:
            return f"not a JSON file ({error})"
        return None

    match PurePosixPath(file_name).suffix.lower():
        case ".hdf5" | ".h5":
            return begins_with(_HDF5_MAGIC, "HDF5 file")
        case ".gz":
            return begins_with(_GZIP_MAGIC, "gzip file")
        case ".zip":
            return begins_with(_ZIP_MAGIC, "zip file")
        case ".json":
            return is_json
        case _:
            return lambda _: None
