"""ELMo word and sentence vectors as scikit-learn transformers.

Names are imported on first use, so that ``import sklearn_elmo`` costs next to nothing:
scikit-learn comes with the first estimator, PyTorch with the first text.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_elmo import models
    from sklearn_elmo.allennlp.elmo import Elmo
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.indexers import batch_to_ids
    from sklearn_elmo.allennlp.scalar_mix import ScalarMix
    from sklearn_elmo.allennlp.token_embedder import ElmoTokenEmbedder
    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
    from sklearn_elmo.store import EmbeddingStore
    from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer
    from sklearn_elmo.vectorizer import ElmoVectorizer
    from sklearn_elmo.word_vectors import WordVectorVectorizer

__all__ = [
    "Elmo",
    "ElmoEmbedder",
    "ElmoPretrainer",
    "ElmoTokenEmbedder",
    "ElmoTokenVectorizer",
    "ElmoVectorizer",
    "EmbeddingStore",
    "ScalarMix",
    "WordVectorVectorizer",
    "batch_to_ids",
    "models",
]

__version__ = "0.1.0"

_HOMES = {
    "Elmo": "sklearn_elmo.allennlp.elmo",
    "ElmoEmbedder": "sklearn_elmo.allennlp.embedder",
    "ElmoPretrainer": "sklearn_elmo.pretraining.pretrainer",
    "ElmoTokenEmbedder": "sklearn_elmo.allennlp.token_embedder",
    "ElmoTokenVectorizer": "sklearn_elmo.token_vectorizer",
    "ElmoVectorizer": "sklearn_elmo.vectorizer",
    "EmbeddingStore": "sklearn_elmo.store",
    "ScalarMix": "sklearn_elmo.allennlp.scalar_mix",
    "WordVectorVectorizer": "sklearn_elmo.word_vectors",
    "batch_to_ids": "sklearn_elmo.allennlp.indexers",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "models":
        return importlib.import_module("sklearn_elmo.models")
    message = f"module 'sklearn_elmo' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
