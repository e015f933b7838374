"""How tokens become one vector per layer, and how layers become one vector.

The vectors of a text's tokens are first reduced (sum, max, min, first, last, weighted
sum); every pooling is made from these reductions, each layer by itself, as
`pooling_table` says; then the layers are mixed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sklearn_elmo.pooling_table import POOLING_TABLE, POOLINGS, WEIGHTED_SUM, Totals

__all__ = [
    "POOLINGS",
    "STORED_REDUCTIONS",
    "WEIGHTED_SUM",
    "mix_layers",
    "needed_reductions",
    "pool",
    "reduce_segments",
    "scale_to_unit_length",
]

FloatArray = npt.NDArray[np.float32]

# All poolings but "idf", whose weights may change, can be made from these.
STORED_REDUCTIONS = ("sum", "max", "min", "first", "last")

_UFUNCS = {
    "sum": np.add,
    WEIGHTED_SUM: np.add,
    "max": np.maximum,
    "min": np.minimum,
}


def needed_reductions(poolings: Iterable[str]) -> tuple[str, ...]:
    """Return the reductions that these poolings are made from, each once.

    Examples
    --------
    >>> needed_reductions(["mean", "final", "sum"])
    ('sum', 'first', 'last')
    """
    needs = (need for name in poolings for need in POOLING_TABLE[name].needs)
    return tuple(dict.fromkeys(needs))


def reduce_segments(
    name: str, values: FloatArray, lengths: Sequence[int] | npt.NDArray[np.int64]
) -> FloatArray:
    """Reduce consecutive rows, of tokens or of the parts of a text.

    Sums are computed in float64.

    Parameters
    ----------
    name : str
        A reduction. For ``"weighted_sum"`` the rows are weighted already.
    values : ndarray of shape (n_rows, n_layers, D)
    lengths : sequence of int
        Rows of each segment, at least 1; their sum is n_rows.

    Returns
    -------
    ndarray of shape (n_segments, n_layers, D), float32

    Examples
    --------
    >>> values = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    >>> reduce_segments("sum", values, [3, 1]).ravel()
    array([3., 3.], dtype=float32)
    >>> reduce_segments("last", values, [3, 1]).ravel()
    array([2., 3.], dtype=float32)
    """
    ends: npt.NDArray[np.int64] = np.cumsum(lengths)
    starts: npt.NDArray[np.int64] = ends - lengths
    reduced: FloatArray
    if name in ("first", "last"):
        reduced = values[starts if name == "first" else ends - 1]
        return reduced
    ufunc = _UFUNCS[name]
    dtype = np.float64 if ufunc is np.add else np.float32
    reduced = ufunc.reduceat(values, starts, axis=0, dtype=dtype).astype(np.float32)
    return reduced


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
        One of `POOLINGS`.
    reductions : mapping of str to ndarray
        Each of shape (n_texts, n_layers, D), float32.
    lengths : ndarray of shape (n_texts,)
        Tokens of each text, at least 1.
    total_weights : ndarray of shape (n_texts,), optional
        Sum of each text's token weights, for ``"idf"``.

    Returns
    -------
    ndarray of shape (n_texts, n_layers, D), float32
    """
    return POOLING_TABLE[name].combine(reductions, Totals(lengths, total_weights))


def mix_layers(
    pooled: FloatArray, weights: Sequence[float] | npt.NDArray[np.floating] | None
) -> FloatArray:
    """Turn the layers of each text into one vector.

    Parameters
    ----------
    pooled : ndarray of shape (n_texts, n_layers, D)
    weights : sequence of n_layers numbers, or None
        Weights of the sum over layers; None concatenates the layers.

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
    mixed: FloatArray = np.einsum(
        "nld,l->nd", pooled, np.asarray(weights, dtype=np.float32)
    )
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
