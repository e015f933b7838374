"""Finding keys: which segment contains them, and as which record."""

import numpy as np

from sklearn_elmo.store.checksums import Integers, Words, key_seeds


class KeyIndex:
    """A sorted table of keys, 32 bytes each.

    It is sorted by a 64-bit sum of both words of a key. Keys are hashes: two with the
    same sum are so rare that one of them may not be found. That costs a computation
    and never gives a wrong row, because the second word is compared too.
    """

    def __init__(self) -> None:
        self._keys = np.empty((2, 0), np.uint64)  # sums, second words
        self._places = np.empty((2, 0), np.int64)  # segments, records
        self._new: list[tuple[Words, Integers]] = []

    def add(self, segment: int, keys: Words) -> None:
        """Add all records of a segment; keys (n, 2)."""
        places = np.stack([np.full(len(keys), segment), np.arange(len(keys))])
        self._new.append((np.stack([key_seeds(keys), keys[:, 1]]), places))

    def remove(self, segment: int) -> None:
        """Remove all records of a segment."""
        self._merge()
        kept = self._places[0] != segment
        self._keys, self._places = self._keys[:, kept], self._places[:, kept]

    def find(self, keys: Words) -> tuple[Integers, Integers]:
        """Return the segments (n,) and records (n,) of keys (n, 2), -1 if missing."""
        self._merge()
        if not self._keys.size:
            missing = np.full(len(keys), -1)
            return missing, missing
        sums = key_seeds(keys)
        order = np.argsort(sums)  # searching in order uses the processor's cache
        spots = np.empty(len(keys), np.int64)
        spots[order] = np.searchsorted(self._keys[0], sums[order])
        spots[spots == self._keys.shape[1]] = 0
        found = (self._keys[0][spots] == sums) & (self._keys[1][spots] == keys[:, 1])
        segments, records = self._places[0][spots], self._places[1][spots]
        segments[~found] = records[~found] = -1
        return segments, records

    def distinct_keys(self) -> Words:
        """Return sum and second word of each distinct key; (n, 2)."""
        self._merge()
        differs = (self._keys[:, 1:] != self._keys[:, :-1]).any(axis=0)
        first = np.concatenate([np.ones(min(1, self._keys.shape[1]), bool), differs])
        return self._keys[:, first].T

    def _merge(self) -> None:
        if not self._new:
            return
        keys = np.hstack([self._keys, *(keys for keys, _ in self._new)])
        places = np.hstack([self._places, *(places for _, places in self._new)])
        # Stable: of several copies of a record, the one added first is used.
        order = np.argsort(keys[0], kind="stable")
        self._keys, self._places = keys[:, order], places[:, order]
        self._new.clear()
