"""One 64-bit checksum per row, cheap enough to be verified on every read.

The checksum of a row is a multilinear hash modulo 2**64 (Lemire and Kaser, "Strongly
universal string hashing is fast", 2014) of its 8-byte words, with fixed odd weights,
added to a seed made of the key, the field's name and the row's position in its record.
Odd weights make every flipped bit change the sum; the seed reveals a row that is stored
under the wrong key or field. It protects against accidents, not against forgery.
"""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_WORD_BYTES = 8
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def key_seeds(keys: Words) -> Words:
    """Return one seed per key; keys (n, 2) uint64 -> (n,) uint64."""
    return row_sums(keys)


def token_seeds(seeds: Words, positions: Integers) -> Words:
    """Make the seeds of the rows of a record differ by position; all (n,)."""
    return seeds + positions.astype(np.uint64) * _GOLDEN_RATIO


@lru_cache(maxsize=1024)
def field_seed(name: str) -> np.uint64:
    """Return the seed of a field."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8)
    return np.uint64(int.from_bytes(digest.digest(), "little"))


def checksums_of(sums: Words, name: str, seeds: Words) -> Words:
    """Return the checksums of rows of field `name` from their `row_sums`; all (n,)."""
    return sums + seeds + field_seed(name)


def row_sums(rows: npt.NDArray[Any]) -> Words:
    """Return the weighted sum of the 8-byte words of each row (C-contiguous)."""
    row_bytes = rows.shape[1] * rows.itemsize
    if row_bytes % _WORD_BYTES:
        padded = np.zeros((len(rows), -(-row_bytes // _WORD_BYTES) * 8), np.uint8)
        padded[:, :row_bytes] = rows.view(np.uint8)
        rows = padded
    words = rows.view("<u8")
    sums: Words = np.einsum("ij,j->i", words, _weights(words.shape[1]))
    return sums


@lru_cache(maxsize=64)
def _weights(count: int) -> Words:
    """Return `count` fixed odd numbers (splitmix64 of 1, 2, ...)."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_RATIO
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)
