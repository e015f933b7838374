"""Names and files of models -> loaded models, one copy a process.

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
from sklearn_elmo.downloads import REGISTRY, fetch
from sklearn_elmo.errors import (
    InvalidParameterError,
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
    "open_model",
    "resolve_device",
]

DEFAULT_MODEL = "default"
DEVICE_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

_DEFAULT_FOLDER = Path(__file__).parent / "default_model"

# Models kept while no estimator is at work, so that the next clone of a search finds
# them loaded.
_MOST_MODELS = 3


def list_models() -> list[str]:
    """Return the names of all models that can be asked for by name.

    Those of AllenNLP have to be fetched once; see `describe`.

    Examples
    --------
    >>> from sklearn_elmo import models
    >>> "default" in models.list_models()
    True
    """
    names = [DEFAULT_MODEL, *REGISTRY, *downloads.local_names()]
    return list(dict.fromkeys(names))


def describe(name_or_path: ModelSource) -> dict[str, Any]:
    """Say what a model is, without loading it.

    Parameters
    ----------
    name_or_path : str, path or pair of paths
        As the ``model`` parameter of `ElmoVectorizer`.

    Returns
    -------
    dict
        ``name``, ``source`` (where its files are, None if it has not been fetched) and,
        where they are known: ``n_layers`` (LSTM layers, without layer 0), ``width``
        (of a layer, D), ``n_parameters``, ``bytes``, ``options``, ``description``,
        ``languages``, ``credits``.

    Raises
    ------
    ModelFileError
        If there is no such name or path, or the files cannot be read.
    """
    description: dict[str, Any] = {"name": str(name_or_path), "source": None}
    entry = REGISTRY.get(name_or_path) if isinstance(name_or_path, str) else None
    if entry is not None:
        description |= {
            "description": entry.description,
            "languages": list(entry.languages),
            "credits": entry.credits,
            "n_parameters": entry.n_parameters,
            "width": entry.width,
        }
        if downloads.fetched_folder(entry.name) is None:
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
        "bytes": sum(path.stat().st_size for path in paths),
        "options": options.to_dict(),
    }


def load(name_or_path: ModelSource = DEFAULT_MODEL, device: str = "cpu") -> "BiLm":
    """Load a model as a PyTorch module of the caller's own.

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
    return hasattr(value, "_elmo_model_files")


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


def resolve_device(device: str) -> str:
    """Turn ``"auto"`` into a device, and check that a named one is there.

    Raises
    ------
    InvalidParameterError
        If PyTorch does not see the device.
    """
    import torch

    if not DEVICE_NAME.fullmatch(device):
        message = (
            "The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'. "
            f"Got {device!r} instead."
        )
        raise InvalidParameterError(message)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[kind]
    if int(number or 0) >= count:
        message = (
            f"The 'device' parameter is {device!r}, but PyTorch sees {count} devices "
            f"of the kind {kind!r} here. Use device='auto'."
        )
        raise InvalidParameterError(message)
    return device


def locate(name_or_path: ModelSource) -> ModelSource:
    """Turn a name into the folder where its files are; leave paths as they are.

    Raises
    ------
    ModelFileError, ModelNotFetchedError
        As `load`.
    """
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


def _identify(path: Path) -> tuple[str, int, int, int, int]:
    """Return what changes when a file is replaced."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    # Size and time alone can be kept by a copy; the time of change can't.
    return (
        str(path.resolve()),
        status.st_size,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _forget_models() -> None:
    """Begin anew in a forked child.

    Encoders on accelerators do not survive a fork, and another thread may have held a
    lock at that moment.
    """
    global _models_lock
    _models.clear()
    _models_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_models)
