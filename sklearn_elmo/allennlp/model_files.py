"""Model files as old code names them: paths, URLs, registered names or nothing."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy

from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.locations import ModelSource, find_files
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.bilm.weight_file import open_weight_file
from sklearn_elmo.bilm.weights import ModelFiles, read_model
from sklearn_elmo.downloads import REGISTRY, fetch_url, is_url
from sklearn_elmo.errors import InvalidParameterError, ModelFileError
from sklearn_elmo.models import DEFAULT_MODEL, locate
from sklearn_elmo.plain_files import open_plain_file

__all__ = [
    "DEFAULT_OPTIONS_FILE",
    "DEFAULT_WEIGHT_FILE",
    "FileName",
    "cached_path",
    "default_pair",
    "parameters_of",
    "read_files",
    "read_lstm_parameters",
    "weight_path",
]

FileName = str | os.PathLike[str]

DEFAULT_OPTIONS_FILE = REGISTRY["original"].options.urls[0]
"""AllenNLP's default, for code that imports the name; ours is the bundled model."""
DEFAULT_WEIGHT_FILE = REGISTRY["original"].weights.urls[0]

_ORIGINAL_OPTIONS = Path(__file__).with_name("original_options.json")


def read_files(
    options_file: FileName | None, weight_file: FileName | None
) -> ModelFiles:
    """Read the model that a pair of arguments names.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        Both None is the bundled model. If `weight_file` is None, `options_file` may be
        the name of a registered model, a folder or a zip file. A URL is downloaded
        once into the user's cache folder: passing one is asking for it.

    Raises
    ------
    InvalidParameterError
        If only weights are given.
    DownloadError
        If a URL cannot be downloaded.
    ModelFileError
        If the files are missing, damaged or not an ELMo.
    """
    return read_model(_locate(options_file, weight_file))


def default_pair(
    options_file: FileName | None, weight_file: FileName | None
) -> tuple[FileName | None, FileName | None]:
    """Complete a pair of arguments with the other file of the original model.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        An `options_file` that names a whole model (a registered
        name, a folder or a zip file) needs no weights.

    Raises
    ------
    ModelNotFetchedError
        If the original weights are needed and have not been fetched.
    """
    if (options_file is None) == (weight_file is None):
        return options_file, weight_file
    if options_file is not None and not os.fspath(options_file).endswith(".json"):
        return options_file, None
    if options_file is None:
        return _ORIGINAL_OPTIONS, weight_file
    return options_file, find_files(locate("original"))[1]


def weight_path(options_file: FileName | None, weight_file: FileName | None) -> str:
    """Return the path of the weights in a model's arguments.

    Raises
    ------
    InvalidParameterError
        If the weights are inside a zip file.
    """
    if weight_file is not None:
        return os.fspath(weight_file)
    paths = find_files(_locate(options_file, weight_file))
    if len(paths) == 1:
        message = f"The weights are inside {str(paths[0])!r}. Unpack it first."
        raise InvalidParameterError(message)
    return str(paths[1])


def parameters_of(files: ModelFiles, part: str = "") -> Mapping[str, Tensor]:
    """Return the parameters of a model, or those whose names start with `part`."""
    layout = WeightLayout.of(files.options, files.arrays)
    return {
        name.removeprefix(part): from_numpy(array)
        for name, array in layout.to_parameters(files.arrays).items()
        if name.startswith(part)
    }


def read_lstm_parameters(
    weight_file: FileName, options: BiLmOptions
) -> Mapping[str, Tensor]:
    """Read the parameters of a model's LSTM layers alone.

    Parameters
    ----------
    weight_file : path or URL
    options : BiLmOptions
        Only the options of the LSTM are read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged or has other sizes.
    """
    # The smallest character CNN in place of the model's, filled with zeros.
    options = replace(options, char_dim=1, filters=((1, 1),), n_highway=0)
    shapes = WeightLayout(options).shapes()
    wanted = {name: shapes[name] for name in shapes if name.startswith("RNN_")}
    path = Path(cached_path(weight_file))
    with (
        open_plain_file(path) as stream,
        open_weight_file(stream, str(path)) as file,
    ):
        missing = [name for name in wanted if name not in file]
        if missing:
            message = (
                f"The weight file {str(path)!r} has no data set {missing[0]!r}. Build "
                "an ElmoLstm with as many layers as the file has."
            )
            raise ModelFileError(message)
        stored = file.read(wanted)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    arrays |= {name: array.astype(np.float32) for name, array in stored.items()}
    return parameters_of(ModelFiles(options, arrays, "", str(path)), "_elmo_lstm.")


def cached_path(
    url_or_filename: FileName, cache_dir: str | os.PathLike[str] | None = None
) -> str:
    """Return the path of a file, after downloading it if it is a URL.

    Parameters
    ----------
    url_or_filename : path or URL
        ``~`` is expanded.
    cache_dir : path, optional
        Only None is supported: downloads go to this package's cache folder, which the
        environment variable ``SKLEARN_ELMO_HOME`` sets.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DownloadError
        If a URL cannot be downloaded.
    """
    if cache_dir is not None:
        message = (
            f"The 'cache_dir' parameter of cached_path must be None. Got {cache_dir!r} "
            "instead. Set the environment variable SKLEARN_ELMO_HOME."
        )
        raise InvalidParameterError(message)
    if is_url(url_or_filename):
        return str(fetch_url(os.fspath(url_or_filename)))
    path = os.path.expanduser(os.fspath(url_or_filename))
    if not os.path.exists(path):
        message = f"There is no file {path!r}. Check the path."
        raise FileNotFoundError(message)
    return path


def _locate(options_file: FileName | None, weight_file: FileName | None) -> ModelSource:
    if options_file is None and weight_file is None:
        return locate(DEFAULT_MODEL)
    if options_file is None:
        message = (
            f"The weight file {weight_file!r} was given without an options file. Pass "
            "both, or neither for the bundled model."
        )
        raise InvalidParameterError(message)
    if weight_file is None:
        return locate(options_file)
    return locate((options_file, weight_file))
