"""The poolings: which reductions each one needs, and how it combines them.

A new pooling that can be made from the reductions of `pooling.reduce_segments` is one
entry of `POOLING_TABLE`. This module does not import numpy, so that the command line
can list the poolings in its help without it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]

__all__ = ["POOLINGS", "POOLING_TABLE", "WEIGHTED_SUM", "Pooling", "Totals"]

WEIGHTED_SUM = "weighted_sum"


class Totals(NamedTuple):
    """What poolings divide by, one number per text."""

    n_tokens: "npt.NDArray[np.int64]"
    weights: "npt.NDArray[np.float64] | None"


class Pooling(NamedTuple):
    """One entry of the table."""

    needs: tuple[str, ...]
    """The reductions it is made from."""
    combine: "Callable[[Mapping[str, FloatArray], Totals], FloatArray]"
    """Arrays have the shape (n_texts, n_layers, D)."""


def _mean(reductions: "Mapping[str, FloatArray]", totals: Totals) -> "FloatArray":
    return _divide(reductions["sum"], totals.n_tokens)


def _weighted_mean(
    reductions: "Mapping[str, FloatArray]", totals: Totals
) -> "FloatArray":
    if totals.weights is None:
        message = "The pooling 'idf' needs the sums of the token weights."
        raise TypeError(message)
    return _divide(reductions[WEIGHTED_SUM], totals.weights)


def _final_states(reductions: "Mapping[str, FloatArray]", _: Totals) -> "FloatArray":
    """Take each direction where it has read the whole text."""
    states = reductions["last"].copy()
    width = states.shape[2] // 2
    states[..., width:] = reductions["first"][..., width:]
    return states


def _divide(values: "FloatArray", divisors: "npt.NDArray[Any]") -> "FloatArray":
    quotient: FloatArray = values / divisors.astype("f4")[:, None, None]
    return quotient


POOLING_TABLE = {
    "mean": Pooling(("sum",), _mean),
    "max": Pooling(("max",), lambda reductions, _: reductions["max"]),
    "min": Pooling(("min",), lambda reductions, _: reductions["min"]),
    "sum": Pooling(("sum",), lambda reductions, _: reductions["sum"]),
    "first": Pooling(("first",), lambda reductions, _: reductions["first"]),
    "last": Pooling(("last",), lambda reductions, _: reductions["last"]),
    "final": Pooling(("first", "last"), _final_states),
    "idf": Pooling((WEIGHTED_SUM,), _weighted_mean),
}
POOLINGS = tuple(POOLING_TABLE)
