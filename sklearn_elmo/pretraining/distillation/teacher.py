"""The texts of a teacher: which ones it gets, and batches of them for training.

The vectors of a sentence encoder are targets for the pooled layers, those of a token
teacher for the layers of each word in context. The texts are read from a zero state,
as users read them. After training the teachers are no longer needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sklearn_elmo.errors import TrainingError
from sklearn_elmo.pretraining.corpus import BEGIN, END, Corpus, EncodedText
from sklearn_elmo.pretraining.distillation.answers import Teacher, TokenTeacher
from sklearn_elmo.pretraining.distillation.targets import (
    sentence_targets,
    token_targets,
)

__all__ = ["Sentences", "TeacherTexts", "Teachers"]

# Users vectorize whole sentences, phrases and single words.
_SENTENCE_SHARE, _PHRASE_SHARE = 0.5, 0.3
_LONGEST_TEXT = 62  # words
_LONGEST_PHRASE = 8

IntArray = npt.NDArray[np.int64]


@dataclass
class Sentences:
    """A batch of texts with the vectors of the teacher.

    Attributes
    ----------
    ids : Tensor
        Type numbers with boundaries, and the same reversed within each row's length.
        *Shape:* ``(2, T, R)``, int64.
    lengths : Tensor
        Boundaries included. *Shape:* ``(R,)``, int64.
    vectors : Tensor
        Of the texts, or of all their words in the order of the texts; of unit length.
        *Shape:* ``(R, width)`` or ``(N, width)``.
    """

    ids: Tensor
    lengths: Tensor
    vectors: Tensor

    def to(self, device: torch.device) -> "Sentences":
        """Return the same batch on a device."""
        tensors = (self.ids, self.lengths, self.vectors)
        return Sentences(*(tensor.to(device) for tensor in tensors))


class TeacherTexts:
    """Pieces of a text, and the vectors of a teacher for them or for their words.

    Parameters
    ----------
    text : EncodedText
    starts, lengths : ndarray of shape (n,), int64
        Positions and lengths of the pieces, without boundaries; shortest first.
    vectors : ndarray of shape (n, width) or (n_words, width), float16
        Of unit length; may be mapped from a file. One row per piece, or one per word.
    lowercase_share : float, default=0.0
        Share of the pieces that are read in lower case.
    """

    def __init__(
        self,
        text: EncodedText,
        starts: IntArray,
        lengths: IntArray,
        vectors: npt.NDArray[np.float16],
        *,
        lowercase_share: float = 0.0,
    ) -> None:
        self.text = text
        self.starts = starts
        self.lengths = lengths
        self.vectors = vectors
        self.lowercase_share = lowercase_share
        self._lowercase_ids = text.lowercase_ids() if lowercase_share else None
        # If every piece is one word, both cases are the same.
        rows_per_piece = (
            lengths if len(vectors) > len(lengths) else np.ones_like(lengths)
        )
        self._first_vectors = np.concatenate([[0], np.cumsum(rows_per_piece)])

    @classmethod
    def from_teacher(
        cls,
        teacher: Teacher,
        text: EncodedText,
        n_texts: int,
        generator: np.random.Generator,
        cache: Path,
        *,
        lowercase_share: float = 0.0,
        resumes: bool = False,
    ) -> "TeacherTexts":
        """Choose sentences, phrases and words, and get their vectors.

        Parameters
        ----------
        teacher : callable
        text : EncodedText
        n_texts : int
            Approximate number of texts.
        generator : numpy.random.Generator
        cache : Path
            An ``.npy`` file for the vectors, see `sentence_targets`.
        lowercase_share : float, default=0.0
        resumes : bool, default=False
            Whether a checkpoint is continued, see `sentence_targets`.
        """
        starts, lengths = choose_texts(text, n_texts, generator)
        pieces = _Pieces(text, starts, lengths)
        vectors = sentence_targets(teacher, pieces, cache, resumes=resumes)
        return cls(text, starts, lengths, vectors, lowercase_share=lowercase_share)

    @classmethod
    def from_token_teacher(
        cls,
        teacher: TokenTeacher,
        text: EncodedText,
        n_texts: int,
        generator: np.random.Generator,
        cache: Path,
        *,
        lowercase_share: float = 0.0,
        resumes: bool = False,
    ) -> "TeacherTexts":
        """Choose sentences and get the vectors of their words; see `from_teacher`.

        Raises
        ------
        TrainingError
            All sentences are too long.
        """
        starts, lengths = _choose_sentences(text, n_texts, generator)
        pieces = _Pieces(text, starts, lengths)
        vectors = token_targets(teacher, pieces, lengths, cache, resumes=resumes)
        return cls(text, starts, lengths, vectors, lowercase_share=lowercase_share)

    def draw(self, n_rows: int, generator: np.random.Generator) -> Sentences:
        """Return a random batch of texts of similar length."""
        n_rows = min(n_rows, len(self.starts))
        first = int(generator.integers(len(self.starts) - n_rows + 1))
        rows = slice(first, first + n_rows)
        starts, lengths = self.starts[rows], self.lengths[rows] + 2
        steps = np.arange(lengths.max())[:, None]  # (T, 1)
        places = np.clip(starts + steps - 1, 0, len(self.text.ids) - 1)
        ids = self.text.ids[places].astype(np.int64)
        ids = np.where(steps == 0, BEGIN, np.where(steps >= lengths - 1, END, ids))
        if self._lowercase_ids is not None:
            lowercase = generator.random(n_rows) < self.lowercase_share
            ids[:, lowercase] = self._lowercase_ids[ids[:, lowercase]]
        mirrored = np.where(steps < lengths, lengths - 1 - steps, steps)
        both = np.stack([ids, np.take_along_axis(ids, mirrored, axis=0)])
        begin, end = self._first_vectors[[first, first + n_rows]]
        return Sentences(
            torch.from_numpy(both),
            torch.from_numpy(lengths),
            torch.from_numpy(self.vectors[begin:end].astype(np.float32)),
        )


@dataclass(frozen=True)
class Teachers:
    """The texts of the teachers of a run; None without such a teacher."""

    sentences: TeacherTexts | None = None
    tokens: TeacherTexts | None = None

    @classmethod
    def prepare(
        cls,
        teacher: Teacher | None,
        token_teacher: TokenTeacher | None,
        corpus: Corpus,
        n_texts: int,
        *,
        lowercase_share: float,
        seed: int,
        folder: Path,
        resumes: bool = False,
    ) -> "Teachers":
        """Get the vectors of each teacher for its own texts; they are kept in a folder.

        Parameters
        ----------
        teacher, token_teacher : callable or None
        corpus : Corpus
        n_texts : int
            For each teacher.
        lowercase_share : float
        seed : int
        folder : Path
        resumes : bool, default=False
            Whether a checkpoint in the folder is continued.
        """
        name = f"{corpus.digest[:16]}-{seed}.npy"  # the seed chooses the texts
        sentences = tokens = None
        if teacher is not None:
            sentences = TeacherTexts.from_teacher(
                teacher,
                corpus.train,
                n_texts,
                np.random.default_rng([seed, 2]),
                folder / f"teacher-{name}",
                lowercase_share=lowercase_share,
                resumes=resumes,
            )
        if token_teacher is not None:
            tokens = TeacherTexts.from_token_teacher(
                token_teacher,
                corpus.train,
                n_texts,
                np.random.default_rng([seed, 3]),
                folder / f"token-teacher-{name}",
                lowercase_share=lowercase_share,
                resumes=resumes,
            )
        return cls(sentences, tokens)

    def signature(self) -> dict[str, Any]:
        """Return what a checkpoint and the run that continues it have in common."""
        both = {"teacher": self.sentences, "token_teacher": self.tokens}
        used = {name: texts for name, texts in both.items() if texts is not None}
        return {
            **{name: name in used for name in both},
            "n_teacher_texts": [len(texts.starts) for texts in used.values()],
            "teacher_width": [texts.vectors.shape[1] for texts in used.values()],
            "teacher_lowercase_share": [t.lowercase_share for t in used.values()],
        }

    def draw(
        self, n_rows: int, seed: int, step: int
    ) -> tuple[Sentences | None, Sentences | None]:
        """Return the texts of each teacher for a step, `n_rows` in all."""
        n_teachers = (self.sentences is not None) + (self.tokens is not None)
        sentences, tokens = (
            None
            if texts is None
            else texts.draw(
                max(1, n_rows // n_teachers), np.random.default_rng([seed, step, place])
            )
            for place, texts in ((1, self.sentences), (2, self.tokens))
        )
        return sentences, tokens


class _Pieces(Sequence[list[str]]):
    """Pieces of a text as token lists, made on access."""

    def __init__(self, text: EncodedText, starts: IntArray, lengths: IntArray) -> None:
        self._text, self._starts, self._lengths = text, starts, lengths

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, place: int) -> list[str]:  # type: ignore[override]
        start = self._starts[place]
        ids = self._text.ids[start : start + self._lengths[place]]
        return [self._text.types[k] for k in ids]


def choose_texts(
    text: EncodedText, n_texts: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Choose sentences, phrases and frequent words.

    Returns
    -------
    starts, lengths : ndarray of shape (n,), int64
        Positions in the text and numbers of words; shortest first.
    """
    ids = np.asarray(text.ids)
    starts, lengths = _sentences(text)
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


def _choose_sentences(
    text: EncodedText, n_texts: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Choose whole sentences; returns as `choose_texts`."""
    starts, lengths = _sentences(text)
    chosen = generator.permutation(np.flatnonzero(lengths <= _LONGEST_TEXT))[:n_texts]
    if not len(chosen):
        message = (
            f"No sentence of the text has {_LONGEST_TEXT} words or fewer; the token "
            "teacher reads whole sentences. Put one sentence on a line."
        )
        raise TrainingError(message)
    chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
    return starts[chosen], lengths[chosen]


def _sentences(text: EncodedText) -> tuple[IntArray, IntArray]:
    """Return the start of each sentence, after the boundary, and its word count."""
    ids = np.asarray(text.ids)
    starts = np.flatnonzero(ids == BEGIN) + 1
    return starts, np.flatnonzero(ids == END) - starts
