"""Answering requests for records of one recipe: read what is there, compute the rest.

Nothing that goes wrong with the folder gets past this module: a record that cannot be
read is computed, and one that cannot be written is returned all the same.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store import maintenance
from sklearn_elmo.store.cache_warnings import warn_once
from sklearn_elmo.store.checksums import Integers, Words
from sklearn_elmo.store.claims import share_out
from sklearn_elmo.store.files import is_gone, make_store_folder
from sklearn_elmo.store.recipe import KEY_BYTES, Recipe
from sklearn_elmo.store.records import Records
from sklearn_elmo.store.segment import (
    SegmentDamagedError,
    is_as_written,
    read_records,
)
from sklearn_elmo.store.segment_writer import as_stored
from sklearn_elmo.store.view import FolderView, Located, view_of

logger = logging.getLogger(__name__)

Compute = Callable[[Sequence[int]], Mapping[str, npt.NDArray[Any]]]

_TOUCH_INTERVAL_S = 3600
_READ_ATTEMPTS = 5  # segments can be merged or evicted while they are being read
# Segments are read side by side from so many bytes on; threads cost 0.2 ms to start.
_BYTES_FOR_THREADS = 2**23
_N_THREADS = 2


@dataclass(frozen=True)
class _Request:
    """Keys (n, 2), fields and rows per key, with the arrays that are being filled."""

    keys: Words
    widths: Mapping[str, int]
    lengths: Integers | None
    starts: Integers
    out: dict[str, npt.NDArray[np.float32]]

    @classmethod
    def of(
        cls,
        keys: Sequence[bytes],
        fields: Mapping[str, int],
        lengths: Integers | None,
    ) -> "_Request":
        ones = np.ones(len(keys), np.int64)
        starts = np.cumsum(ones if lengths is None else lengths)
        n_rows = int(starts[-1]) if len(keys) else 0
        starts -= ones if lengths is None else lengths
        out = {name: np.empty((n_rows, width), "f4") for name, width in fields.items()}
        return cls(_as_words(keys), fields, lengths, starts, out)

    def lengths_of(self, positions: Integers) -> Integers | None:
        return None if self.lengths is None else self.lengths[positions]

    def rows_of(self, positions: Integers) -> Integers:
        """List the rows of the arrays that belong to positions, in their order."""
        if self.lengths is None:
            return positions
        lengths = self.lengths[positions]
        before = np.cumsum(lengths) - lengths
        shift = np.repeat(self.starts[positions] - before, lengths)
        return shift + np.arange(len(shift))


class RecipeFolder:
    """The records of one recipe in a store. Made by `EmbeddingStore.recipe`.

    Parameters
    ----------
    store : Path
        The store's folder.
    recipe : Recipe
    max_bytes : int or None
        Bound of the whole store.
    """

    def __init__(self, store: Path, recipe: Recipe, max_bytes: int | None) -> None:
        self.store = store
        self.recipe = recipe
        self.max_bytes = max_bytes
        self.path = store / recipe.folder_name

    def missing(
        self, keys: Sequence[bytes], fields: Mapping[str, int]
    ) -> npt.NDArray[np.int64]:
        """Tell which keys have no record with all the fields.

        Parameters
        ----------
        keys : sequence of bytes
            16 bytes each.
        fields : mapping of str to int
            Names and widths.

        Returns
        -------
        ndarray of shape (n_missing,), int64
            Positions in `keys`.
        """
        view = view_of(self.path)
        self._refresh(view)
        return view.locate(_as_words(keys), fields, np.arange(len(keys)))[1]

    def get_or_compute(
        self, keys: Sequence[bytes], fields: Mapping[str, int], compute: Compute
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Read records of one row, and compute and store those that are missing.

        Parameters
        ----------
        keys : sequence of bytes
            n distinct keys of 16 bytes; see `text_key`.
        fields : mapping of str to int
            Names and widths of the wanted fields. A key whose record lacks one of
            them is computed again, and the new record supersedes the old one.
        compute : callable
            Gets a list of positions in `keys` and returns arrays of shape
            (n_positions, width), by field. It may return more fields than are wanted:
            all are stored. It is called several times, each time for a part of what is
            missing; other processes may do the rest.

        Returns
        -------
        dict of str to float32 ndarray of shape (n, width)
            The wanted fields, rows in the order of `keys`. A computed number is
            rounded as the store keeps it, so the first answer equals the later ones.

        Raises
        ------
        ValueError
            If keys are not distinct or of another length, or if `compute` returns
            arrays of other shapes than it should.
        """
        return self._get(keys, None, fields, compute)

    def get_or_compute_ragged(
        self,
        keys: Sequence[bytes],
        lengths: Sequence[int] | Integers,
        fields: Mapping[str, int],
        compute: Compute,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Do the same for records of several rows, such as one a token.

        Parameters
        ----------
        keys, fields, compute
            As in `get_or_compute`, but arrays have all rows of the first key, then
            all rows of the second, and so on.
        lengths : sequence of int
            Rows of each record. In one recipe a key must always have the same number.

        Returns
        -------
        dict of str to float32 ndarray of shape (sum of lengths, width)
        """
        return self._get(keys, np.asarray(lengths, np.int64), fields, compute)

    def _get(
        self,
        keys: Sequence[bytes],
        lengths: Integers | None,
        fields: Mapping[str, int],
        compute: Compute,
    ) -> dict[str, npt.NDArray[np.float32]]:
        request = _Request.of(keys, fields, lengths)
        positions = np.arange(len(keys))
        if request.lengths is not None:
            positions = positions[request.lengths > 0]
        view = view_of(self.path)
        missing = self._read(view, request, positions)
        computed = 0

        def compute_and_publish(some: Integers) -> None:
            nonlocal computed
            computed += len(some)
            self._publish(view, self._computed(request, compute, some))

        def read_again(some: Integers) -> Integers:
            self._refresh(view)
            return self._read(view, request, some)

        if len(missing):
            if len(set(keys)) < len(keys):
                message = "The keys of a request must be distinct."
                raise ValueError(message)
            missing = read_again(missing)
        if len(missing):
            try:
                self._make()
            except OSError as error:
                self._warn(error)
            share_out(view, request.keys, missing, read_again, compute_and_publish)
        view.usage.count(hits=len(keys) - computed, misses=computed)
        return request.out

    # ------------------------------------------------------------------------- reading

    def _refresh(self, view: FolderView) -> None:
        try:
            damaged = view.refresh()
        except OSError as error:
            self._warn(error)
            return
        for path in damaged:
            self._set_aside(view, path)

    def _read(
        self, view: FolderView, request: _Request, positions: Integers
    ) -> Integers:
        """Fill in what the folder has of some positions; return the others."""
        unread = positions
        for _ in range(_READ_ATTEMPTS):
            located, missing = view.locate(request.keys, request.widths, unread)
            failed = self._read_segments(view, request, located)
            if not any(map(len, failed)):
                return missing
            self._refresh(view)
            unread = np.concatenate([missing, *failed])
        return np.sort(unread)

    def _read_segments(
        self, view: FolderView, request: _Request, located: list[Located]
    ) -> list[Integers]:
        """Read records of several segments; return the positions where that failed."""
        read = partial(self._read_segment, view, request)
        n_bytes = sum(array.nbytes for array in request.out.values())
        if len(located) < 2 or n_bytes < _BYTES_FOR_THREADS:
            return list(map(read, located))
        # Copying and checking rows keeps no other thread of Python waiting.
        with ThreadPoolExecutor(_N_THREADS) as pool:
            return list(pool.map(read, located))

    def _read_segment(
        self, view: FolderView, request: _Request, part: Located
    ) -> Integers:
        """Read records of one segment; return the positions where that failed."""
        path, positions = part.segment.path, part.positions
        try:
            with path.open("rb", buffering=0) as file:
                whole = read_records(
                    part.segment,
                    file,
                    part.records,
                    request.keys[positions],
                    request.lengths_of(positions),
                    request.out,
                    request.rows_of(positions),
                )
                _touch(path, os.fstat(file.fileno()).st_mtime)
        except SegmentDamagedError:
            whole = np.zeros(len(positions), bool)
        except OSError as error:
            if not is_gone(error):
                self._warn(error)
            view.drop(path.name)
            return positions
        if not whole.all():
            self._set_aside(view, path)
        return positions[~whole]

    def _set_aside(self, view: FolderView, path: Path) -> None:
        """Use a segment no more, and move it away if its bytes have changed."""
        view.drop(path.name)
        try:
            if is_as_written(path):
                return
            maintenance.set_aside(path, self.recipe.dtype)
        except OSError as error:
            if is_gone(error):  # another process has done it
                return
            logger.info("Cannot move %s: %s", path, error)
        message = f"{path} is damaged; what was in it is computed again."
        warn_once(self.store, "damage", message)

    # ----------------------------------------------------------------------- computing

    def _computed(
        self, request: _Request, compute: Compute, positions: Integers
    ) -> Records:
        """Compute positions and fill in what was asked for."""
        rows = request.rows_of(positions)
        arrays = {
            name: as_stored(array, self.recipe.dtype)
            for name, array in compute(positions.tolist()).items()
        }
        for name, array in arrays.items():
            width = request.widths.get(name, array.shape[-1])
            if array.shape != (len(rows), width):
                message = (
                    f"Field {name!r} was computed with shape {array.shape}; "
                    f"expected {(len(rows), width)}."
                )
                raise ValueError(message)
        if lacking := request.widths.keys() - arrays.keys():
            message = f"Fields {sorted(lacking)} were asked for but not computed."
            raise ValueError(message)
        for name, out in request.out.items():
            out[rows] = arrays[name]
        return Records(request.keys[positions], request.lengths_of(positions), arrays)

    def _publish(self, view: FolderView, records: Records) -> None:
        """Store records, if that can be done."""
        finite = records.finite()
        if len(finite.keys) < len(records.keys):
            message = "Some of the computed numbers are NaN or infinite; these texts "
            warn_once(self.store, "not finite", message + "are not cached.")
        if not len(finite.keys):
            return
        try:
            written = self._write(finite)
        except (OSError, MemoryError) as error:
            self._warn(error)
            return
        maintenance.after_writing(self.path, self.recipe.dtype, self.max_bytes, written)
        self._refresh(view)

    def _write(self, records: Records) -> list[Path]:
        try:
            return maintenance.write_all(self.path, records, self.recipe.dtype)
        except FileNotFoundError:  # somebody has deleted the folder
            self._make()
            return maintenance.write_all(self.path, records, self.recipe.dtype)

    def _make(self) -> None:
        make_store_folder(self.store)
        self.path.mkdir(exist_ok=True)
        self.recipe.write(self.path)

    def _warn(self, error: OSError | MemoryError) -> None:
        number = getattr(error, "errno", None) or 0
        message = (
            f"The cache in {self.store} cannot be used as it should: {error}. The "
            f"numbers are right, but may be computed again."
        )
        warn_once(self.store, errno.errorcode.get(number, repr(error)), message)


def _as_words(keys: Sequence[bytes]) -> Words:
    """View keys as an array of shape (n, 2)."""
    joined = b"".join(keys)
    if len(joined) != KEY_BYTES * len(keys):
        message = f"Keys must have {KEY_BYTES} bytes."
        raise ValueError(message)
    return np.frombuffer(joined, "<u8").reshape(-1, 2)


def _touch(path: Path, last_touched: float) -> None:
    """Note that a segment is in use, for the eviction of others."""
    if time.time() - last_touched > _TOUCH_INTERVAL_S:
        with suppress(OSError):
            os.utime(path)
