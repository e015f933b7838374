"""Reading the records of one recipe, and computing and storing those that are missing.

No problem with the folder leaves this module: a record that cannot be read is computed,
and one that cannot be written is returned anyway.
"""

import errno
import io
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store import maintenance
from sklearn_elmo.store.cache_warnings import warn_once
from sklearn_elmo.store.checksums import Integers
from sklearn_elmo.store.claims import share_out
from sklearn_elmo.store.recipe import Recipe
from sklearn_elmo.store.records import Records
from sklearn_elmo.store.request import Request, as_words
from sklearn_elmo.store.segment import open_file, read_records
from sklearn_elmo.store.segment_header import SegmentDamagedError, SegmentFormatError
from sklearn_elmo.store.segment_writer import as_stored, write_segments
from sklearn_elmo.store.shared_folder import is_gone
from sklearn_elmo.store.view import FolderView, Located, view_of

logger = logging.getLogger(__name__)

Compute = Callable[[Sequence[int]], Mapping[str, npt.NDArray[Any]]]

_TOUCH_INTERVAL_S = 3600
_READ_ATTEMPTS = 5  # segments can be merged or evicted while they are being read
# Larger requests read several segments in parallel; starting threads takes 0.2 ms.
_BYTES_FOR_THREADS = 2**23
_N_THREADS = 2


class RecipeFolder:
    """The records of one recipe in a store, as returned by `EmbeddingStore.recipe`.

    Parameters
    ----------
    store : Path
        The store's folder.
    recipe : Recipe
    max_bytes : int or None
        Limit for the whole store.
    """

    def __init__(self, store: Path, recipe: Recipe, max_bytes: int | None) -> None:
        self.store = store
        self.recipe = recipe
        self.max_bytes = max_bytes
        self.path = store / recipe.folder_name

    def missing(
        self, keys: Sequence[bytes], fields: Mapping[str, int]
    ) -> npt.NDArray[np.int64]:
        """Return which keys have no record with all the fields.

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
        return view.locate(as_words(keys), fields, np.arange(len(keys)))[1]

    def get_or_compute(
        self, keys: Sequence[bytes], fields: Mapping[str, int], compute: Compute
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Read records of one row each; compute and store those that are missing.

        Parameters
        ----------
        keys : sequence of bytes
            n distinct keys of 16 bytes; see `text_key`.
        fields : mapping of str to int
            Names and widths of the wanted fields. A key whose record lacks one of
            them is computed again, and the new record replaces the old one.
        compute : callable
            Receives a list of positions in `keys` and returns arrays of shape
            (n_positions, width), by field. It may return more fields than are wanted:
            all are stored. It is called several times, each time for some of the
            missing positions; other processes may compute the rest.

        Returns
        -------
        dict of str to float32 ndarray of shape (n, width)
            The wanted fields, rows in the order of `keys`. Computed numbers are
            rounded as they are stored, so the first answer equals later ones.

        Raises
        ------
        ValueError
            If keys are not distinct or do not have 16 bytes, or if `compute` returns
            arrays of the wrong shape.
        """
        return self._get(Request.of(keys, fields), compute)

    def get_or_compute_ragged(
        self,
        keys: Sequence[bytes],
        lengths: Sequence[int] | Integers,
        fields: Mapping[str, int],
        compute: Compute,
        out: Mapping[str, npt.NDArray[np.float32]] | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Do the same for records of several rows, such as one per token.

        Parameters
        ----------
        keys, fields, compute
            As in `get_or_compute`, but arrays contain all rows of the first key, then
            all rows of the second, and so on.
        lengths : sequence of int
            Number of rows of each record; always the same for a key of one recipe.
        out : mapping of str to ndarray, optional
            Arrays to fill and to return, by field; their rows need not be adjacent.

        Returns
        -------
        dict of str to float32 ndarray of shape (sum of lengths, width)
        """
        rows_per_key = np.asarray(lengths, np.int64)
        return self._get(Request.of(keys, fields, rows_per_key, out), compute)

    def _get(
        self, request: Request, compute: Compute
    ) -> dict[str, npt.NDArray[np.float32]]:
        keys = request.keys
        positions = np.arange(len(keys))
        if request.lengths is not None:
            positions = positions[request.lengths > 0]
        view = view_of(self.path)
        missing = self._read(view, request, positions)
        n_computed = 0

        def compute_and_store(some: Integers) -> None:
            nonlocal n_computed
            n_computed += len(some)
            self._store(view, self._compute(request, compute, some))

        def read_again(some: Integers) -> Integers:
            self._refresh(view)
            return self._read(view, request, some)

        if len(missing):
            if len(np.unique(keys, axis=0)) < len(keys):
                message = "The keys of a request must be distinct."
                raise ValueError(message)
            missing = read_again(missing)
        if len(missing):
            try:
                self.recipe.make_folder(self.store)
            except OSError as error:
                self._warn(error)
                self._compute(request, compute, missing)
                return request.out
            share_out(view, request.keys, missing, read_again, compute_and_store)
        view.usage.count(hits=len(keys) - n_computed, misses=n_computed)
        return request.out

    # ------------------------------------------------------------------------- reading

    def _refresh(self, view: FolderView) -> None:
        try:
            problems = view.refresh()
        except OSError as error:
            self._warn(error)
            return
        for path, problem in problems:
            if isinstance(problem, OSError):
                self._warn(problem)
            elif isinstance(problem, SegmentFormatError):
                self._leave_alone(path, problem)
            else:
                self._set_aside(view, path)

    def _read(
        self, view: FolderView, request: Request, positions: Integers
    ) -> Integers:
        """Fill in some positions from the folder; return those that it lacks."""
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
        self, view: FolderView, request: Request, located: list[Located]
    ) -> list[Integers]:
        """Read records of several segments; return the positions where that failed."""
        read = partial(self._read_segment, view, request)
        if len(located) < 2 or request.n_bytes < _BYTES_FOR_THREADS:
            return list(map(read, located))
        # Copying and verifying rows releases Python's global lock.
        with ThreadPoolExecutor(_N_THREADS) as pool:
            return list(pool.map(read, located))

    def _read_segment(
        self, view: FolderView, request: Request, part: Located
    ) -> Integers:
        """Read records of one segment; return the positions where that failed."""
        path, positions = part.segment.path, part.positions
        try:
            with open_file(path) as file:
                whole = read_records(
                    part.segment,
                    file,
                    part.records,
                    request.keys[positions],
                    request.lengths_of(positions),
                    request.out,
                    request.rows_of(positions),
                )
                _touch(path, file)
        except SegmentDamagedError:
            whole = np.zeros(len(positions), bool)
        except OSError as error:
            if not is_gone(error):
                self._warn(error)
            view.drop_until_refresh(path.name)
            return positions
        failed = positions[~whole]
        if len(failed):
            keys = (request.keys[position].tobytes() for position in failed)
            self._set_aside(view, path, leave_out=keys)
        return failed

    def _set_aside(
        self, view: FolderView, path: Path, leave_out: Iterable[bytes] = ()
    ) -> None:
        """Move a damaged segment away; records other than `leave_out` are kept."""
        view.drop(path.name)
        try:
            maintenance.set_aside(path, self.recipe.dtype, leave_out)
        except (OSError, MemoryError) as error:
            if isinstance(error, OSError) and is_gone(error):
                return  # another process has done it
            logger.info("Cannot move %s: %s", path, error)
        message = f"{path} is damaged or odd; its content is computed again."
        warn_once(self.store, "damage", message)

    def _leave_alone(self, path: Path, error: SegmentFormatError) -> None:
        if error.is_newer:
            message = f"{path} is left alone: it has {error}."
            warn_once(self.store, "newer format", message)
        else:
            logger.info("%s is not used: it has %s", path, error)

    # ----------------------------------------------------------------------- computing

    def _compute(
        self, request: Request, compute: Compute, positions: Integers
    ) -> Records:
        """Compute some positions, and fill in what was asked for."""
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
            message = f"The fields {sorted(lacking)} were not computed."
            raise ValueError(message)
        for name, out in request.out.items():
            out[rows] = arrays[name]
        return Records(request.keys[positions], request.lengths_of(positions), arrays)

    def _store(self, view: FolderView, records: Records) -> None:
        """Write records, if possible."""
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
        if written:
            maintenance.tidy(self.path, self.recipe.dtype, self.max_bytes, written)
        self._refresh(view)

    def _write(self, records: Records) -> list[Path]:
        try:
            return write_segments(self.path, records, self.recipe.dtype)
        except FileNotFoundError:  # somebody has deleted the folder
            self.recipe.make_folder(self.store)
            return write_segments(self.path, records, self.recipe.dtype)

    def _warn(self, error: OSError | MemoryError) -> None:
        number = getattr(error, "errno", None) or 0
        message = (
            f"The cache in {self.store} does not work: {error}. Results are correct, "
            "but may have to be computed again."
        )
        warn_once(self.store, errno.errorcode.get(number, repr(error)), message)


def _touch(path: Path, file: io.FileIO) -> None:
    """Note that a segment is in use, so that others are evicted first."""
    if time.time() - os.fstat(file.fileno()).st_mtime > _TOUCH_INTERVAL_S:
        with suppress(OSError):
            os.utime(file.fileno() if os.utime in os.supports_fd else path)
