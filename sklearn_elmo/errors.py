"""Errors and warnings of the package.

Each error is also the built-in exception that a caller would catch without
knowing this package.
"""

__all__ = [
    "CacheWarning",
    "CorpusError",
    "CorpusNotFoundError",
    "CorpusTypeError",
    "DownloadError",
    "InvalidParameterError",
    "LongTokenWarning",
    "MissingPackageError",
    "ModelFileError",
    "ModelFileNotFoundError",
    "ModelMismatchError",
    "ModelNotFetchedError",
    "OutputFileError",
    "SklearnElmoError",
    "SklearnElmoWarning",
    "StoreError",
    "TextTypeError",
    "TextValueError",
    "TrainingError",
    "UnusedParameterWarning",
]


class SklearnElmoError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidParameterError(SklearnElmoError, ValueError, TypeError):
    """A parameter of an estimator has a value that is not allowed."""


class TextValueError(SklearnElmoError, ValueError):
    """The texts have the right types, but cannot be used as they are."""


class TextTypeError(SklearnElmoError, TypeError):
    """An element of the input is not a string (or a list of tokens)."""


class ModelFileError(SklearnElmoError, ValueError):
    """Options or weights are damaged, do not fit together, or are not an ELMo."""


class ModelFileNotFoundError(ModelFileError, FileNotFoundError):
    """There is no model, or no file of a model, under a name or path."""


class ModelNotFetchedError(SklearnElmoError, FileNotFoundError):
    """A model of the registry has not been downloaded yet."""


class ModelMismatchError(SklearnElmoError, ValueError):
    """The weights of a model have changed since the estimator was fitted."""


class DownloadError(SklearnElmoError, OSError):
    """A model could not be downloaded, or its content does not match its hash."""


class StoreError(SklearnElmoError, OSError):
    """The embedding store cannot do what was asked."""


class CorpusError(SklearnElmoError, ValueError):
    """The training text is empty, binary or otherwise unusable."""


class CorpusTypeError(CorpusError, TextTypeError):
    """The training text contains something that is not a text."""


class CorpusNotFoundError(CorpusError, FileNotFoundError):
    """A file or folder with training text does not exist."""


class TrainingError(SklearnElmoError, RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


class OutputFileError(SklearnElmoError, OSError):
    """A result cannot be written to the given path."""


class MissingPackageError(SklearnElmoError, ImportError):
    """A feature needs a package that is not installed."""


class SklearnElmoWarning(UserWarning):
    """Base of every warning of this package."""


class CacheWarning(SklearnElmoWarning):
    """The cache could not be used; the results are correct, but were not cached."""


class UnusedParameterWarning(SklearnElmoWarning):
    """A parameter has no effect together with another."""


class LongTokenWarning(SklearnElmoWarning):
    """A token is longer than the bytes that the model reads of it."""
