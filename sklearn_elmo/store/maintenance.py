"""Merging, evicting, setting aside and removing segments.

A merged segment is written before its sources are removed, so a crash in between
leaves copies and loses nothing. Only plain files and links themselves are removed, and
only from plain folders.
"""

import logging
import os
import re
import stat
from bisect import bisect
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import TEMPORARY_SUFFIX
from sklearn_elmo.store.claims import CLAIM_LOCK, KEYS_SUFFIX
from sklearn_elmo.store.locks import LOCK_FOLDER, lock
from sklearn_elmo.store.recipe import RECIPE_FILE, RECIPE_FOLDER
from sklearn_elmo.store.records import Records, concatenate
from sklearn_elmo.store.segment import (
    SEGMENT_NAME,
    is_as_written,
    open_file,
    open_segment,
    read_lengths,
    read_records,
)
from sklearn_elmo.store.segment_header import (
    SegmentDamagedError,
    SegmentFormatError,
    Signature,
)
from sklearn_elmo.store.segment_writer import MAX_SEGMENT_BYTES, write_segments
from sklearn_elmo.store.shared_folder import (
    check_plain_folder,
    folders_in,
    names_in,
    remove_file,
)
from sklearn_elmo.store.usage import USAGE_FILE

QUARANTINE = "quarantine"

# A folder keeps fewer than this many segments of each size class, so that a row is
# rewritten about once per class, not at every merge.
_SEGMENTS_PER_CLASS = 16
_SIZE_CLASSES = (2**20, 2**23, 2**26)  # upper bounds in bytes; larger ones stay
_LEFTOVER_AGE_S = 24 * 3600

_TEMPORARY_FILE = re.compile(rf"\..*{re.escape(TEMPORARY_SUFFIX)}")
_OWN_FILE = re.compile(
    rf"{SEGMENT_NAME.pattern}|{RECIPE_FILE}|{USAGE_FILE}|{_TEMPORARY_FILE.pattern}"
)
_LOCK_FILE = re.compile(
    rf"claims|usage|maintenance|{CLAIM_LOCK.pattern}({re.escape(KEYS_SUFFIX)})?"
)

logger = logging.getLogger(__name__)


class StoreSize(NamedTuple):
    """Number of segments in a store, and bytes of these and of damaged files."""

    segments: int
    bytes: int


def size_of(folders: Iterable[Path]) -> StoreSize:
    """Measure some recipes' folders."""
    n_segments = n_bytes = 0
    for folder in folders:
        sizes = segment_sizes(folder)
        n_segments += len(sizes)
        n_bytes += sum(sizes) + sum(segment_sizes(folder / QUARANTINE))
    return StoreSize(n_segments, n_bytes)


def tidy(
    folder: Path, dtype: str, max_bytes: int | None, written: Sequence[Path]
) -> None:
    """Keep a folder and its store in bounds, unless another process is doing so."""
    store = folder.parent
    try:
        with ExitStack() as held:
            if not lock(held, store, "maintenance"):
                return
            _remove_leftovers(folder, now=written[-1].stat().st_mtime)
            for crowd in _crowds(folder):
                merge(crowd, dtype, set(), set())
            if max_bytes is not None:
                _evict(store, max_bytes, keep=set(written))
    except (OSError, MemoryError) as error:  # the records are safe; try another time
        logger.info("Maintenance of %s was cut short: %s", folder, error)


def compact(folder: Path, dtype: str) -> None:
    """Merge the segments of a folder; drop copies, superseded records and damage."""
    for path in segment_paths(folder):
        try:
            open_segment(path)
            whole = is_as_written(path)
        except SegmentFormatError as error:
            if not error.is_newer:
                remove_file(path)
            continue
        except SegmentDamagedError:
            whole = False
        if not whole:
            set_aside(path, dtype)
    groups = _by_signature(segment_paths(folder))
    seen: dict[Signature, set[bytes]] = {}
    for signature in sorted(groups, key=len, reverse=True):
        superseding = [keys for other, keys in seen.items() if signature < other]
        seen[signature] = set().union(*superseding)
        for batch in _batches(groups[signature]):
            merge(batch, dtype, seen[signature], set())
    for path in segment_paths(folder / QUARANTINE):
        remove_file(path)


def set_aside(path: Path, dtype: str, leave_out: Iterable[bytes] = ()) -> None:
    """Move a damaged segment away, and write the records that are whole again.

    Parameters
    ----------
    path : Path
    dtype : {"float32", "float16"}
    leave_out : iterable of bytes
        Keys of records that must not be kept.
    """
    merge([path], dtype, set(leave_out), {path})


def merge(
    paths: Sequence[Path], dtype: str, seen: set[bytes], known_damaged: Collection[Path]
) -> None:
    """Write the records of some segments again, without those whose keys are in `seen`.

    The keys of all records are added to `seen`. Damaged rows are left out, and damaged
    files are moved to the quarantine.
    """
    parts: list[Records] = []
    damaged = set(known_damaged)
    n_left_out = 0
    for path in paths:
        try:
            records, whole = _load(path)
        except (SegmentDamagedError, SegmentFormatError):
            damaged.add(path)
            continue
        if not whole.all():
            damaged.add(path)
        chosen = whole & _first_seen(records, whole, seen)
        n_left_out += int((~chosen).sum())
        parts.append(records.select(chosen))
    if len(paths) == 1 and not damaged and not n_left_out:
        return
    last_used = max(path.lstat().st_mtime for path in paths)
    if parts:
        for path in write_segments(paths[0].parent, concatenate(parts), dtype):
            os.utime(path, (last_used, last_used))
    for path in paths:
        if path in damaged:
            quarantine(path)
        else:
            remove_file(path)


def quarantine(path: Path) -> None:
    """Move a damaged file to where it is not used, so that people can examine it.

    It is removed if something of another kind has taken its place there.
    """
    check_plain_folder(path.parent)
    folder = path.parent / QUARANTINE
    try:
        folder.mkdir(exist_ok=True)
        check_plain_folder(folder)
        path.rename(folder / path.name)
    except FileNotFoundError:
        raise  # another process has moved it
    except OSError as error:
        logger.info("%s cannot be set aside and is removed: %s", path, error)
        remove_file(path)


def remove(folder: Path) -> None:
    """Remove a recipe's folder, but not files of others."""
    remove_locks(folder)
    for path in (folder / QUARANTINE, folder):
        for name in names_in(path, _OWN_FILE):
            remove_file(path / name)
        with suppress(OSError):  # a file of somebody else, or a new one
            path.rmdir()


def remove_locks(folder: Path) -> None:
    """Remove the lock files of a folder; a process that holds one goes on."""
    for name in names_in(folder / LOCK_FOLDER, _LOCK_FILE):
        remove_file(folder / LOCK_FOLDER / name)
    with suppress(OSError):
        (folder / LOCK_FOLDER).rmdir()


def segment_paths(folder: Path) -> list[Path]:
    """Return the segments of a folder, oldest first."""
    return [folder / name for name in names_in(folder, SEGMENT_NAME)]


def segment_sizes(folder: Path) -> list[int]:
    """Return the sizes in bytes of the segments of a folder."""
    sizes = []
    for path in segment_paths(folder):
        with suppress(FileNotFoundError):  # merged or evicted just now
            sizes.append(path.lstat().st_size)
    return sizes


def recipe_folders(store: Path) -> list[Path]:
    """Return the recipes' folders of a store."""
    return folders_in(store, RECIPE_FOLDER)


def _load(path: Path) -> tuple[Records, npt.NDArray[np.bool_]]:
    """Read all of a segment, and return which of its records are whole."""
    segment, keys = open_segment(path)
    arrays = {
        name: np.empty((segment.n_rows, field.width), np.float32)
        for name, field in segment.fields.items()
    }
    with open_file(path) as file:
        lengths = read_lengths(segment, file)
        whole = read_records(
            segment,
            file,
            np.arange(segment.n_records),
            keys,
            lengths,
            arrays,
            np.arange(segment.n_rows),
        )
    return Records(keys, lengths if segment.is_ragged else None, arrays), whole


def _first_seen(
    records: Records, whole: npt.NDArray[np.bool_], seen: set[bytes]
) -> npt.NDArray[np.bool_]:
    """Return which whole records have new keys, and add these to `seen`."""
    first = whole.copy()
    for record in np.flatnonzero(whole).tolist():
        key = records.keys[record].tobytes()
        first[record] = key not in seen
        seen.add(key)
    return first


def _crowds(folder: Path) -> Iterator[list[Path]]:
    """Find segments of one size class and signature that have become too many."""
    by_class = defaultdict(list)
    for path in segment_paths(folder):
        by_class[bisect(_SIZE_CLASSES, path.lstat().st_size)].append(path)
    for size_class, paths in by_class.items():
        if size_class == len(_SIZE_CLASSES) or len(paths) < _SEGMENTS_PER_CLASS:
            continue
        for crowd in _by_signature(paths).values():
            if len(crowd) >= _SEGMENTS_PER_CLASS:
                yield from _batches(crowd)


def _by_signature(paths: Sequence[Path]) -> dict[Signature, list[Path]]:
    """Group segments by their fields; those that cannot be opened are left out."""
    groups: dict[Signature, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(SegmentDamagedError, SegmentFormatError, OSError):
            groups[open_segment(path)[0].signature].append(path)
    return groups


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Split a list of segments so that each part makes about one full segment."""
    batch: list[Path] = []
    n_bytes = 0
    for path in paths:
        size = path.lstat().st_size
        if batch and n_bytes + size > MAX_SEGMENT_BYTES:
            yield batch
            batch, n_bytes = [], 0
        batch.append(path)
        n_bytes += size
    if batch:
        yield batch


def _evict(store: Path, max_bytes: int, keep: Collection[Path]) -> None:
    """Remove damaged files, then what was used longest ago, until the rest fits."""
    files = []
    for folder in recipe_folders(store):
        for path in [*segment_paths(folder / QUARANTINE), *segment_paths(folder)]:
            with suppress(FileNotFoundError):
                status = path.lstat()
                in_use = path.parent == folder
                files.append((in_use, status.st_mtime, path, status.st_size))
    total = sum(size for *_, size in files)
    for _, _, path, _ in sorted(files):
        if total <= max_bytes:
            return
        if path not in keep:
            total -= remove_file(path)


def _remove_leftovers(folder: Path, now: float) -> None:
    """Remove temporary files of killed writers; `now` is the file system's time."""
    for name in names_in(folder, _TEMPORARY_FILE):
        with suppress(FileNotFoundError):
            status = (folder / name).lstat()
            if now - status.st_mtime > _LEFTOVER_AGE_S and stat.S_ISREG(status.st_mode):
                remove_file(folder / name)
