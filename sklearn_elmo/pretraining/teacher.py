"""Learning from a sentence encoder beside the language model.

Pooled layers of texts, read from zero state as users read them, are led towards the
vectors of another model. The linear heads that compare both are thrown away afterwards,
and nothing of the teacher is needed any more.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sklearn_elmo.errors import TrainingError
from sklearn_elmo.pretraining.corpus import BEGIN, END, EncodedText

__all__ = ["Sentences", "Teacher", "TeacherHeads", "TeacherTexts", "pool_layers"]

logger = logging.getLogger(__name__)

Teacher = Callable[[list[str]], Any]
"""Texts -> array-like of shape ``(n_texts, width)``."""

# Weights of the parts of the objective, beside 1 for the vector itself.
_CONTRAST_WEIGHT = 0.2
_RELATIONS_WEIGHT = 4.0
_TEMPERATURE = 0.05

# Users read whole sentences, phrases and single words, so the teacher does.
_SENTENCE_SHARE, _PHRASE_SHARE = 0.5, 0.3
_LONGEST_TEXT = 62  # words
_LONGEST_PHRASE = 8
_TEXTS_AT_ONCE = 1024
_ATTACHED = re.compile(r" (?=[,.;:!?%)\]}](?: |$)|n't\b|'(?:s|m|re|ve|ll|d)\b)")


@dataclass
class Sentences:
    """Texts and what the teacher says of them.

    Attributes
    ----------
    ids : Tensor
        Type numbers with boundaries, and the same reversed within each row's length.
        *Shape:* ``(2, T, R)``, int64.
    lengths : Tensor
        Boundaries included. *Shape:* ``(R,)``, int64.
    vectors : Tensor
        *Shape:* ``(R, width)``, of unit length.
    """

    ids: Tensor
    lengths: Tensor
    vectors: Tensor


class TeacherTexts:
    """Sentences, phrases and words of a text, and the teacher's vectors of them.

    Parameters
    ----------
    text : EncodedText
    starts, lengths : ndarray of shape (n,), int64
        Where the texts are, without boundaries; shortest first.
    vectors : ndarray of shape (n, width), float16
        Of unit length.
    """

    def __init__(
        self,
        text: EncodedText,
        starts: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        vectors: npt.NDArray[np.float16],
    ) -> None:
        self.text = text
        self.starts = starts
        self.lengths = lengths
        self.vectors = vectors

    @classmethod
    def ask(
        cls,
        teacher: Teacher,
        text: EncodedText,
        n_texts: int,
        generator: np.random.Generator,
        cache: Path,
    ) -> "TeacherTexts":
        """Choose texts and ask the teacher; what it said is kept in a file.

        Parameters
        ----------
        teacher : callable
        text : EncodedText
        n_texts : int
            About so many.
        generator : numpy.random.Generator
        cache : Path
            An ``.npy`` file; read if it is there.
        """
        starts, lengths = choose_texts(text, n_texts, generator)
        if cache.exists():
            vectors = np.load(cache)
        else:
            parts = []
            for first in range(0, len(starts), _TEXTS_AT_ONCE):
                rows = slice(first, first + _TEXTS_AT_ONCE)
                pairs = zip(starts[rows], lengths[rows], strict=True)
                texts = [
                    as_text([text.types[k] for k in text.ids[start : start + n]])
                    for start, n in pairs
                ]
                parts.append(_ask(teacher, texts))
                logger.info("The teacher has read %d of %d texts", first, len(starts))
            vectors = np.concatenate(parts)
            temporary = cache.with_suffix(".tmp.npy")
            np.save(temporary, vectors)
            temporary.replace(cache)
        return cls(text, starts, lengths, vectors)

    def draw(self, n_rows: int, generator: np.random.Generator) -> Sentences:
        """Return some texts of like length."""
        n_rows = min(n_rows, len(self.starts))
        first = int(generator.integers(len(self.starts) - n_rows + 1))
        rows = slice(first, first + n_rows)
        starts, lengths = self.starts[rows], self.lengths[rows] + 2
        steps = np.arange(lengths.max())[:, None]  # (T, 1)
        places = np.clip(starts + steps - 1, 0, len(self.text.ids) - 1)
        ids = self.text.ids[places].astype(np.int64)
        ids = np.where(steps == 0, BEGIN, np.where(steps >= lengths - 1, END, ids))
        mirrored = np.where(steps < lengths, lengths - 1 - steps, steps)
        both = np.stack([ids, np.take_along_axis(ids, mirrored, axis=0)])
        return Sentences(
            torch.from_numpy(both),
            torch.from_numpy(lengths),
            torch.from_numpy(self.vectors[rows].astype(np.float32)),
        )


class TeacherHeads(nn.Module):
    """Linear maps from pooled layers to the teacher's vectors.

    Parameters
    ----------
    n_layers : int
        LSTM layers, L.
    projection_dim : int
        P.
    width : int
        Of the teacher's vectors.
    """

    def __init__(self, n_layers: int, projection_dim: int, width: int) -> None:
        super().__init__()
        self.average = nn.Linear(2 * projection_dim, width)
        self.concat = nn.Linear((1 + 2 * n_layers) * projection_dim, width)

    def forward(self, pooled: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of texts.

        The layers' average, and the layers side by side, give the teacher's vector;
        the average tells its own vector from the others'; and the averages themselves,
        without a head, are as similar to each other as the teacher's vectors are.

        Parameters
        ----------
        pooled : Tensor
            Mean of each layer over the words. *Shape:* ``(L + 1, R, 2P)``, float32.
        targets : Tensor
            Of unit length. *Shape:* ``(R, width)``.
        """
        mean = pooled.mean(dim=0)  # (R, 2P)
        half = pooled.shape[2] // 2
        side_by_side = torch.cat([pooled[0, :, :half], *pooled[1:]], dim=1)
        from_mean = nn.functional.normalize(self.average(mean), dim=1)
        from_all = nn.functional.normalize(self.concat(side_by_side), dim=1)
        loss = 2 - ((from_mean + from_all) * targets).sum(dim=1).mean()
        own = torch.arange(len(targets), device=targets.device)
        similarity = from_mean @ targets.t() / _TEMPERATURE
        loss = loss + _CONTRAST_WEIGHT * nn.functional.cross_entropy(similarity, own)
        unit = nn.functional.normalize(mean, dim=1)
        difference = unit @ unit.t() - targets @ targets.t()
        return loss + _RELATIONS_WEIGHT * difference.square().mean()


def pool_layers(layers: Tensor, mask: Tensor) -> Tensor:
    """Average words.

    *Shape:* layers ``(L + 1, T, R, P)``, mask ``(T, R)`` -> ``(L + 1, R, P)``.
    """
    weights = mask / mask.sum(dim=0).clamp_min(1)
    return torch.einsum("ltrp,tr->lrp", layers.float(), weights.float())


def choose_texts(
    text: EncodedText, n_texts: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where sentences, phrases and frequent words are, shortest first."""
    ids = np.asarray(text.ids)
    starts = np.flatnonzero(ids == BEGIN) + 1
    lengths = np.flatnonzero(ids == END) - starts
    fitting = np.flatnonzero(lengths <= _LONGEST_TEXT)
    order = generator.permutation(fitting)
    sentences = order[: round(_SENTENCE_SHARE * n_texts)]
    phrases = generator.choice(len(starts), round(_PHRASE_SHARE * n_texts))
    wanted = generator.integers(1, _LONGEST_PHRASE + 1, len(phrases))
    phrase_lengths = np.minimum(wanted, lengths[phrases])
    spare = lengths[phrases] - phrase_lengths
    phrase_starts = starts[phrases] + generator.integers(0, spare + 1)
    counts = text.counts()
    counts[[BEGIN, END]] = 0
    n_words = n_texts - len(sentences) - len(phrases)
    words = np.argsort(-counts, kind="stable")[:n_words]
    first_places = np.full(len(text.types), -1, dtype=np.int64)
    first_places[ids[::-1]] = np.arange(len(ids))[::-1]
    words = words[counts[words] > 0]
    all_starts = np.concatenate([starts[sentences], phrase_starts, first_places[words]])
    all_lengths = np.concatenate(
        [lengths[sentences], phrase_lengths, np.ones(len(words), dtype=np.int64)]
    )
    shuffle = generator.permutation(len(all_starts))
    by_length = shuffle[np.argsort(all_lengths[shuffle], kind="stable")]
    return all_starts[by_length], all_lengths[by_length]


def as_text(words: Sequence[str]) -> str:
    """Join words about as they are written, for a teacher with a tokenizer of its own.

    Examples
    --------
    >>> as_text(["I", "do", "n't", "know", ",", "really", "."])
    "I don't know, really."
    """
    return _ATTACHED.sub("", " ".join(words))


def _ask(teacher: Teacher, texts: list[str]) -> npt.NDArray[np.float16]:
    vectors = np.asarray(teacher(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.size:
        message = (
            f"The teacher returned an array of shape {vectors.shape} for {len(texts)} "
            f"texts; expected ({len(texts)}, width). Return one row a text."
        )
        raise TrainingError(message)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        message = (
            f"The teacher's vector of {texts[row][:40]!r} has numbers that are not "
            "finite; expected finite ones. Mend the teacher."
        )
        raise TrainingError(message)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float16] = (vectors / np.maximum(norms, 1e-12)).astype(
        np.float16
    )
    return unit
