"""ELMo word and sentence vectors as scikit-learn transformers.

Names are imported on first use, so ``import sklearn_elmo`` is cheap: scikit-learn is
imported with the first estimator, PyTorch with the first text.

Where things are, from the user's side inwards:

- ``vectorizer``, ``token_vectorizer``: the estimators. The module docstring of
  ``vectorizer`` lists the steps of ``fit_transform``. They build on ``base``
  (configuration, chunks of texts), ``text_transformer`` (input, names), ``parameters``
  (validation), ``pooling``, ``learned_mix`` and ``idf``.
- ``text``: containers of texts, tokenizers, sentences.
- ``engine``: token lists -> reduced layers, by the store or by the model.
- ``store``: the HDF5 cache on disk.
- ``bilm``: the readable model and its files. Two other forms compute the same numbers
  and are tested against it: ``inference`` (fast, what the estimators run) and
  ``pretraining.lstm_autograd`` with ``char_cnn_autograd`` (training).
- ``models``, ``downloads``: model names, loaded models, files fetched once.
- ``pretraining``: training of one's own models, with ``distillation`` from teachers.
- ``allennlp``: drop-ins for AllenNLP 0.9's ELMo classes.
- ``tagging``: `ElmoTagger` on token vectors, linear chain, scores of entities.
- ``word_vectors``: GloVe, word2vec and fastText files beside ELMo.
- ``inspection``: plots and explanations.
- ``cli``: the command ``sklearn-elmo``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_elmo import models
    from sklearn_elmo.allennlp.character_ids import batch_to_ids
    from sklearn_elmo.allennlp.elmo import Elmo
    from sklearn_elmo.allennlp.elmo_token_embedder import ElmoTokenEmbedder
    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.scalar_mix import ScalarMix
    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
    from sklearn_elmo.store import EmbeddingStore
    from sklearn_elmo.tagging import ElmoTagger
    from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer
    from sklearn_elmo.vectorizer import ElmoVectorizer
    from sklearn_elmo.word_vectors import WordVectorVectorizer

__all__ = [
    "Elmo",
    "ElmoEmbedder",
    "ElmoPretrainer",
    "ElmoTagger",
    "ElmoTokenEmbedder",
    "ElmoTokenVectorizer",
    "ElmoVectorizer",
    "EmbeddingStore",
    "ScalarMix",
    "WordVectorVectorizer",
    "batch_to_ids",
    "models",
]

__version__ = "0.2.0"

_HOMES = {
    "Elmo": "sklearn_elmo.allennlp.elmo",
    "ElmoEmbedder": "sklearn_elmo.allennlp.embedder",
    "ElmoPretrainer": "sklearn_elmo.pretraining.pretrainer",
    "ElmoTagger": "sklearn_elmo.tagging",
    "ElmoTokenEmbedder": "sklearn_elmo.allennlp.elmo_token_embedder",
    "ElmoTokenVectorizer": "sklearn_elmo.token_vectorizer",
    "ElmoVectorizer": "sklearn_elmo.vectorizer",
    "EmbeddingStore": "sklearn_elmo.store",
    "ScalarMix": "sklearn_elmo.allennlp.scalar_mix",
    "WordVectorVectorizer": "sklearn_elmo.word_vectors",
    "batch_to_ids": "sklearn_elmo.allennlp.character_ids",
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
