"""Token vectors -> rows for a classifier, without all of them in memory twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["Batch", "read_batches", "split_by_text", "training_features"]

FloatArray = npt.NDArray[np.float32]

# Most tokens of a batch, whose vectors exist beside the training features; a single
# text may have more.
_BATCH_TOKENS = 2**14


@dataclass
class Batch:
    """Some texts of a call.

    Attributes
    ----------
    rows : list of int
        Rows of distinct texts with tokens.
    vectors : list of ndarray of shape (n_tokens_i, n_features), float32
        One array per row.
    repeats : list of (int, int)
        Rows of repeated texts, each with the row of an equal text of this or an
        earlier batch.
    """

    rows: list[int] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)
    repeats: list[tuple[int, int]] = field(default_factory=list)

    def features(self, window: int) -> FloatArray:
        """Return the rows of `vectors`, each between those of its neighbours.

        Parameters
        ----------
        window : int
            Neighbours on either side; zeros beyond the borders of a text.

        Returns
        -------
        ndarray of shape (n_tokens, (2 * window + 1) * n_features), float32
            n_tokens is the sum over all texts.
        """
        if window == 0:
            return np.concatenate(self.vectors)
        # A gap between two texts is beyond the borders of both.
        gap = np.zeros((window, self.vectors[0].shape[1]), dtype=np.float32)
        padded = np.concatenate(
            [gap, *chain.from_iterable((rows, gap) for rows in self.vectors)]
        )
        n_tokens = np.array([len(rows) for rows in self.vectors])
        n_gaps_before = np.repeat(np.arange(1, len(n_tokens) + 1), n_tokens)
        centres = np.arange(n_tokens.sum()) + window * n_gaps_before
        neighbours = centres[:, np.newaxis] + np.arange(-window, window + 1)
        stacked: FloatArray = padded[neighbours]
        return stacked.reshape(len(centres), -1)


def read_batches(
    vectorizer: ElmoTokenVectorizer, texts: Sequence[Any]
) -> Iterator[Batch]:
    """Yield texts with the vectors of their tokens; texts without tokens are left out.

    Parameters
    ----------
    vectorizer : ElmoTokenVectorizer
        Fitted.
    texts : sequence of list of str, str or None

    Yields
    ------
    Batch
    """
    batch, n_tokens = Batch(), 0
    for row, original, vectors in vectorizer.iter_distinct(texts):
        if vectors is None:
            batch.repeats.append((row, original))
            continue
        if batch.rows and n_tokens + len(vectors) > _BATCH_TOKENS:
            yield batch
            batch, n_tokens = Batch(), 0
        batch.rows.append(row)
        batch.vectors.append(vectors)
        n_tokens += len(vectors)
    if batch.rows:
        yield batch


def split_by_text(
    values: npt.NDArray[Any], n_tokens: Sequence[int]
) -> list[npt.NDArray[Any]]:
    """Split the rows of all tokens into one view per text."""
    return np.split(values, np.cumsum(n_tokens)[:-1])


def training_features(
    vectorizer: ElmoTokenVectorizer,
    texts: Sequence[Any],
    n_tokens: Sequence[int],
    window: int,
) -> FloatArray:
    """Return the features of all tokens of all texts, in their order.

    Parameters
    ----------
    vectorizer : ElmoTokenVectorizer
        Fitted.
    texts : sequence of list of str, str or None
    n_tokens : sequence of int
        Number of tokens of each text.
    window : int

    Returns
    -------
    ndarray of shape (sum of n_tokens, (2 * window + 1) * n_features), float32
    """
    n_features = (2 * window + 1) * vectorizer.n_features_out_
    features = np.empty((sum(n_tokens), n_features), dtype=np.float32)
    of_text = split_by_text(features, n_tokens)
    for batch in read_batches(vectorizer, texts):
        values = split_by_text(batch.features(window), list(map(len, batch.vectors)))
        for row, value in zip(batch.rows, values, strict=True):
            of_text[row][:] = value
        for row, original in batch.repeats:
            of_text[row][:] = of_text[original]
    return features
