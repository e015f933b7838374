"""Records in memory: keys, how many rows each has, and the rows of every field."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store.checksums import Integers, Words


@dataclass(frozen=True)
class Records:
    """n records with m rows in all.

    Attributes
    ----------
    keys : ndarray of shape (n, 2), uint64
    lengths : ndarray of shape (n,), int64, or None
        Rows of each record; None means one.
    arrays : dict of str to float32 ndarray of shape (m, width)
    """

    keys: Words
    lengths: Integers | None
    arrays: dict[str, npt.NDArray[np.float32]]

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Records":
        """Keep the records where `chosen` (n,) is true."""
        if chosen.all():
            return self
        if self.lengths is None:
            lengths, rows = None, chosen
        else:
            lengths, rows = self.lengths[chosen], np.repeat(chosen, self.lengths)
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return Records(self.keys[chosen], lengths, arrays)

    def finite(self) -> "Records":
        """Keep the records without NaN or infinity."""
        rows = np.logical_and.reduce(
            [np.isfinite(array).all(axis=1) for array in self.arrays.values()]
        )
        if self.lengths is None:
            return self.select(rows)
        bad = np.zeros(len(self.keys), bool)
        owners = np.repeat(np.arange(len(self.keys)), self.lengths)
        bad[owners[~rows]] = True
        return self.select(~bad)

    def split(self, max_bytes: int) -> Iterator["Records"]:
        """Cut into parts of at most about `max_bytes`."""
        n_parts = -(-self.n_bytes // max_bytes)
        for positions in np.array_split(np.arange(len(self.keys)), max(1, n_parts)):
            if len(positions):
                chosen = np.zeros(len(self.keys), bool)
                chosen[positions] = True
                yield self.select(chosen)


def concatenate(parts: Sequence[Records]) -> Records:
    """Join records of the same fields."""
    first = parts[0]
    lengths = None
    if any(part.lengths is not None for part in parts):
        lengths = np.concatenate(
            [
                np.ones(len(part.keys), np.int64)
                if part.lengths is None
                else part.lengths
                for part in parts
            ]
        )
    arrays = {
        name: np.concatenate([part.arrays[name] for part in parts])
        for name in first.arrays
    }
    return Records(np.concatenate([part.keys for part in parts]), lengths, arrays)
