"""What this process knows of one recipe's folder; shared by all its stores and threads.

A clone of an estimator or a new store on the same path finds the index in memory.
No file stays open, so folders can change or vanish, and a forked child starts without
any views.
"""

import itertools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.index import KeyIndex
from sklearn_elmo.store.segment import SEGMENT_NAME, open_segment
from sklearn_elmo.store.segment_header import (
    Segment,
    SegmentDamagedError,
    SegmentFormatError,
    Signature,
)
from sklearn_elmo.store.shared_folder import is_gone, names_in
from sklearn_elmo.store.usage import Usage


@dataclass(frozen=True)
class Located:
    """Records of one segment, and the positions in the request that they answer."""

    segment: Segment
    records: Integers
    positions: Integers


class FolderView:
    """The segments of a folder, and an index of their keys.

    Attributes
    ----------
    seconds_per_text : float or None
        Duration of the last computation.
    stuck_claims : set of str
        Claims of other processes that are not waited for any more.
    claiming_is_stuck : bool
        True while a process that stopped prevents all others from claiming.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds_per_text: float | None = None
        self.stuck_claims: set[str] = set()
        self.claiming_is_stuck = False
        self.usage = Usage(folder)
        self._lock = threading.RLock()
        self._segments: dict[int, Segment] = {}
        self._ids: dict[str, int | None] = {}  # by file name; None: not to be used
        self._next_id = itertools.count().__next__
        self._indexes: dict[Signature, KeyIndex] = {}

    def refresh(self) -> list[tuple[Path, Exception]]:
        """Add new segments and drop those that are gone.

        Returns
        -------
        list of (path, error)
            Segments that cannot be used, each with a `SegmentDamagedError` or
            `SegmentFormatError` (reported once), or an OSError (the segment is tried
            again at the next refresh).

        Raises
        ------
        OSError
            If the folder cannot be listed.
        """
        problems: list[tuple[Path, Exception]] = []
        with self._lock:
            names = names_in(self.folder, SEGMENT_NAME)
            for name in self._ids.keys() - set(names):
                self.drop(name)
                del self._ids[name]
            for name in names:
                if name in self._ids:
                    continue
                try:
                    self._add(name)
                except OSError as error:
                    del self._ids[name]
                    if not is_gone(error):
                        problems.append((self.folder / name, error))
                except (SegmentDamagedError, SegmentFormatError) as error:
                    problems.append((self.folder / name, error))
        return problems

    def locate(
        self, keys: Words, fields: Mapping[str, int], positions: Integers
    ) -> tuple[list[Located], Integers]:
        """Find the keys at `positions` whose records have all the fields.

        Returns
        -------
        located : list of Located
        missing : ndarray of positions
        """
        wanted = frozenset(fields.items())
        located: list[Located] = []
        with self._lock:
            for signature, index in self._indexes.items():
                if not len(positions) or not wanted <= signature:
                    continue
                ids, records = index.find(keys[positions])
                located += self._by_segment(ids, records, positions)
                positions = positions[ids < 0]
        return located, positions

    def drop(self, name: str) -> None:
        """Stop using a segment."""
        with self._lock:
            segment_id = self._ids.get(name)
            self._ids[name] = None
            if segment_id is not None:
                segment = self._segments.pop(segment_id)
                self._indexes[segment.signature].remove(segment_id)

    def drop_until_refresh(self, name: str) -> None:
        """Stop using a segment that cannot be read now; `refresh` tries it again."""
        with self._lock:
            self.drop(name)
            del self._ids[name]

    def segments(self) -> list[Segment]:
        """Return the segments in use, oldest first."""
        with self._lock:
            return sorted(self._segments.values(), key=lambda segment: segment.path)

    def fields(self) -> list[dict[str, int]]:
        """Return the fields of each kind of record, the largest first."""
        with self._lock:
            return [dict(s) for s in sorted(self._indexes, key=len, reverse=True)]

    def is_ragged(self) -> bool:
        """Return True if records can have several rows."""
        return any(segment.is_ragged for segment in self.segments())

    def count(self) -> int:
        """Return the number of distinct keys."""
        with self._lock:
            keys = [index.distinct_keys() for index in self._indexes.values()]
        if len(keys) > 1:
            return len(np.unique(np.concatenate(keys), axis=0))
        return sum(map(len, keys))

    def _add(self, name: str) -> None:
        """Open a segment and index its keys; it is not used if that fails."""
        self._ids[name] = None
        segment, keys = open_segment(self.folder / name)
        self._ids[name] = segment_id = self._next_id()
        self._segments[segment_id] = segment
        index = self._indexes.setdefault(segment.signature, KeyIndex())
        index.add(segment_id, keys)

    def _by_segment(
        self, ids: Integers, records: Integers, positions: Integers
    ) -> list[Located]:
        order = np.lexsort([records, ids])  # the order in the files
        order = order[ids[order] >= 0]
        groups = np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)
        return [
            Located(self._segments[ids[group[0]]], records[group], positions[group])
            for group in groups
            if len(group)
        ]


_views: dict[Path, FolderView] = {}
_views_lock = threading.Lock()


def view_of(folder: Path) -> FolderView:
    """Return this process's view of a folder."""
    with _views_lock:
        return _views.setdefault(folder, FolderView(folder))


def forget_all() -> None:
    """Start again: another thread may have held a lock when the process forked."""
    global _views_lock
    _views_lock = threading.Lock()
    _views.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)
