"""Inverse document frequencies, for the pooling ``"idf"``."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["DocumentCounts", "Idf"]


class Idf(NamedTuple):
    """The weight of each token.

    Attributes
    ----------
    table : dict of str to float
    unseen : float
        Weight of every other token.
    """

    table: dict[str, float]
    unseen: float

    def weigh(self, tokens: Iterable[str]) -> list[float]:
        """Return the weight of each token."""
        return [self.table.get(token, self.unseen) for token in tokens]


class DocumentCounts:
    """Counts the texts that contain each token.

    Examples
    --------
    >>> from sklearn_elmo.idf import DocumentCounts
    >>> counts = DocumentCounts()
    >>> counts.add(["a", "cat", "a"])
    >>> counts.add(["a", "dog"])
    >>> counts.idf().weigh(["a", "cat", "bird"])
    [1.0, 1.4054651081081644, 2.09861228866811]
    """

    def __init__(self) -> None:
        self._n_texts = 0
        self._counts: Counter[str] = Counter()

    def add(self, tokens: Sequence[str]) -> None:
        """Count one text, which may be empty."""
        self._n_texts += 1
        self._counts.update(set(tokens))

    def idf(self) -> Idf:
        """Return log((1 + n) / (1 + df)) + 1 for each token.

        The formula is that of scikit-learn's ``TfidfTransformer(smooth_idf=True)``,
        with n texts, df of which contain the token.
        """

        def weight(count: int) -> float:
            return math.log((1 + self._n_texts) / (1 + count)) + 1

        table = {token: weight(count) for token, count in self._counts.items()}
        return Idf(table, unseen=weight(0))
