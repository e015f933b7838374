"""Finding keys: which segment contains them, and as which record."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sklearn_elmo.store.checksums import Integers, Words, key_seeds


class _Table(NamedTuple):
    """Keys and where they are, sorted by the sums of the keys."""

    keys: Words  # (2, n): sums, second words
    places: Integers  # (2, n): segments, records

    @property
    def size(self) -> int:
        return len(self.keys[0])


class KeyIndex:
    """Sorted tables of keys, 32 bytes each.

    They are sorted by a 64-bit sum of both words of a key. Keys are hashes: two with
    the same sum are so rare that one of them may not be found. That costs a computation
    and never gives a wrong row, because the second word is compared too.

    Each table is at least twice as large as the next one, so that adding a key to a
    million does not sort a million.
    """

    def __init__(self) -> None:
        self._tables: list[_Table] = []  # the oldest first
        self._new: list[_Table] = []  # not sorted yet

    def add(self, segment: int, keys: Words) -> None:
        """Add all records of a segment; keys (n, 2)."""
        places = np.stack([np.full(len(keys), segment), np.arange(len(keys))])
        self._new.append(_Table(np.stack([key_seeds(keys), keys[:, 1]]), places))

    def remove(self, segment: int) -> None:
        """Remove all records of a segment."""
        self._sort()
        for number, table in enumerate(self._tables):
            kept = table.places[0] != segment
            if not kept.all():
                left = _Table(table.keys[:, kept], table.places[:, kept])
                self._tables[number] = left

    def find(self, keys: Words) -> tuple[Integers, Integers]:
        """Return the segments (n,) and records (n,) of keys (n, 2), -1 if missing."""
        self._sort()
        segments, records = np.full((2, len(keys)), -1)
        sums = key_seeds(keys)
        order = np.argsort(sums)  # searching in order uses the processor's cache
        sums, words = sums[order], keys[order, 1]
        for table in reversed(self._tables):  # the oldest copy of a record is used
            if not table.size:
                continue
            spots = np.searchsorted(table.keys[0], sums)
            spots[spots == table.size] = 0
            found = (table.keys[0][spots] == sums) & (table.keys[1][spots] == words)
            positions = order[found]
            segments[positions], records[positions] = table.places[:, spots[found]]
        return segments, records

    def distinct_keys(self) -> Words:
        """Return sum and second word of each distinct key; (n, 2)."""
        if not (tables := [*self._tables, *self._new]):
            return np.empty((0, 2), np.uint64)
        keys = _sorted(tables).keys
        differs = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        first = np.concatenate([np.ones(min(1, keys.shape[1]), bool), differs])
        return keys[:, first].T

    def _sort(self) -> None:
        if self._new:
            self._tables.append(_sorted(self._new))
            self._new.clear()
        while len(self._tables) > 1 and _are_alike(*self._tables[-2:]):
            self._tables[-2:] = [_sorted(self._tables[-2:])]


def _are_alike(older: _Table, newer: _Table) -> bool:
    return older.size < 2 * newer.size


def _sorted(tables: Sequence[_Table]) -> _Table:
    keys = np.hstack([table.keys for table in tables])
    places = np.hstack([table.places for table in tables])
    # Stable: of several copies of a record, the one added first is used.
    order = np.argsort(keys[0], kind="stable")
    return _Table(keys[:, order], places[:, order])
