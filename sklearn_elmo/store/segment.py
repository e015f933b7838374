"""Reading a segment: one HDF5 file of records that never changes.

::

    user block        the header, see `segment_header`
    /keys             uint8   (records, 16)
    /lengths          int64   (records,)       only if records have several rows
    /checksums        uint64  (fields, rows)   see `checksums`
    /fields/<name>    float32 or float16 (rows, width), one data set per field

All data sets are contiguous and the header contains their offsets, so rows are read
straight from the file: without HDF5's global lock, at the speed of the disk, and
without trusting HDF5 structures that somebody else may have written. h5py opens the
same file for everyone else. The name of the file ends with a digest of all its bytes.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sklearn_elmo.plain_files import NotPlainError
from sklearn_elmo.store.checksums import (
    Integers,
    Words,
    checksums_of,
    key_seeds,
    row_sums,
    token_seeds,
)
from sklearn_elmo.store.segment_header import (
    LARGEST_FILE_BYTES,
    Segment,
    SegmentDamagedError,
    SegmentFormatError,
    StoredField,
    read_header,
)
from sklearn_elmo.store.shared_folder import open_plain

SEGMENT_NAME = re.compile(r"seg-[0-9a-f]{16}-([0-9a-f]{32})\.h5")

_BLOCK_BYTES = 2**22  # read and verified at once; stays in the processor's cache
_GAP_BYTES = 2**16  # skipping less than this costs more than reading it


class Damage(NamedTuple):
    """One problem that `EmbeddingStore.verify` found."""

    file: Path
    dataset: str | None
    record: int | None
    problem: str


def open_file(path: Path) -> io.FileIO:
    """Open a segment for reading.

    Raises
    ------
    SegmentDamagedError
        If it is not a plain file, or larger than any that is written.
    OSError
    """
    try:
        return open_plain(path, LARGEST_FILE_BYTES)
    except NotPlainError as error:
        raise SegmentDamagedError(error.strerror) from error


def open_segment(path: Path) -> tuple[Segment, Words]:
    """Read the header and the keys (n_records, 2).

    Raises
    ------
    SegmentDamagedError, SegmentFormatError, OSError
    """
    with open_file(path) as file:
        segment = read_header(file, path, os.fstat(file.fileno()).st_size)
        keys = np.empty((segment.n_records, 2), "<u8")
        _read_into(file, segment.keys_offset, keys)
    return segment, keys


def read_lengths(segment: Segment, file: io.FileIO) -> Integers:
    """Read the number of rows of each record, (n_records,).

    Raises
    ------
    SegmentDamagedError, OSError
    """
    if segment.lengths_offset is None:
        return np.ones(segment.n_records, np.int64)
    lengths = np.empty(segment.n_records, "<i8")
    _read_into(file, segment.lengths_offset, lengths)
    in_range = lengths.min() >= 1 and lengths.max() <= segment.n_rows
    if not in_range or lengths.sum() != segment.n_rows:
        message = "the lengths do not add up to the number of rows"
        raise SegmentDamagedError(message)
    return lengths


def read_records(
    segment: Segment,
    file: io.FileIO,
    records: Integers,
    keys: Words,
    lengths: Integers | None,
    out: Mapping[str, npt.NDArray[np.float32]],
    targets: Integers,
) -> npt.NDArray[np.bool_]:
    """Copy records into rows `targets` of the arrays in `out`, and verify them.

    Parameters
    ----------
    segment : Segment
    file : FileIO
        As returned by `open_file`.
    records : ndarray of shape (n,), int64
    keys : ndarray of shape (n, 2), uint64
    lengths : ndarray of shape (n,), int64, or None
        Number of rows that the caller expects of each record; None means one.
    out : mapping of str to float32 ndarray of shape (m, width)
    targets : ndarray of shape (lengths.sum(),), int64

    Returns
    -------
    ndarray of shape (n,), bool
        False where a row is not what was written, or the length is not as expected.
    """
    whole = np.ones(len(records), bool)
    owners = np.arange(len(records))  # of each row: its record's index in `records`
    rows, seeds = records, key_seeds(keys)
    if segment.is_ragged or lengths is not None:
        stored = read_lengths(segment, file)
        expected = np.ones_like(records) if lengths is None else lengths
        whole &= stored[records] == expected
        owners = np.repeat(owners, expected)
        in_record = positions_within(expected)
        # A wrong length must not read past the end; its record is not whole anyway.
        starts = (np.cumsum(stored) - stored)[records]
        rows = np.minimum(starts[owners] + in_record, segment.n_rows - 1)
        seeds = token_seeds(seeds[owners], in_record)
    order = np.argsort(rows, kind="stable")
    rows, seeds, targets = rows[order], seeds[order], targets[order]
    in_order = bool((np.diff(targets) == 1).all())
    for name, array in out.items():
        good = _read_rows(segment, file, name, rows, seeds, array, targets, in_order)
        whole[owners[order[~good]]] = False
    return whole


def damage_of(path: Path) -> list[Damage]:
    """Check every byte of a segment and list the damaged records.

    A segment of another format is only compared with the digest in its name.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    found: list[Damage] = []
    try:
        matches = is_as_written(path)
        segment, keys = open_segment(path)
        with open_file(path) as file:
            found += _damaged_rows(segment, file, keys)
    except SegmentDamagedError as error:
        return [Damage(path, None, None, str(error))]
    except SegmentFormatError as error:
        return [] if matches else [Damage(path, None, None, str(error))]
    if found or matches:
        return found
    problem = "bytes outside the rows differ from what was written"
    return [Damage(path, None, None, problem)]


def is_as_written(path: Path) -> bool:
    """Compare a file with the digest in its name.

    Raises
    ------
    SegmentDamagedError
        If it is not a plain file, or larger than any that is written.
    OSError
    """
    matched = SEGMENT_NAME.fullmatch(path.name)
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return matched is not None and digest.startswith(matched[1])


def _damaged_rows(segment: Segment, file: io.FileIO, keys: Words) -> Iterator[Damage]:
    lengths = read_lengths(segment, file)
    records = np.arange(segment.n_records)
    targets = np.arange(segment.n_rows)
    for name, field in segment.fields.items():
        out = {name: np.empty((segment.n_rows, field.width), np.float32)}
        whole = read_records(segment, file, records, keys, lengths, out, targets)
        for record in np.flatnonzero(~whole).tolist():
            problem = "the row or its checksum differs from what was written"
            yield Damage(segment.path, f"fields/{name}", record, problem)


def _read_rows(
    segment: Segment,
    file: io.FileIO,
    name: str,
    rows: Integers,
    seeds: Words,
    out: npt.NDArray[np.float32],
    targets: Integers,
    in_order: bool,
) -> npt.NDArray[np.bool_]:
    """Read sorted rows of one field; return which of them match their checksums."""
    field = segment.fields[name]
    as_is = in_order and field.dtype == "<f4" and out.flags.c_contiguous
    found = np.empty(len(rows), np.uint64)
    n_rows = min(_rows_per_block(field), int(rows[-1] - rows[0]) + 1)
    scratch = np.empty((n_rows, field.width), field.dtype)
    wide = np.empty((n_rows, field.width), np.float32)
    for first, last in _spans(rows, field):
        low, high = int(rows[first]), int(rows[last - 1]) + 1
        start = int(targets[first])
        target = slice(start, start + last - first) if in_order else targets[first:last]
        dense = high - low == last - first
        block = out[target] if as_is and dense else scratch[: high - low]
        _read_into(file, field.offset + low * field.row_bytes, block)
        if as_is and not dense:
            picked = np.take(
                block, rows[first:last] - low, axis=0, out=out[target], mode="clip"
            )
        elif not as_is:
            picked = block if dense else block[rows[first:last] - low]
            if field.dtype == "<f4":
                out[target] = picked
            elif in_order:
                _widen(picked, out[target])
            else:
                out[target] = _widen(picked, wide[: len(picked)])
        else:
            picked = block
        found[first:last] = row_sums(picked)
    expected = _read_checksums(segment, file, field, rows)
    matches: npt.NDArray[np.bool_] = checksums_of(found, name, seeds) == expected
    return matches


def _widen(
    rows: npt.NDArray[Any], out: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Convert finite float16 numbers to float32 in `out`, and return it.

    NumPy converts them one at a time. As bits of a float32 they are the number times
    2**-112, subnormal numbers included; infinity and NaN are never stored.
    """
    bits = out.view("<i4")
    # The shift repeats the sign in the upper bits; the mask keeps one copy of it.
    np.left_shift(rows.view("<i2"), 13, out=bits, dtype="<i4")
    bits &= np.int32(-0x70002000)
    out *= np.float32(2.0**112)
    return out


def _read_checksums(
    segment: Segment, file: io.FileIO, field: StoredField, rows: Integers
) -> Words:
    """Read the checksums of sorted rows of one field."""
    low = int(rows[0])
    checksums = np.empty(int(rows[-1]) + 1 - low, "<u8")
    before = field.number * segment.n_rows + low
    _read_into(file, segment.checksums_offset + checksums.itemsize * before, checksums)
    return checksums[rows - low]


def _rows_per_block(field: StoredField) -> int:
    return max(1, _BLOCK_BYTES // field.row_bytes)


def _spans(rows: Integers, field: StoredField) -> Iterator[tuple[int, int]]:
    """Split sorted rows at wide gaps and where a block is full."""
    gaps: list[int] = []
    if rows[-1] - rows[0] >= len(rows):
        wide = max(1, _GAP_BYTES // field.row_bytes)
        gaps = (np.flatnonzero(np.diff(rows) > wide) + 1).tolist()
    for start, stop in pairwise([0, *gaps, len(rows)]):
        first = start
        while first < stop:
            limit = rows[first] + _rows_per_block(field)
            last = first + int(np.searchsorted(rows[first:stop], limit))
            yield first, last
            first = last


def _read_into(file: io.FileIO, offset: int, array: npt.NDArray[Any]) -> None:
    """Fill a contiguous array from the bytes at `offset`."""
    rest = memoryview(array.view(np.uint8).reshape(-1).data)
    file.seek(offset)
    while rest:
        count = file.readinto(rest)
        if not count:
            message = "the file ends too early"
            raise SegmentDamagedError(message)
        rest = rest[count:]


def positions_within(lengths: Integers) -> Integers:
    """Number the rows of each record from 0: [2, 3] -> [0, 1, 0, 1, 2]."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
