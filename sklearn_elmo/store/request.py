"""One request: the wanted keys and fields, and the arrays that are being filled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.recipe import KEY_BYTES


@dataclass(frozen=True)
class Request:
    """Keys (n, 2), widths by field, rows per key, and the arrays to fill.

    ``lengths`` is None if every key has one row. ``starts`` (n,) are the first rows of
    the keys in the arrays.
    """

    keys: Words
    widths: Mapping[str, int]
    lengths: Integers | None
    starts: Integers
    out: dict[str, npt.NDArray[np.float32]]

    @classmethod
    def of(
        cls,
        keys: Sequence[bytes],
        widths: Mapping[str, int],
        lengths: Integers | None = None,
        out: Mapping[str, npt.NDArray[np.float32]] | None = None,
    ) -> "Request":
        """Make a request; without `out` its arrays are made, too."""
        rows_per_key = np.ones(len(keys), np.int64) if lengths is None else lengths
        starts = np.cumsum(rows_per_key) - rows_per_key
        n_rows = int(rows_per_key.sum())
        if out is None:
            out = {name: np.empty((n_rows, n), "f4") for name, n in widths.items()}
        return cls(as_words(keys), widths, lengths, starts, dict(out))

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self.out.values())

    def lengths_of(self, positions: Integers) -> Integers | None:
        """Return the number of rows of some keys; None means one."""
        return None if self.lengths is None else self.lengths[positions]

    def rows_of(self, positions: Integers) -> Integers:
        """Return the rows of the arrays that belong to some keys, in their order."""
        if self.lengths is None:
            return positions
        lengths = self.lengths[positions]
        before = np.cumsum(lengths) - lengths
        shift = np.repeat(self.starts[positions] - before, lengths)
        return shift + np.arange(len(shift))


def as_words(keys: Sequence[bytes]) -> Words:
    """View keys as an array of shape (n, 2)."""
    if any(len(key) != KEY_BYTES for key in keys):
        message = f"A key must have {KEY_BYTES} bytes; use text_key."
        raise ValueError(message)
    return np.frombuffer(b"".join(keys), "<u8").reshape(-1, 2)
