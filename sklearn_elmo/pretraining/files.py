"""The folder that a trained model is saved in."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model, write_model
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.pretraining.network import LanguageModel
from sklearn_elmo.pretraining.vocabulary import Vocabulary

__all__ = ["SavedModel", "load_language_model", "read_softmax", "save_language_model"]

SOFTMAX_NAME = "softmax.npz"
VOCABULARY_NAME = "vocabulary.json"
CARD_NAME = "MODEL_CARD.md"


@dataclass(frozen=True)
class SavedModel:
    """A language model with its vocabulary."""

    model: LanguageModel
    vocabulary: Vocabulary


def save_language_model(
    folder: Path,
    model: LanguageModel,
    vocabulary: Vocabulary,
    *,
    dtype: str = "float32",
) -> None:
    """Write ``options.json`` and ``weights.hdf5`` in AllenNLP's layout, the softmax
    (``softmax.npz``: ``weight`` (V, P), ``bias`` (V,)) and its words.
    """
    write_model(folder, model.options, model.bilm.to_arrays(), dtype=dtype)
    temporary = folder / f".{SOFTMAX_NAME}.{os.getpid()}.npz"
    try:
        np.savez(
            temporary,
            weight=model.softmax_weight.detach().cpu().numpy().astype(dtype),
            bias=model.softmax_bias.detach().cpu().numpy().astype(np.float32),
        )
        temporary.replace(folder / SOFTMAX_NAME)
    finally:
        temporary.unlink(missing_ok=True)
    content = {"words": vocabulary.words, "counts": vocabulary.counts}
    write_bytes(
        folder / VOCABULARY_NAME, json.dumps(content, ensure_ascii=True).encode()
    )


def load_language_model(folder: Path) -> SavedModel:
    """Read what `save_language_model` wrote.

    Raises
    ------
    ModelFileError
        There is no softmax or vocabulary, or they do not fit the model.
    """
    files = read_model(folder)
    saved = read_softmax(folder)
    if saved is None:
        message = (
            f"The model in {str(folder)!r} has no softmax and vocabulary "
            f"({SOFTMAX_NAME}, {VOCABULARY_NAME}); perplexity needs them. Use a folder "
            "that ElmoPretrainer.save wrote."
        )
        raise ModelFileError(message)
    vocabulary, weight, bias = saved
    expected = (len(vocabulary), files.options.projection_dim)
    if weight.shape != expected or bias.shape != expected[:1]:
        message = (
            f"The softmax in {str(folder)!r} has the shapes {weight.shape} and "
            f"{bias.shape}; expected {expected} and {expected[:1]}. Use the files of "
            "one model."
        )
        raise ModelFileError(message)
    model = LanguageModel(
        BiLm.from_arrays(files.options, files.arrays), len(vocabulary)
    )
    with torch.no_grad():
        model.softmax_weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        model.softmax_bias.copy_(torch.from_numpy(bias))
    return SavedModel(model, vocabulary)


def read_softmax(
    source: Any,
) -> tuple[Vocabulary, np.ndarray, np.ndarray] | None:
    """Return vocabulary, weights and biases beside a model, None if there are none."""
    if not isinstance(source, str | os.PathLike):
        return None
    folder = Path(source).expanduser()
    paths = folder / SOFTMAX_NAME, folder / VOCABULARY_NAME
    if not all(path.is_file() for path in paths):
        return None
    try:
        with np.load(paths[0], allow_pickle=False) as arrays:
            weight, bias = arrays["weight"], arrays["bias"]
        content = json.loads(paths[1].read_text(encoding="utf-8"))
        vocabulary = Vocabulary(tuple(content["words"]), tuple(content["counts"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        message = (
            f"The softmax or vocabulary in {str(folder)!r} is damaged ({error}); "
            "expected what ElmoPretrainer.save wrote. Copy them again."
        )
        raise ModelFileError(message) from error
    return vocabulary, weight, bias


def copy_softmax(
    model: LanguageModel,
    vocabulary: Vocabulary,
    saved: tuple[Vocabulary, np.ndarray, np.ndarray],
) -> int:
    """Take over the rows of the words that both vocabularies have; return how many."""
    old, weight, bias = saved
    if weight.shape[1:] != model.softmax_weight.shape[1:]:
        return 0
    places = {word: place for place, word in enumerate(old.words)}
    pairs: Sequence[tuple[int, int]] = [
        (new, places[word])
        for new, word in enumerate(vocabulary.words)
        if word in places
    ]
    if pairs:
        new_places, old_places = (list(column) for column in zip(*pairs, strict=True))
        with torch.no_grad():
            rows = torch.from_numpy(weight[old_places].astype(np.float32))
            model.softmax_weight[new_places] = rows.to(model.softmax_weight)
            biases = torch.from_numpy(bias[old_places].astype(np.float32))
            model.softmax_bias[new_places] = biases.to(model.softmax_bias)
    return len(pairs)
