"""ELMo word and sentence vectors as scikit-learn transformers.

Names are imported on first use, so that ``import sklearn_elmo`` costs next to nothing:
scikit-learn comes with the first estimator, PyTorch with the first text.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_elmo import models
    from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer
    from sklearn_elmo.vectorizer import ElmoVectorizer

__all__ = ["ElmoTokenVectorizer", "ElmoVectorizer", "models"]

__version__ = "0.1.0"

_HOMES = {
    "ElmoTokenVectorizer": "sklearn_elmo.token_vectorizer",
    "ElmoVectorizer": "sklearn_elmo.vectorizer",
}
_MODULES = {"models"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"sklearn_elmo.{name}")
    message = f"module 'sklearn_elmo' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
