"""Finding keys: which segment holds them, and which record of it they are."""

import numpy as np

from sklearn_elmo.store.checks import Integers, Words


class KeyIndex:
    """A sorted table of keys, 40 bytes each.

    It is sorted by the first half of the key alone. Keys are hashes: two that share
    the half are so rare that one of them may stay unfound, which costs a computation
    and never a wrong row, as the other half is compared too.
    """

    def __init__(self) -> None:
        self._keys: Words = np.empty((0, 2), np.uint64)
        self._halves: Words = np.empty(0, np.uint64)  # self._keys[:, 0], contiguous
        self._places: Integers = np.empty((0, 2), np.int64)  # segment, record
        self._new: list[tuple[Words, Integers]] = []

    def add(self, segment: int, keys: Words) -> None:
        """Enter all records of a segment; keys (n, 2)."""
        places = np.empty((len(keys), 2), np.int64)
        places[:, 0] = segment
        places[:, 1] = np.arange(len(keys))
        self._new.append((keys, places))

    def remove(self, segment: int) -> None:
        """Forget all records of a segment."""
        self._merge()
        kept = self._places[:, 0] != segment
        self._keep(self._keys[kept], self._places[kept])

    def find(self, keys: Words) -> tuple[Integers, Integers]:
        """Look keys (n, 2) up; -> segments (n,) and records (n,), -1 where missing."""
        self._merge()
        if not len(self._keys):
            missing = np.full(len(keys), -1)
            return missing, missing
        spots = np.searchsorted(self._halves, keys[:, 0])
        spots[spots == len(self._keys)] = 0
        found = (self._keys[spots] == keys).all(axis=1)
        places = np.where(found[:, None], self._places[spots], -1)
        return places[:, 0], places[:, 1]

    def distinct_keys(self) -> Words:
        """List the keys without copies; (n, 2)."""
        self._merge()
        first = np.ones(len(self._keys), bool)
        first[1:] = (self._keys[1:] != self._keys[:-1]).any(axis=1)
        return self._keys[first]

    def _merge(self) -> None:
        if not self._new:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._new)])
        places = np.concatenate([self._places, *(places for _, places in self._new)])
        # Stable: among copies of a record the one entered first wins, for everyone.
        order = np.argsort(keys[:, 0], kind="stable")
        self._keep(keys[order], places[order])
        self._new.clear()

    def _keep(self, keys: Words, places: Integers) -> None:
        self._keys, self._places = keys, places
        self._halves = np.ascontiguousarray(keys[:, 0])
