"""Errors and warnings of the package.

Each error is also the built-in exception that a caller would catch without
knowing this package.
"""

__all__ = [
    "CacheWarning",
    "CorpusError",
    "DownloadError",
    "InvalidParameterError",
    "ModelFileError",
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
    """A parameter of an estimator has a value that it cannot have."""


class TextValueError(SklearnElmoError, ValueError):
    """The texts have the right types, but cannot be used as they are."""


class TextTypeError(SklearnElmoError, TypeError):
    """An element of the input is no text."""


class ModelFileError(SklearnElmoError, ValueError):
    """Options or weights are damaged, do not fit together, or are no ELMo."""


class ModelNotFetchedError(SklearnElmoError, FileNotFoundError):
    """A model of the registry has not been downloaded yet."""


class ModelMismatchError(SklearnElmoError, ValueError):
    """The weights under a name are not those that an estimator was fitted with."""


class DownloadError(SklearnElmoError, OSError):
    """A model could not be downloaded, or what came is not what was promised."""


class StoreError(SklearnElmoError, OSError):
    """The embedding store was asked for something that it cannot do."""


class CorpusError(SklearnElmoError, ValueError):
    """Text to train on is empty, binary or otherwise unusable."""


class TrainingError(SklearnElmoError, RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


class OutputFileError(SklearnElmoError, OSError):
    """A result cannot be written where it was asked for."""


class SklearnElmoWarning(UserWarning):
    """Base of every warning of this package."""


class CacheWarning(SklearnElmoWarning):
    """The cache could not be used; the numbers are right all the same."""


class UnusedParameterWarning(SklearnElmoWarning):
    """A parameter has no effect together with another."""
