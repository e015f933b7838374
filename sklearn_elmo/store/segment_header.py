"""The header of a segment: what the file contains and where.

The header is a line with format, digest and length, then JSON::

    sklearn_elmo segment 2 <sha256 of the JSON> <length of the JSON>
    {"recipe": name of the recipe's folder, "bytes": size of the file,
     "records": n, "rows": m, "keys": offset, "lengths": offset or null,
     "checksums": offset, "fields": {name: [dtype, width, offset]}}

A digest shows that the header was not damaged by accident; a stranger can make it fit
anything. So every number is checked before it is used: whatever passes describes
regions that lie within the file, one behind the other.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn_elmo.messages import quote
from sklearn_elmo.plain_files import parse_json
from sklearn_elmo.store.recipe import KEY_BYTES

FORMAT = 2
# A segment of several records is at most 2**27 bytes plus HDF5's own structures.
LARGEST_FILE_BYTES = 2**31
_LARGEST_FILE_OF_RECORDS_BYTES = 2**28
_MAX_HEADER_BYTES = 2**20

_FIRST_READ_BYTES = 4096
_FIRST_LINE = re.compile(
    rb"sklearn_elmo segment ([0-9]{1,4}) ([0-9a-f]{64}) ([0-9]{1,7})\n"
)
_LENGTH_BYTES = _CHECKSUM_BYTES = 8

Signature = frozenset[tuple[str, int]]  # names and widths of the fields


class SegmentDamagedError(Exception):
    """The bytes of a segment are not those that were written."""


class SegmentFormatError(Exception):
    """A segment was written by an older or a newer version of the package."""

    def __init__(self, version: int) -> None:
        super().__init__(f"format {version}; this version reads format {FORMAT}")
        self.is_newer = version > FORMAT


@dataclass(frozen=True)
class StoredField:
    """Position and type of the rows of one field in a segment."""

    number: int
    dtype: str
    width: int
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.width * int(self.dtype[-1])


@dataclass(frozen=True)
class Segment:
    """The content of a header, checked."""

    path: Path
    n_records: int
    n_rows: int
    keys_offset: int
    lengths_offset: int | None
    checksums_offset: int
    fields: Mapping[str, StoredField]

    @property
    def signature(self) -> Signature:
        return frozenset((name, field.width) for name, field in self.fields.items())

    @property
    def is_ragged(self) -> bool:
        """True if records can have several rows."""
        return self.lengths_offset is not None


def encode_header(header: Mapping[str, Any]) -> bytes:
    """Return the bytes at the beginning of a segment."""
    text = json.dumps(header).encode()
    digest = hashlib.sha256(text).hexdigest()
    return f"sklearn_elmo segment {FORMAT} {digest} {len(text)}\n".encode() + text


def read_header(file: io.FileIO, path: Path, n_bytes: int) -> Segment:
    """Read and check the header of the open segment `path`, which has `n_bytes`.

    Raises
    ------
    SegmentDamagedError, SegmentFormatError, OSError
    """
    start = file.read(_FIRST_READ_BYTES)
    first_line = _FIRST_LINE.match(start)
    if first_line is None:
        message = "the first line differs from what was written"
        raise SegmentDamagedError(message)
    version, digest, length = first_line.groups()
    if int(version) != FORMAT:
        raise SegmentFormatError(int(version))
    if int(length) > min(n_bytes, _MAX_HEADER_BYTES):
        message = "the header is longer than any that is written"
        raise SegmentDamagedError(message)
    stop = first_line.end() + int(length)
    while len(start) < stop and (more := file.read(stop - len(start))):
        start += more
    text = start[first_line.end() : stop]
    if hashlib.sha256(text).hexdigest().encode() != digest:
        message = "the header differs from what was written"
        raise SegmentDamagedError(message)
    try:
        return _checked(parse_json(text), path, n_bytes, stop)
    except (ValueError, KeyError, TypeError) as error:
        message = f"the header makes no sense: {error}"
        raise SegmentDamagedError(message) from error


def _checked(header: Any, path: Path, n_bytes: int, header_stop: int) -> Segment:
    """Make a segment of a parsed header.

    Raises
    ------
    ValueError, KeyError, TypeError
        If anything in it does not fit the file.
    """
    if not isinstance(header, dict) or not isinstance(header["fields"], dict):
        message = "not a mapping"
        raise TypeError(message)
    if not header["fields"]:
        message = "no fields"
        raise ValueError(message)
    if header["recipe"] != path.parent.name:
        message = f"it belongs to the recipe {quote(header['recipe'])}"
        raise ValueError(message)
    ragged = header["lengths"] is not None
    segment = Segment(
        path,
        n_records=_natural(header["records"]),
        n_rows=_natural(header["rows"]),
        keys_offset=_natural(header["keys"]),
        lengths_offset=_natural(header["lengths"]) if ragged else None,
        checksums_offset=_natural(header["checksums"]),
        fields={
            name: _field(number, name, *stored)
            for number, (name, stored) in enumerate(header["fields"].items())
        },
    )
    if header["bytes"] != n_bytes:
        message = "the file has another size than when it was written"
        raise ValueError(message)
    if segment.n_records > 1 and n_bytes > _LARGEST_FILE_OF_RECORDS_BYTES:
        message = "the file is larger than any that is written"
        raise ValueError(message)
    if segment.n_rows < segment.n_records or (
        segment.n_rows > segment.n_records and not ragged
    ):
        message = f"{segment.n_records} records cannot have {segment.n_rows} rows"
        raise ValueError(message)
    stop = header_stop
    for offset, region_bytes in sorted(_regions(segment)):
        if offset < stop:
            message = f"two regions share byte {offset}"
            raise ValueError(message)
        stop = offset + region_bytes
    if stop > n_bytes:
        message = "a region reaches beyond the end of the file"
        raise ValueError(message)
    return segment


def _regions(segment: Segment) -> list[tuple[int, int]]:
    """Return offset and size of everything that the header points to."""
    n_checksums = len(segment.fields) * segment.n_rows
    regions = [
        (segment.keys_offset, segment.n_records * KEY_BYTES),
        (segment.checksums_offset, n_checksums * _CHECKSUM_BYTES),
    ]
    if segment.lengths_offset is not None:
        regions.append((segment.lengths_offset, segment.n_records * _LENGTH_BYTES))
    for field in segment.fields.values():
        regions.append((field.offset, segment.n_rows * field.row_bytes))
    return regions


def _field(number: int, name: str, dtype: Any, width: Any, offset: Any) -> StoredField:
    name.encode()  # a ValueError if it cannot be printed
    if dtype not in ("<f4", "<f2"):
        message = f"the type {quote(dtype)} is never written"
        raise ValueError(message)
    return StoredField(number, dtype, _natural(width), _natural(offset))


def _natural(value: Any) -> int:
    """Return a positive integer: neither counts, widths nor offsets can be 0."""
    if type(value) is not int or value < 1:
        message = f"{quote(value)} is not a positive integer"
        raise ValueError(message)
    return value
