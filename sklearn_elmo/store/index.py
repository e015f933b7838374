"""Finding keys: which segment holds them, and which record of it they are."""

import numpy as np

from sklearn_elmo.store.checksums import Integers, Words, key_seeds


class KeyIndex:
    """A sorted table of keys, 32 bytes each.

    It is sorted by a 64-bit sum of both halves of the key. Keys are hashes: two of the
    same sum are so rare that one of them may stay unfound, which costs a computation
    and never a wrong row, as the second half is compared too.
    """

    def __init__(self) -> None:
        self._keys = np.empty((2, 0), np.uint64)  # sums, second halves
        self._places = np.empty((2, 0), np.int64)  # segments, records
        self._new: list[tuple[Words, Integers]] = []

    def add(self, segment: int, keys: Words) -> None:
        """Enter all records of a segment; keys (n, 2)."""
        places = np.stack([np.full(len(keys), segment), np.arange(len(keys))])
        self._new.append((np.stack([key_seeds(keys), keys[:, 1]]), places))

    def remove(self, segment: int) -> None:
        """Forget all records of a segment."""
        self._merge()
        kept = self._places[0] != segment
        self._keys, self._places = self._keys[:, kept], self._places[:, kept]

    def find(self, keys: Words) -> tuple[Integers, Integers]:
        """Look keys (n, 2) up; -> segments (n,) and records (n,), -1 where missing."""
        self._merge()
        if not self._keys.size:
            missing = np.full(len(keys), -1)
            return missing, missing
        sums = key_seeds(keys)
        order = np.argsort(sums)  # searching in order is easy on the cache
        spots = np.empty(len(keys), np.int64)
        spots[order] = np.searchsorted(self._keys[0], sums[order])
        spots[spots == self._keys.shape[1]] = 0
        found = (self._keys[0][spots] == sums) & (self._keys[1][spots] == keys[:, 1])
        segments, records = self._places[0][spots], self._places[1][spots]
        segments[~found] = records[~found] = -1
        return segments, records

    def distinct_keys(self) -> Words:
        """List what tells keys apart, once for each of them; (n, 2)."""
        self._merge()
        differs = (self._keys[:, 1:] != self._keys[:, :-1]).any(axis=0)
        first = np.concatenate([np.ones(min(1, self._keys.shape[1]), bool), differs])
        return self._keys[:, first].T

    def _merge(self) -> None:
        if not self._new:
            return
        keys = np.hstack([self._keys, *(keys for keys, _ in self._new)])
        places = np.hstack([self._places, *(places for _, places in self._new)])
        # Stable: among copies of a record the one entered first wins, for everyone.
        order = np.argsort(keys[0], kind="stable")
        self._keys, self._places = keys[:, order], places[:, order]
        self._new.clear()
