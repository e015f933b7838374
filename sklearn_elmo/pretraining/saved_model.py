"""The folder that a trained model is saved in."""

import hashlib
import json
import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sklearn_elmo.atomic_files import replacing, write_bytes
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model, write_model
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.pretraining.checkpoint import METRICS_NAME, write_history
from sklearn_elmo.pretraining.network import LanguageModel
from sklearn_elmo.pretraining.vocabulary import Vocabulary

__all__ = [
    "CARD_NAME",
    "SavedModel",
    "SavedSoftmax",
    "load_language_model",
    "read_softmax",
    "save_language_model",
]

SOFTMAX_NAME = "softmax.npz"
VOCABULARY_NAME = "vocabulary.json"
CARD_NAME = "MODEL_CARD.md"

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class SavedModel:
    """A language model with its vocabulary.

    Attributes
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
    tokenizer : str or None
        That of the training text; None for a callable.
    n_types : int or None
        Distinct tokens of the training text; None if an earlier version wrote it.
    history : list of dict
        Course of the training.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    tokenizer: str | None
    n_types: int | None
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class SavedSoftmax:
    """The softmax beside a model.

    Attributes
    ----------
    vocabulary : Vocabulary
    weight : ndarray of shape (V, P)
    bias : ndarray of shape (V,)
    tokenizer : str or None
    n_types : int or None
        Distinct tokens of the training text; None if an earlier version wrote it.
    """

    vocabulary: Vocabulary
    weight: FloatArray
    bias: FloatArray
    tokenizer: str | None
    n_types: int | None

    def digest(self, model_digest: str) -> str:
        """Return a digest of all fields and of the model that they belong to."""
        described = [
            model_digest,
            self.vocabulary.words,
            self.vocabulary.counts,
            self.tokenizer,
            *([] if self.n_types is None else [self.n_types]),
        ]
        digest = hashlib.sha256(json.dumps(described).encode())
        for array in (self.weight, self.bias):
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def copy_into(self, model: LanguageModel, vocabulary: Vocabulary) -> int:
        """Copy the rows of the words that both vocabularies have.

        Parameters
        ----------
        model : LanguageModel
            Its softmax is changed.
        vocabulary : Vocabulary
            Words of `model`.

        Returns
        -------
        int
            Number of rows copied.
        """
        if self.weight.shape[1:] != model.softmax_weight.shape[1:]:
            return 0
        positions = {word: number for number, word in enumerate(self.vocabulary.words)}
        new = [k for k, word in enumerate(vocabulary.words) if word in positions]
        old = [positions[vocabulary.words[k]] for k in new]
        with torch.no_grad():
            for target, source in (
                (model.softmax_weight, self.weight),
                (model.softmax_bias, self.bias),
            ):
                rows = torch.from_numpy(source[old].astype(np.float32))
                target[new] = rows.to(target)
        return len(new)


def save_language_model(
    folder: Path, saved: SavedModel, *, dtype: str = "float32"
) -> None:
    """Write a model with its softmax and vocabulary.

    The folder gets ``options.json`` and ``weights.hdf5`` in AllenNLP's layout,
    ``softmax.npz`` with ``weight`` (V, P), ``bias`` (V,) and a digest,
    ``vocabulary.json``, and ``metrics.jsonl``.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    saved : SavedModel
    dtype : {"float32", "float16"}
        Data type of the weights in the files.
    """
    model, vocabulary = saved.model, saved.vocabulary
    write_model(folder, model.options, model.bilm.to_arrays(), dtype=dtype)
    softmax = SavedSoftmax(
        vocabulary,
        model.softmax_weight.detach().cpu().numpy().astype(dtype),
        model.softmax_bias.detach().cpu().numpy().astype(np.float32),
        saved.tokenizer,
        saved.n_types,
    )
    digest = softmax.digest(read_model(folder).digest)
    with replacing(folder / SOFTMAX_NAME) as temporary, temporary.open("xb") as file:
        np.savez(file, weight=softmax.weight, bias=softmax.bias, sha256=digest)
    content = {
        "words": vocabulary.words,
        "counts": vocabulary.counts,
        "tokenizer": saved.tokenizer,
        "n_types": saved.n_types,
    }
    write_bytes(folder / VOCABULARY_NAME, json.dumps(content).encode())
    write_history(folder, saved.history)


def load_language_model(folder: Path) -> SavedModel:
    """Read what `save_language_model` wrote.

    Raises
    ------
    ModelFileError
        There is no softmax or vocabulary, a file is damaged, or they do not belong
        together.
    """
    files = read_model(folder)
    softmax = read_softmax(folder, files.digest)
    if softmax is None:
        message = (
            f"The model in {str(folder)!r} has no softmax and vocabulary "
            f"({SOFTMAX_NAME}, {VOCABULARY_NAME}), which perplexity needs. Use a "
            "folder that ElmoPretrainer.save or 'sklearn-elmo pretrain' wrote, or "
            "train a softmax with ElmoPretrainer(init=...) or 'sklearn-elmo pretrain "
            "--init NAME'."
        )
        raise ModelFileError(message)
    vocabulary = softmax.vocabulary
    expected = (len(vocabulary), files.options.projection_dim)
    if softmax.weight.shape != expected or softmax.bias.shape != expected[:1]:
        message = (
            f"The softmax in {str(folder)!r} has the shapes {softmax.weight.shape} and "
            f"{softmax.bias.shape}; expected {expected} and {expected[:1]}. Use the "
            "files of one model."
        )
        raise ModelFileError(message)
    bilm = BiLm.from_arrays(files.options, files.arrays)
    model = LanguageModel(bilm, len(vocabulary))
    softmax.copy_into(model, vocabulary)
    return SavedModel(
        model, vocabulary, softmax.tokenizer, softmax.n_types, _read_history(folder)
    )


def _read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the history; an empty one if an earlier version wrote the folder."""
    path = folder / METRICS_NAME
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [dict(json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        message = (
            f"The file {str(path)!r} is damaged ({error}); expected what "
            "ElmoPretrainer.save wrote. Copy it again, or delete it."
        )
        raise ModelFileError(message) from error


def read_softmax(source: Any, model_digest: str) -> SavedSoftmax | None:
    """Return the softmax beside a model, None if there is none.

    Parameters
    ----------
    source : path or pair of paths
        Where the model is.
    model_digest : str
        Digest of the model.

    Raises
    ------
    ModelFileError
        The files are damaged, or belong to another model.
    """
    if not isinstance(source, str | os.PathLike):
        return None
    folder = Path(os.path.expanduser(source))
    paths = folder / SOFTMAX_NAME, folder / VOCABULARY_NAME
    if not all(path.is_file() for path in paths):
        return None
    try:
        # Opened here because numpy leaves damaged zip files open.
        with paths[0].open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            weight, bias = arrays["weight"], arrays["bias"]
            expected = str(arrays["sha256"][()])
        content = json.loads(paths[1].read_text(encoding="utf-8"))
        vocabulary = Vocabulary(tuple(content["words"]), tuple(content["counts"]))
        softmax = SavedSoftmax(
            vocabulary, weight, bias, content["tokenizer"], content.get("n_types")
        )
        found = softmax.digest(model_digest)
    except (
        *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError),
        *(AttributeError, IndexError, NotImplementedError, RuntimeError, SyntaxError),
        *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
    ) as error:
        message = (
            f"The softmax or vocabulary in {str(folder)!r} is damaged ({error}); "
            "expected the files that ElmoPretrainer.save wrote. Copy them again."
        )
        raise ModelFileError(message) from error
    if found != expected:
        message = (
            f"The softmax or vocabulary in {str(folder)!r} is damaged or belongs to "
            f"another model (digest {found[:16]}..., expected {expected[:16]}...). "
            "Copy all files of the model again."
        )
        raise ModelFileError(message)
    return softmax
