"""From names and files of models to loaded models, one copy per process.

Nothing here downloads unless `fetch` is called, or the environment variable
``SKLEARN_ELMO_DOWNLOAD`` is 1.
"""

import math
import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sklearn_elmo import downloads
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.locations import ModelSource, expand_path, find_files, unreadable
from sklearn_elmo.bilm.weights import ModelFiles, read_model, read_options
from sklearn_elmo.downloads import REGISTRY, ModelEntry, RemoteFile, fetch
from sklearn_elmo.downloads.hashes import Fingerprint, fingerprint
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelFileError,
    ModelFileNotFoundError,
    ModelMismatchError,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from sklearn_elmo.bilm.model import BiLm
    from sklearn_elmo.inference.encoder import Encoder
    from sklearn_elmo.inference.precision import Precision

__all__ = [
    "DEFAULT_MODEL",
    "DEVICE_NAME",
    "LoadedModel",
    "TrainedModel",
    "describe",
    "fetch",
    "is_trained_model",
    "list_models",
    "load",
    "locate",
    "not_finite",
    "open_model",
    "resolve_device",
    "verify",
]

DEFAULT_MODEL = "default"
DEVICE_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

_DEFAULT_FOLDER = Path(__file__).parent / "default_model"
_BUNDLED = ModelEntry(
    name=DEFAULT_MODEL,
    description="English, bundled; Wikipedia, books, news; LSTM 512/256, 1 highway",
    options=RemoteFile(
        "options.json",
        urls=(),
        size=588,
        sha256="9b567afaa9acfbe0a50ff4a281a041f70a1ca7e0aa3594ba62beeb3f8dc33202",
    ),
    weights=RemoteFile(
        "weights.hdf5",
        urls=(),
        size=14_523_100,
        sha256="cc4004262982bd143ded5c25a5a577031bcaec70d7459805c95f5e20406fe036",
    ),
    languages=("en",),
    credits="The sklearn_elmo developers, BSD-3-Clause. Trained on openly licensed "
    "text, and with sentence vectors of all-MiniLM-L6-v2 and all-mpnet-base-v2 as "
    "targets; sources in MODEL_CARD.md beside the weights.",
    n_parameters=7_176_016,
    width=512,
)

# Models kept while no estimator uses them, so that the next clone in a search finds
# its model loaded.
_MOST_MODELS = 3


def list_models() -> list[str]:
    """Return the names that `model` parameters accept.

    AllenNLP's models have to be fetched once; see `describe`.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> "default" in models.list_models()
    True
    """
    names = [DEFAULT_MODEL, *REGISTRY, *downloads.local_names()]
    return list(dict.fromkeys(names))


def describe(name_or_path: ModelSource) -> dict[str, Any]:
    """Describe a model without loading it.

    Parameters
    ----------
    name_or_path : str, path or pair of paths
        As the ``model`` parameter of `ElmoVectorizer`.

    Returns
    -------
    dict
        ``name``, ``source`` (the folder or zip file; None if it has not been fetched)
        and, if they are known: ``n_layers`` (LSTM layers, without layer 0), ``width``
        (of a layer, D), ``n_parameters``, ``bytes``, ``options``, ``description``,
        ``languages``, ``credits`` (authors and licence), ``sha256`` (of each file, as
        recorded in the package; see `verify`).

    Raises
    ------
    ModelFileError
        If there is no such name or path, or the files cannot be read.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> description = models.describe("default")
    >>> description["languages"], description["width"], description["n_layers"]
    (['en'], 512, 2)
    """
    description: dict[str, Any] = {"name": str(name_or_path), "source": None}
    entry = _known_entry(name_or_path)
    if entry is not None:
        description |= {
            "description": entry.description,
            "languages": list(entry.languages),
            "credits": entry.credits,
            "n_parameters": entry.n_parameters,
            "width": entry.width,
        }
        if hashes := {file.name: file.sha256 for file in entry.files if file.sha256}:
            description["sha256"] = hashes
        if entry is not _BUNDLED and downloads.fetched_folder(entry.name) is None:
            return description
    location = locate(name_or_path)
    paths = find_files(location)
    options = read_options(location)
    shapes = WeightLayout(options).shapes().values()
    return description | {
        "source": str(paths[-1].parent if len(paths) == 2 else paths[0]),
        "n_layers": options.n_layers,
        "width": options.output_dim,
        "n_parameters": sum(math.prod(shape) for shape in shapes),
        "bytes": sum(_status(path).st_size for path in paths),
        "options": options.to_dict(),
    }


def verify(name: str) -> dict[str, Fingerprint]:
    """Check that a model's files are unchanged.

    The hashes of the bundled model are recorded in the package, and those of a fetched
    or imported model when it arrived.

    Parameters
    ----------
    name : str
        ``"default"``, or the name of a fetched or imported model.

    Returns
    -------
    dict of str to Fingerprint
        ``sha256`` and ``size`` of each file.

    Raises
    ------
    ModelFileError, DownloadError
        If a file has changed.
    ModelNotFetchedError
        If there is no such model.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> sorted(models.verify("default"))
    ['options.json', 'weights.hdf5']
    """
    if name != DEFAULT_MODEL:
        return downloads.verify(name)
    return {file.name: _verify_bundled(file) for file in _BUNDLED.files}


def _verify_bundled(file: RemoteFile) -> Fingerprint:
    path = _DEFAULT_FOLDER / file.name
    try:
        found = fingerprint(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found.sha256 != file.sha256:
        message = (
            f"The file {str(path)!r} of the bundled model has the SHA-256 "
            f"{found.sha256}; expected {file.sha256}. Install sklearn-elmo again."
        )
        raise ModelFileError(message)
    return found


def _known_entry(name_or_path: ModelSource) -> ModelEntry | None:
    if name_or_path == DEFAULT_MODEL:
        return _BUNDLED
    return REGISTRY.get(name_or_path) if isinstance(name_or_path, str) else None


def load(name_or_path: ModelSource = DEFAULT_MODEL, device: str = "cpu") -> "BiLm":
    """Load a new copy of a model as a PyTorch module.

    Parameters
    ----------
    name_or_path : str, path or pair of paths
        As the ``model`` parameter of `ElmoVectorizer`.
    device : str
        As the ``device`` parameter of `ElmoVectorizer`.

    Returns
    -------
    BiLm
        In evaluation mode; float32.

    Raises
    ------
    ModelFileError
        If there is no such name or path, or the files are damaged or do not fit.
    ModelNotFetchedError
        If a model of the registry has not been fetched.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> models.load("default").options.output_dim
    512
    """
    from sklearn_elmo.bilm.model import BiLm

    files = read_model(locate(name_or_path))
    model = BiLm.from_arrays(files.options, files.arrays).eval()
    return model.to(resolve_device(device))


class TrainedModel(Protocol):
    """An object with a model in memory, such as a fitted `ElmoPretrainer`."""

    def _elmo_model_digest(self) -> str:
        """Return `ModelFiles.digest`; raise NotFittedError if there is no model."""
        ...

    def _elmo_model_files(self) -> ModelFiles:
        """Return the model as if read from files."""
        ...


def is_trained_model(value: object) -> "TypeIs[TrainedModel]":
    """Return True for a `TrainedModel`, also in scikit-learn's `FrozenEstimator`."""
    return hasattr(value, "_elmo_model_files") and not isinstance(value, type)


class LoadedModel:
    """A model whose files have been read, shared by all objects of a process.

    Attributes
    ----------
    options : BiLmOptions
    digest : str
        As `ModelFiles.digest`.
    source : str
        Where it was read from.
    """

    def __init__(self, location: ModelSource | TrainedModel) -> None:
        files = _read(location)
        self.options = files.options
        self.digest = files.digest
        self.source = files.source
        self._location = location
        # Kept for the first encoder, so that it need not read the files again.
        self._files: ModelFiles | None = files
        self._lock = threading.Lock()
        self._encoders: dict[tuple[str, str], Encoder] = {}

    def encoder(self, device: str, precision: "Precision") -> "Encoder":
        """Return the one encoder of this device and precision.

        Parameters
        ----------
        device : str
            As `resolve_device` returns it.
        precision : {"float32", "bfloat16", "int8"}
        """
        from sklearn_elmo.inference.encoder import Encoder
        from sklearn_elmo.parallel import run_on_one_core

        with self._lock:
            key = (device, precision)
            if key not in self._encoders:
                self._encoders[key] = run_on_one_core(
                    lambda: Encoder(self._bilm().to(device), precision)
                )
                self._files = None
            return self._encoders[key]

    def _bilm(self) -> "BiLm":
        from sklearn_elmo.bilm.model import BiLm

        files = self._files or _read(self._location)
        if files.digest != self.digest:
            message = (
                f"The files of the model {self.source!r} have changed since they were "
                "first read. Fit again."
            )
            raise ModelMismatchError(message)
        return BiLm.from_arrays(files.options, files.arrays).eval()


_models: OrderedDict[object, LoadedModel] = OrderedDict()
_models_lock = threading.Lock()


def open_model(name_or_path: ModelSource | TrainedModel) -> LoadedModel:
    """Return the process's one copy of a model.

    A model whose files have changed since is read again.

    Parameters
    ----------
    name_or_path : str, path, pair of paths or TrainedModel
        As the ``model`` parameter of `ElmoVectorizer`.

    Raises
    ------
    ModelFileError, ModelNotFetchedError
        As `load`.
    NotFittedError
        If a TrainedModel has not been trained.
    """
    location: ModelSource | TrainedModel
    identity: object
    if is_trained_model(name_or_path):
        location, identity = name_or_path, name_or_path._elmo_model_digest()
    else:
        location = locate(name_or_path)
        identity = tuple(_identify(path) for path in find_files(location))
    with _models_lock:
        if identity not in _models:
            _models[identity] = LoadedModel(location)
            while len(_models) > _MOST_MODELS:
                _models.popitem(last=False)
        _models.move_to_end(identity)
        return _models[identity]


def _read(location: ModelSource | TrainedModel) -> ModelFiles:
    if is_trained_model(location):
        return location._elmo_model_files()
    return read_model(location)


def not_finite(model: str, text: str) -> ModelFileError:
    """Return the error to raise where finite weights give vectors that are not.

    Parameters
    ----------
    model : str
        Name or path of the model.
    text : str
        What was read, for the message.
    """
    message = (
        f"The model {model!r} has weights so large that the vectors of {text} are not "
        "finite. Check its weight file, or use another model."
    )
    return ModelFileError(message)


def resolve_device(device: str) -> str:
    """Return the device to use, and check that PyTorch has it.

    Raises
    ------
    InvalidParameterError
        If PyTorch does not see the device.
    """
    if not DEVICE_NAME.fullmatch(device):
        message = (
            "The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'. "
            f"Got {device!r} instead."
        )
        raise InvalidParameterError(message)
    if device == "cpu":
        return device

    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    count = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[kind]
    if int(number or 0) >= count:
        message = (
            f"The 'device' parameter is {device!r}, but PyTorch finds {count} devices "
            f"of type {kind!r}. Use device='auto'."
        )
        raise InvalidParameterError(message)
    return device


def locate(name_or_path: ModelSource) -> ModelSource:
    """Return the folder of a named model and local copies of URLs; keep other paths.

    A URL is downloaded once: passing one is asking for it.

    Raises
    ------
    ModelFileError, ModelNotFetchedError, DownloadError
        As `load`.
    """
    if isinstance(name_or_path, tuple | list):
        return tuple(map(_local_copy, name_or_path))
    if downloads.is_url(name_or_path):
        return _local_copy(name_or_path)
    if not isinstance(name_or_path, str):
        return name_or_path
    if name_or_path == DEFAULT_MODEL:
        return _DEFAULT_FOLDER
    if name_or_path in REGISTRY or downloads.fetched_folder(name_or_path):
        return downloads.model_folder(name_or_path)
    if not os.path.lexists(expand_path(name_or_path)):
        message = (
            f"There is no model {name_or_path[:200]!r}: it is neither the path of a "
            f"folder or zip file nor one of the names {', '.join(list_models())}."
        )
        raise ModelFileNotFoundError(message)
    return name_or_path


def _local_copy(file: str | os.PathLike[str]) -> str | os.PathLike[str]:
    return downloads.fetch_url(os.fspath(file)) if downloads.is_url(file) else file


def _identify(path: Path) -> tuple[str, int, int, int, int]:
    """Return values that change when a file is replaced."""
    status = _status(path)
    # A copy can keep the size and the time of modification, but not st_ctime_ns.
    return (
        str(path.resolve()),
        status.st_size,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _forget_models() -> None:
    """Start empty in a forked child process.

    Encoders on accelerators do not survive a fork, and another thread may have held
    the lock at that moment.
    """
    global _models_lock
    _models.clear()
    _models_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_models)
