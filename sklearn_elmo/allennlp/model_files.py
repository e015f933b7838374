"""From what old code passes as options and weights to files on this machine."""

import os

from sklearn_elmo.bilm.weights import ModelFiles, read_model
from sklearn_elmo.downloads import REGISTRY, fetch_url, is_url
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.models import DEFAULT_MODEL, locate

__all__ = ["DEFAULT_OPTIONS_FILE", "DEFAULT_WEIGHT_FILE", "FileName", "read_files"]

FileName = str | os.PathLike[str]

DEFAULT_OPTIONS_FILE = REGISTRY["original"].options.urls[0]
"""AllenNLP's default, for code that imports the name; ours is the model in the box."""
DEFAULT_WEIGHT_FILE = REGISTRY["original"].weights.urls[0]


def read_files(
    options_file: FileName | None, weight_file: FileName | None
) -> ModelFiles:
    """Read the model that a pair of arguments stands for.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        Both None is the model in the box. With `weight_file` None, `options_file` may
        be the name of a registered model, a folder or a zip file. A URL is fetched
        once into the user's cache folder: whoever passes one has asked for it.

    Raises
    ------
    InvalidParameterError
        Only weights were given.
    DownloadError
        A URL could not be fetched.
    ModelFileError
        The files are damaged or no ELMo.
    """
    if options_file is None and weight_file is None:
        return read_model(locate(DEFAULT_MODEL))
    if options_file is None:
        message = (
            f"The weight file {weight_file!r} was given without an options file; give "
            "both, or neither for the model in the box."
        )
        raise InvalidParameterError(message)
    if weight_file is None:
        return read_model(locate(_local(options_file)))
    return read_model((_local(options_file), _local(weight_file)))


def _local(file: FileName) -> FileName:
    return fetch_url(os.fspath(file)) if is_url(file) else file
