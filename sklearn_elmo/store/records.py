"""Records in memory: keys, rows per record, and the rows of every field."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store.checksums import Integers, Words

_KEY_AND_LENGTH_BYTES = 24
_CHECKSUM_BYTES = 8


@dataclass(frozen=True)
class Records:
    """n records with m rows in total.

    Attributes
    ----------
    keys : ndarray of shape (n, 2), uint64
    lengths : ndarray of shape (n,), int64, or None
        Rows per record; None means one.
    arrays : dict of str to float32 ndarray of shape (m, width)
    """

    keys: Words
    lengths: Integers | None
    arrays: dict[str, npt.NDArray[np.float32]]

    @property
    def row_ends(self) -> Integers:
        """For each record the index of the first row behind it, (n,)."""
        if self.lengths is None:
            return np.arange(1, len(self.keys) + 1)
        return np.cumsum(self.lengths)

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Records":
        """Return the records where `chosen` (n,) is true."""
        if chosen.all():
            return self
        if self.lengths is None:
            lengths, rows = None, chosen
        else:
            lengths, rows = self.lengths[chosen], np.repeat(chosen, self.lengths)
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        return Records(self.keys[chosen], lengths, arrays)

    def finite(self) -> "Records":
        """Return the records without NaN or infinity."""
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
        """Yield parts of at most `max_bytes` on disk, or of a single larger record."""
        ends = self.row_ends
        row_bytes = sum(4 * a.shape[1] + _CHECKSUM_BYTES for a in self.arrays.values())
        byte_ends = ends * row_bytes
        byte_ends += _KEY_AND_LENGTH_BYTES * np.arange(1, len(ends) + 1)
        first, first_row, first_byte = 0, 0, 0
        while first < len(ends):
            limit = first_byte + max_bytes
            last = int(np.searchsorted(byte_ends, limit, side="right"))
            last = max(last, first + 1)
            rows = slice(first_row, int(ends[last - 1]))
            yield Records(
                self.keys[first:last],
                None if self.lengths is None else self.lengths[first:last],
                {name: array[rows] for name, array in self.arrays.items()},
            )
            first, first_row, first_byte = last, rows.stop, int(byte_ends[last - 1])


def concatenate(parts: Sequence[Records]) -> Records:
    """Join records of the same fields."""
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
        for name in parts[0].arrays
    }
    return Records(np.concatenate([part.keys for part in parts]), lengths, arrays)
