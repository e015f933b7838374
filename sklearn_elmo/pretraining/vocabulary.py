"""The words that the language model predicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["UNKNOWN", "Vocabulary"]

UNKNOWN = "<UNK>"


@dataclass(frozen=True)
class Vocabulary:
    """Words by decreasing frequency, including ``<S>``, ``</S>`` and ``<UNK>``.

    The sampled softmax relies on this order. Words outside the vocabulary are predicted
    as ``<UNK>``; as input, every word is read by its characters.

    Attributes
    ----------
    words : tuple of str
    counts : tuple of int
        Occurrences in the text that the vocabulary was made from.
    """

    words: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def from_counts(
        cls,
        types: Sequence[str],
        counts: Iterable[int],
        *,
        max_words: int,
        min_count: int = 1,
    ) -> Self:
        """Choose the most frequent words.

        Parameters
        ----------
        types : sequence of str
            The first two are the sentence boundaries, which are always included.
        counts : iterable of int
            Occurrences of each type.
        max_words : int
            Maximum size of the vocabulary, including the three special words.
        min_count : int
            Rarer words are left out.
        """
        counted = [int(count) for count in counts]
        order = sorted(range(2, len(types)), key=lambda k: (-counted[k], types[k]))
        kept = [k for k in order[: max_words - 3] if counted[k] >= min_count]
        unknown = sum(counted[2:]) - sum(counted[k] for k in kept)
        entries = [(types[k], counted[k]) for k in (0, 1, *kept)]
        entries.append((UNKNOWN, unknown))
        entries.sort(key=lambda entry: -entry[1])  # stable
        return cls(*(tuple(column) for column in zip(*entries, strict=True)))

    def __len__(self) -> int:
        return len(self.words)

    def targets_of(self, types: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the position of each type in the vocabulary, ``(n_types,)`` int64."""
        numbers = {word: number for number, word in enumerate(self.words)}
        unknown = numbers[UNKNOWN]
        return np.array([numbers.get(word, unknown) for word in types], dtype=np.int64)
