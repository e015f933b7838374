"""How tokens become one vector a layer, and how layers become one vector.

A pooling is made from *reductions* (sum, max, min, first, last, weighted sum) that the
model's reader computes while it reads; the layers are mixed after each has been pooled
by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "POOLINGS",
    "mix_layers",
    "needed_reductions",
    "pool",
    "scale_to_unit_length",
]

FloatArray = npt.NDArray[np.float32]

WEIGHTED_SUM = "weighted_sum"

# Which reductions each pooling is made from.
_NEEDS: dict[str, tuple[str, ...]] = {
    "mean": ("sum",),
    "max": ("max",),
    "min": ("min",),
    "sum": ("sum",),
    "first": ("first",),
    "last": ("last",),
    "final": ("first", "last"),
    "idf": (WEIGHTED_SUM,),
}
POOLINGS = tuple(_NEEDS)


def needed_reductions(poolings: Iterable[str]) -> tuple[str, ...]:
    """Return the reductions that these poolings are made from, each once.

    Examples
    --------
    >>> needed_reductions(["mean", "final", "sum"])
    ('sum', 'first', 'last')
    """
    return tuple(dict.fromkeys(need for name in poolings for need in _NEEDS[name]))


def pool(
    name: str,
    reductions: Mapping[str, FloatArray],
    lengths: npt.NDArray[np.int64],
    total_weights: npt.NDArray[np.float64] | None = None,
) -> FloatArray:
    """Make one pooling of every layer.

    Parameters
    ----------
    name : str
        Of `POOLINGS`.
    reductions : mapping of str to ndarray
        Shape (n_texts, n_layers, D) each, float32.
    lengths : ndarray of shape (n_texts,)
        Tokens of each text, at least 1.
    total_weights : ndarray of shape (n_texts,), optional
        Sum of each text's token weights, for ``"idf"``.

    Returns
    -------
    ndarray of shape (n_texts, n_layers, D), float32
    """
    if name == "mean":
        return _divide(reductions["sum"], lengths)
    if name == "idf":
        if total_weights is None:
            message = "The pooling 'idf' needs the sums of the token weights."
            raise TypeError(message)
        return _divide(reductions[WEIGHTED_SUM], total_weights)
    if name == "final":
        # Each direction where it has read the whole text.
        half = reductions["last"].shape[2] // 2
        forward, backward = reductions["last"], reductions["first"]
        return np.concatenate([forward[..., :half], backward[..., half:]], axis=2)
    return reductions[name]


def _divide(values: FloatArray, divisors: npt.NDArray[Any]) -> FloatArray:
    quotient: FloatArray = values / divisors.astype(np.float32)[:, None, None]
    return quotient


def mix_layers(
    pooled: FloatArray, weights: Sequence[float] | npt.NDArray[np.floating] | None
) -> FloatArray:
    """Turn the layers of each text into one vector.

    Parameters
    ----------
    pooled : ndarray of shape (n_texts, n_layers, D)
    weights : sequence of n_layers numbers, or None
        Factors of the layers' sum; None puts the layers side by side.

    Returns
    -------
    ndarray of shape (n_texts, D) or (n_texts, n_layers * D), float32

    Examples
    --------
    >>> pooled = np.array([[[1.0, 2.0], [3.0, 4.0]]], dtype=np.float32)
    >>> mix_layers(pooled, [0.5, 0.5])
    array([[2., 3.]], dtype=float32)
    >>> mix_layers(pooled, None)
    array([[1., 2., 3., 4.]], dtype=float32)
    """
    if weights is None:
        n_texts, n_layers, width = pooled.shape
        return pooled.reshape(n_texts, n_layers * width)
    factors = np.asarray(weights, dtype=np.float32)
    mixed: FloatArray = np.einsum("nld,l->nd", pooled, factors)
    return mixed


def scale_to_unit_length(rows: FloatArray) -> FloatArray:
    """Divide each row by its Euclidean norm; rows of zeros stay zero.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
    """
    # In float64, where no square of a float32 overflows or vanishes.
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    scaled: FloatArray = (rows / np.where(norms == 0, 1, norms)[:, None]).astype(
        np.float32
    )
    return scaled
