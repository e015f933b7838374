"""One immutable HDF5 file of records.

::

    user block      a line with format, digest and length, then a header in JSON
    /keys           uint8   (records, 16)
    /lengths        int64   (records,)         only if records have several rows
    /checks         uint64  (fields, rows)     see `checks`
    /fields/<name>  float32 or float16 (rows, width), one data set for each field

All data sets are contiguous and the header says where they lie, so a reader takes rows
straight from the file, without HDF5's global lock and at the speed of the disk; h5py
opens the same file for anybody else. The file's name ends in a digest of all its bytes,
which tells damage from a reading error beyond doubt.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store.checksums import (
    Integers,
    Words,
    checks_of,
    key_seeds,
    row_sums,
    token_seeds,
)

FORMAT = 1
SEGMENT_NAME = re.compile(r"seg-[0-9a-f]{16}-([0-9a-f]{32})\.h5")

MAGIC = b"sklearn_elmo segment "
_FIRST_READ_BYTES = 4096
_BLOCK_BYTES = 2**22  # read and checked at once; stays in the processor's cache
_GAP_BYTES = 2**16  # skipping less than this costs more than reading it
Signature = frozenset[tuple[str, int]]  # names and widths of the fields


class SegmentDamagedError(Exception):
    """The bytes of a segment are not those that were written."""


class SegmentNewerError(Exception):
    """A segment was written by a newer version of the package."""


class Damage(NamedTuple):
    """One thing that `EmbeddingStore.verify` found."""

    file: Path
    dataset: str | None
    record: int | None
    problem: str


@dataclass(frozen=True)
class StoredField:
    """Where the rows of one field lie in a segment, and what they are."""

    number: int
    dtype: str
    width: int
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.width * int(self.dtype[-1])


@dataclass(frozen=True)
class Segment:
    """What the header of a segment says."""

    path: Path
    n_records: int
    n_rows: int
    lengths_offset: int | None
    checks_offset: int
    fields: Mapping[str, StoredField]

    @property
    def signature(self) -> Signature:
        return frozenset((name, field.width) for name, field in self.fields.items())

    def lengths(self, file: IO[bytes]) -> Integers:
        """Read the number of rows of each record."""
        if self.lengths_offset is None:
            return np.ones(self.n_records, np.int64)
        lengths = np.empty(self.n_records, "<i8")
        _read_into(file, self.lengths_offset, lengths)
        if lengths.min() < 0 or lengths.sum() != self.n_rows:
            message = "the lengths do not add up to the number of rows"
            raise SegmentDamagedError(message)
        return lengths


def open_segment(path: Path) -> tuple[Segment, Words]:
    """Read the header and the keys (n_records, 2).

    Raises
    ------
    SegmentDamagedError, SegmentNewerError, OSError
    """
    with path.open("rb", buffering=0) as file:
        header = _read_header(file)
        if os.fstat(file.fileno()).st_size != header["bytes"]:
            message = "the file has another size than when it was written"
            raise SegmentDamagedError(message)
        keys = np.empty((header["records"], 2), "<u8")
        _read_into(file, header["keys"], keys)
    fields = {
        name: StoredField(number, *stored)
        for number, (name, stored) in enumerate(header["fields"].items())
    }
    segment = Segment(
        path,
        header["records"],
        header["rows"],
        header["lengths"],
        header["checks"],
        fields,
    )
    return segment, keys


def read_records(
    segment: Segment,
    file: IO[bytes],
    records: Integers,
    keys: Words,
    lengths: Integers | None,
    out: Mapping[str, npt.NDArray[np.float32]],
    targets: Integers,
) -> npt.NDArray[np.bool_]:
    """Copy records into rows `targets` of the arrays in `out`; tell which are whole.

    Parameters
    ----------
    segment : Segment
    file : binary file
        The segment's, open for reading and unbuffered.
    records : ndarray of shape (n,), int64
    keys : ndarray of shape (n, 2), uint64
    lengths : ndarray of shape (n,), int64, or None
        Rows that the caller expects of each record; None means one.
    out : mapping of str to float32 ndarray of shape (m, width)
    targets : ndarray of shape (lengths.sum(),), int64

    Returns
    -------
    ndarray of shape (n,), bool
        False where a row or the length is not what was written.
    """
    whole = np.ones(len(records), bool)
    owners = np.arange(len(records))  # of each row: which of `records` it belongs to
    rows, seeds = records, key_seeds(keys)
    if segment.lengths_offset is not None or lengths is not None:
        stored = segment.lengths(file)
        expected = np.ones_like(records) if lengths is None else lengths
        whole &= stored[records] == expected
        owners = np.repeat(owners, expected)
        numbers = numbers_within(expected)
        # Rows that a wrong length would put outside the file are clipped: not whole.
        starts = (np.cumsum(stored) - stored)[records]
        rows = np.minimum(starts[owners] + numbers, segment.n_rows - 1)
        seeds = token_seeds(seeds[owners], numbers)
    order = np.argsort(rows, kind="stable")
    rows, seeds, targets = rows[order], seeds[order], targets[order]
    in_order = bool((np.diff(targets) == 1).all())
    for name, array in out.items():
        good = _read_rows(segment, file, name, rows, seeds, array, targets, in_order)
        whole[owners[order[~good]]] = False
    return whole


def damage_of(path: Path) -> list[Damage]:
    """Check every byte of a segment and name the records that are hurt.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        if is_as_written(path):
            return []
        segment, keys = open_segment(path)
        with path.open("rb", buffering=0) as file:
            found = list(_damaged_rows(segment, file, keys))
    except (SegmentDamagedError, SegmentNewerError) as error:
        return [Damage(path, None, None, str(error))]
    problem = "bytes outside the rows differ from what was written"
    return found or [Damage(path, None, None, problem)]


def is_as_written(path: Path) -> bool:
    """Compare a file with the digest in its name."""
    matched = SEGMENT_NAME.fullmatch(path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return matched is not None and digest.startswith(matched[1])


def _damaged_rows(segment: Segment, file: IO[bytes], keys: Words) -> Iterator[Damage]:
    lengths = segment.lengths(file)
    records = np.arange(segment.n_records)
    targets = np.arange(segment.n_rows)
    for name, field in segment.fields.items():
        out = {name: np.empty((segment.n_rows, field.width), np.float32)}
        whole = read_records(segment, file, records, keys, lengths, out, targets)
        for record in np.flatnonzero(~whole).tolist():
            problem = "the row or its checksum differs from what was written"
            yield Damage(segment.path, f"fields/{name}", record, problem)


def _read_header(file: IO[bytes]) -> dict[str, Any]:
    start = file.read(_FIRST_READ_BYTES)
    first_line, _, text = start.partition(b"\n")
    try:
        if not first_line.startswith(MAGIC):
            raise ValueError
        version, digest, length = first_line[len(MAGIC) :].split(b" ")
        if int(version) > FORMAT:
            message = f"format {int(version)}; this version reads format {FORMAT}"
            raise SegmentNewerError(message)
        if int(length) > os.fstat(file.fileno()).st_size:
            raise ValueError
        text += file.read(max(0, int(length) - len(text)))
        text = text[: int(length)]
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise ValueError
    except ValueError as error:
        message = "the header differs from what was written"
        raise SegmentDamagedError(message) from error
    header: dict[str, Any] = json.loads(text)
    return header


def _read_rows(
    segment: Segment,
    file: IO[bytes],
    name: str,
    rows: Integers,
    seeds: Words,
    out: npt.NDArray[np.float32],
    targets: Integers,
    in_order: bool,
) -> npt.NDArray[np.bool_]:
    """Read rows, sorted ascending, of one field; tell which pass their check."""
    field = segment.fields[name]
    as_is = in_order and field.dtype == "<f4"
    found = np.empty(len(rows), np.uint64)
    scratch = np.empty((_rows_per_block(field), field.width), field.dtype)
    wide = np.empty((_rows_per_block(field), field.width), np.float32)
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
    expected = _checks(segment, file, field, rows)
    matches: npt.NDArray[np.bool_] = checks_of(found, name, seeds) == expected
    return matches


def _widen(
    rows: npt.NDArray[Any], out: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Write float16 numbers, all finite, into `out`, which is returned.

    NumPy converts them one by one. Moved into a float32's place, the bits are the
    number times 2**-112, subnormal ones included; infinities and NaN are never stored.
    """
    bits = out.view("<i4")
    np.left_shift(rows.view("<i2"), 13, out=bits, dtype="<i4")  # copies of the sign
    bits &= np.int32(-0x70002000)  # but one are taken off: 0x8fffe000 is left
    out *= np.float32(2.0**112)
    return out


def _checks(
    segment: Segment, file: IO[bytes], field: StoredField, rows: Integers
) -> Words:
    """Read the checks of rows, sorted ascending, of one field."""
    low = int(rows[0])
    checks = np.empty(int(rows[-1]) + 1 - low, "<u8")
    number = field.number * segment.n_rows + low
    _read_into(file, segment.checks_offset + checks.itemsize * number, checks)
    return checks[rows - low]


def _rows_per_block(field: StoredField) -> int:
    return max(1, _BLOCK_BYTES // field.row_bytes)


def _spans(rows: Integers, field: StoredField) -> Iterator[tuple[int, int]]:
    """Cut sorted rows where a gap is wide and where a block is full."""
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


def _read_into(file: IO[bytes], offset: int, array: npt.NDArray[Any]) -> None:
    rest = memoryview(array.view(np.uint8).reshape(-1).data)
    file.seek(offset)
    while rest:
        count = file.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            message = "the file ends too early"
            raise SegmentDamagedError(message)
        rest = rest[count:]


def numbers_within(lengths: Integers) -> Integers:
    """Count the rows of each record from 0: [2, 3] -> [0, 1, 0, 1, 2]."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
