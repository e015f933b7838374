"""What this process knows of one recipe's folder; shared by all its stores and threads.

A clone of an estimator or a new store on the same path finds the index ready. Nothing
is held open, so folders can change or vanish under a view, and a forked child begins
with no views at all.
"""

import itertools
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sklearn_elmo.store.cache_warnings import warn_once
from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.files import entries_of
from sklearn_elmo.store.index import KeyIndex
from sklearn_elmo.store.segment import (
    SEGMENT_NAME,
    Segment,
    SegmentDamagedError,
    SegmentNewerError,
    Signature,
    open_segment,
)
from sklearn_elmo.store.usage import Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Located:
    """Records of one segment, and the positions in the request that they answer."""

    segment: Segment
    records: Integers
    positions: Integers


class FolderView:
    """The segments of a folder and where each key lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sharing = True  # until a claim has been kept too long
        self.seconds_per_text: float | None = None  # of the last computation
        self.usage = Usage(folder)
        self._lock = threading.RLock()
        self._segments: dict[int, Segment] = {}
        self._numbers: dict[str, int | None] = {}  # by name; None: not to be used
        self._next_number = itertools.count().__next__
        self._indexes: dict[Signature, KeyIndex] = {}

    def refresh(self) -> list[Path]:
        """Take in what has appeared and drop what has gone; -> damaged files."""
        with self._lock:
            names = {
                entry.name
                for entry in entries_of(self.folder)
                if SEGMENT_NAME.fullmatch(entry.name)
            }
            for name in self._numbers.keys() - names:
                self.drop(name)
                del self._numbers[name]
            new = sorted(names - self._numbers.keys())
            return [self.folder / name for name in new if not self._take_in(name)]

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
                numbers, records = index.find(keys[positions])
                located += self._by_segment(numbers, records, positions)
                positions = positions[numbers < 0]
        return located, positions

    def drop(self, name: str) -> None:
        """Use a segment no more."""
        with self._lock:
            number = self._numbers.get(name)
            self._numbers[name] = None
            if number is not None:
                segment = self._segments.pop(number)
                self._indexes[segment.signature].remove(number)

    def segments(self) -> list[Segment]:
        """List what is in use, oldest first."""
        with self._lock:
            return sorted(self._segments.values(), key=lambda segment: segment.path)

    def fields(self) -> list[dict[str, int]]:
        """List the shapes of records that there are, those of most fields first."""
        with self._lock:
            return [dict(s) for s in sorted(self._indexes, key=len, reverse=True)]

    def ragged(self) -> bool:
        """Tell whether records can have several rows."""
        return any(s.lengths_offset is not None for s in self.segments())

    def count(self) -> int:
        """Count the distinct keys; one in records of several shapes counts once."""
        with self._lock:
            keys = [index.distinct_keys() for index in self._indexes.values()]
        if len(keys) > 1:
            return len(np.unique(np.concatenate(keys), axis=0))
        return sum(map(len, keys))

    def _take_in(self, name: str) -> bool:
        """Open a segment and enter its keys; False if it is damaged."""
        self._numbers[name] = None
        try:
            segment, keys = open_segment(self.folder / name)
        except SegmentDamagedError:
            return False
        except SegmentNewerError as error:
            message = f"{self.folder / name} is left alone: it has {error}."
            warn_once(self.folder.parent, "newer format", message)
            return True
        except OSError as error:  # gone again, or out of reach: only a miss
            logger.info("Cannot read %s: %s", self.folder / name, error)
            del self._numbers[name]
            return True
        self._numbers[name] = number = self._next_number()
        self._segments[number] = segment
        index = self._indexes.setdefault(segment.signature, KeyIndex())
        index.add(number, keys)
        return True

    def _by_segment(
        self, numbers: Integers, records: Integers, positions: Integers
    ) -> list[Located]:
        order = np.lexsort([records, numbers])  # as they lie in the files
        order = order[numbers[order] >= 0]
        groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
        return [
            Located(self._segments[numbers[group[0]]], records[group], positions[group])
            for group in groups
            if len(group)
        ]


_views: dict[Path, FolderView] = {}
_views_lock = threading.Lock()


def view_of(folder: Path) -> FolderView:
    """Get this process's view of a folder."""
    with _views_lock:
        return _views.setdefault(folder, FolderView(folder))


def forget_all() -> None:
    """Begin anew: another thread may have held a lock when the process was forked."""
    global _views_lock
    _views_lock = threading.Lock()
    _views.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)
