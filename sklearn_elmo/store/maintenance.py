"""Merging, evicting and setting aside segments.

A merged segment is published before its sources are removed, so a crash in between
leaves copies and loses nothing.
"""

import logging
import os
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import TEMPORARY_SUFFIX
from sklearn_elmo.store.files import entries_of
from sklearn_elmo.store.locks import LOCK_FOLDER, lock
from sklearn_elmo.store.recipe import FOLDER_PREFIX, RECIPE_FILE
from sklearn_elmo.store.records import Records, concatenate
from sklearn_elmo.store.segment import (
    SEGMENT_NAME,
    SegmentDamagedError,
    SegmentNewerError,
    Signature,
    is_as_written,
    open_segment,
    read_records,
)
from sklearn_elmo.store.segment_writer import write_segment
from sklearn_elmo.store.usage import USAGE_FILE

QUARANTINE = "quarantine"
MAX_SEGMENT_BYTES = 2**27

# A folder keeps fewer than this many segments of each size class, and classes are
# these: a row is rewritten about once per class, not at every merge.
_SEGMENTS_PER_CLASS = 16
_SIZE_CLASSES = (2**20, 2**23, 2**26)  # upper bounds in bytes; bigger ones stay
_LEFTOVER_AGE_S = 24 * 3600

_OWN_FILE = re.compile(
    rf"{SEGMENT_NAME.pattern}|{RECIPE_FILE}|{USAGE_FILE}|\..*\{TEMPORARY_SUFFIX}"
)

logger = logging.getLogger(__name__)


def write_all(folder: Path, records: Records, dtype: str) -> list[Path]:
    """Publish records in segments of bounded size."""
    return [
        write_segment(folder, part, dtype) for part in records.split(MAX_SEGMENT_BYTES)
    ]


def after_writing(
    folder: Path, dtype: str, max_bytes: int | None, written: Sequence[Path]
) -> None:
    """Keep a folder and its store in bounds, unless another process is at it."""
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
    except OSError as error:  # the records are safe; this can be done another time
        logger.info("Upkeep of %s was cut short: %s", folder, error)


def compact(folder: Path, dtype: str) -> None:
    """Merge the segments of a folder, and drop copies and superseded records."""
    for path in segment_paths(folder):
        if not _is_newer(path) and not is_as_written(path):
            set_aside(path, dtype)
    groups = _by_signature(segment_paths(folder))
    seen: dict[Signature, set[bytes]] = {}
    for signature in sorted(groups, key=len, reverse=True):
        superseding = [keys for other, keys in seen.items() if signature < other]
        seen[signature] = set().union(*superseding)
        for batch in _batches(groups[signature]):
            merge(batch, dtype, seen[signature], set())
    for entry in entries_of(folder / QUARANTINE):
        Path(entry.path).unlink(missing_ok=True)


def set_aside(path: Path, dtype: str) -> None:
    """Move a damaged segment out of the way, and write its whole records anew."""
    merge([path], dtype, set(), {path})


def merge(
    paths: Sequence[Path], dtype: str, seen: set[bytes], known_damaged: Collection[Path]
) -> None:
    """Write the records of some segments anew, without those whose keys are in `seen`.

    Keys that are met are added to `seen`. Damaged rows are left out, and damaged files
    are set aside.
    """
    parts: list[Records] = []
    damaged = set(known_damaged)
    n_left_out = 0
    for path in paths:
        try:
            records, whole = _load(path)
        except (SegmentDamagedError, SegmentNewerError):  # it was neither before
            damaged.add(path)
            continue
        if not whole.all():
            damaged.add(path)
        chosen = whole & _first_seen(records, whole, seen)
        n_left_out += int((~chosen).sum())
        parts.append(records.select(chosen))
    if len(paths) == 1 and not damaged and not n_left_out:
        return
    last_used = max(path.stat().st_mtime for path in paths)
    if parts:
        for path in write_all(paths[0].parent, concatenate(parts), dtype):
            os.utime(path, (last_used, last_used))
    for path in paths:
        if path in damaged:
            quarantine(path)
        else:
            path.unlink(missing_ok=True)


def quarantine(path: Path) -> None:
    """Move a damaged file to where it is not used, for people to look at."""
    folder = path.parent / QUARANTINE
    folder.mkdir(exist_ok=True)
    path.rename(folder / path.name)


def remove(folder: Path) -> None:
    """Remove a recipe's folder, but for files that are not ours."""
    remove_locks(folder)
    for path in (folder / QUARANTINE, folder):
        for entry in entries_of(path):
            if _OWN_FILE.fullmatch(entry.name):
                Path(entry.path).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's file, or a new one
            path.rmdir()


def remove_locks(folder: Path) -> None:
    """Remove the lock files of a folder; a process that holds one goes on."""
    for entry in entries_of(folder / LOCK_FOLDER):
        Path(entry.path).unlink(missing_ok=True)
    with suppress(OSError):
        (folder / LOCK_FOLDER).rmdir()


def segment_paths(folder: Path) -> list[Path]:
    """List the segments of a folder, oldest first."""
    return sorted(
        Path(entry.path)
        for entry in entries_of(folder)
        if SEGMENT_NAME.fullmatch(entry.name)
    )


def segment_sizes(folder: Path) -> list[int]:
    """List the sizes in bytes of the segments of a folder."""
    sizes = []
    for path in segment_paths(folder):
        with suppress(FileNotFoundError):  # merged or evicted just now
            sizes.append(path.stat().st_size)
    return sizes


def recipe_folders(store: Path) -> list[Path]:
    """List the recipes' folders of a store."""
    return sorted(
        Path(entry.path)
        for entry in entries_of(store)
        if entry.name.startswith(FOLDER_PREFIX) and entry.is_dir()
    )


def _load(path: Path) -> tuple[Records, npt.NDArray[np.bool_]]:
    """Read all of a segment, and tell which of its records are whole."""
    segment, keys = open_segment(path)
    arrays = {
        name: np.empty((segment.n_rows, field.width), np.float32)
        for name, field in segment.fields.items()
    }
    with path.open("rb", buffering=0) as file:
        lengths = segment.lengths(file)
        whole = read_records(
            segment,
            file,
            np.arange(segment.n_records),
            keys,
            lengths,
            arrays,
            np.arange(segment.n_rows),
        )
    ragged = segment.lengths_offset is not None
    return Records(keys, lengths if ragged else None, arrays), whole


def _first_seen(
    records: Records, whole: npt.NDArray[np.bool_], seen: set[bytes]
) -> npt.NDArray[np.bool_]:
    """Tell which whole records have new keys, and add these to `seen`."""
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
        by_class[bisect(_SIZE_CLASSES, path.stat().st_size)].append(path)
    for size_class, paths in by_class.items():
        if size_class == len(_SIZE_CLASSES) or len(paths) < _SEGMENTS_PER_CLASS:
            continue
        for crowd in _by_signature(paths).values():
            if len(crowd) >= _SEGMENTS_PER_CLASS:
                yield from _batches(crowd)


def _is_newer(path: Path) -> bool:
    try:
        open_segment(path)
    except SegmentNewerError:
        return True
    except SegmentDamagedError:
        pass
    return False


def _by_signature(paths: Sequence[Path]) -> dict[Signature, list[Path]]:
    """Group segments by their fields; those that cannot be opened are left out."""
    groups: dict[Signature, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(SegmentDamagedError, SegmentNewerError):
            groups[open_segment(path)[0].signature].append(path)
    return groups


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Cut a list of segments so that each part makes about one full segment."""
    batch: list[Path] = []
    n_bytes = 0
    for path in paths:
        size = path.stat().st_size
        if batch and n_bytes + size > MAX_SEGMENT_BYTES:
            yield batch
            batch, n_bytes = [], 0
        batch.append(path)
        n_bytes += size
    if batch:
        yield batch


def _evict(store: Path, max_bytes: int, keep: Collection[Path]) -> None:
    """Remove what was set aside, then what was used longest ago, until it fits."""
    files = []
    for folder in recipe_folders(store):
        aside = [Path(entry.path) for entry in entries_of(folder / QUARANTINE)]
        for path in [*aside, *segment_paths(folder)]:
            with suppress(FileNotFoundError):
                status = path.stat()
                in_use = path.parent == folder
                files.append((in_use, status.st_mtime, path, status.st_size))
    total = sum(size for *_, size in files)
    for _, _, path, size in sorted(files):
        if total <= max_bytes:
            return
        if path not in keep:
            path.unlink(missing_ok=True)
            total -= size


def _remove_leftovers(folder: Path, now: float) -> None:
    """Remove temporary files of killed writers; `now` is the file system's time."""
    for entry in entries_of(folder):
        if entry.name.endswith(TEMPORARY_SUFFIX):
            with suppress(FileNotFoundError):
                if now - entry.stat().st_mtime > _LEFTOVER_AGE_S:
                    Path(entry.path).unlink(missing_ok=True)
