"""What must hold of an HDF5 data set before any of its numbers is read.

The HDF5 library trusts the files it reads: it follows a data set into other files,
takes as much memory as a file asks for, and returns zeros for what was never written.
The functions here look at the description of a data set only.
"""

import math
import zlib
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import h5py

__all__ = [
    "ByteRange",
    "DatasetFault",
    "byte_ranges",
    "check_constant_chunks",
    "check_origin",
    "check_type",
    "fixed_string",
]

ByteRange = tuple[int, int]
"""First byte in the file, and the one after the last."""

_MOST_CHUNKS = 2**18
_MOST_CHUNK_BYTES = 2**26
_FLETCHER32_BYTES = 4
# deflate expands 1,032 times at most, and HDF5 sets no bound; what could become larger
# than this is inflated here first, in pieces.
_DEFLATE_EXPANSION = 1032
_UNCHECKED_BYTES = 2**28


class DatasetFault(Exception):
    """A data set cannot be read.

    Parameters
    ----------
    found, expected : str
        Phrases to complete "the data set {name} ..." and "expected ...".
    """

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


def check_origin(dataset: "h5py.h5d.DatasetID") -> None:
    """Refuse a data set whose numbers are in other files or data sets."""
    import h5py

    properties = dataset.get_create_plist()
    is_virtual = properties.get_layout() == h5py.h5d.VIRTUAL
    if is_virtual or properties.get_external_count() > 0:
        found = "keeps its numbers in another file or data set"
        raise DatasetFault(found, "numbers in this file")


def check_type(dataset: "h5py.h5d.DatasetID", shape: tuple[int, ...]) -> None:
    """Refuse another shape, and all types but IEEE floats of 2, 4 and 8 bytes."""
    import h5py

    type_id = dataset.get_type()
    is_float = any(
        type_id.equal(getattr(h5py.h5t, f"IEEE_F{n_bits}{order}"))
        for n_bits, order in product((16, 32, 64), ("LE", "BE"))
    )
    if dataset.shape != shape or not is_float:
        found = f"has the shape {dataset.shape} and the type {_type_name(type_id)}"
        raise DatasetFault(found, f"IEEE floats of shape {shape}")


def byte_ranges(dataset: "h5py.h5d.DatasetID") -> list[ByteRange]:
    """Return where the bytes of a data set are in the file.

    Empty for a data set that is kept in its own header.

    Raises
    ------
    DatasetFault
        If some bytes are missing, or a chunk cannot be what a writer has written.
    """
    import h5py

    n_bytes = math.prod(dataset.shape) * dataset.get_type().get_size()
    layout = dataset.get_create_plist().get_layout()
    if layout == h5py.h5d.CHUNKED:
        return [(c.byte_offset, c.byte_offset + c.size) for c in _chunks(dataset)]
    if dataset.get_storage_size() != n_bytes:
        raise _unwritten()
    if layout == h5py.h5d.COMPACT:
        return []
    start = dataset.get_offset()
    if start is None:
        raise _unwritten()
    return [(start, start + n_bytes)]


def check_constant_chunks(
    dataset: "h5py.h5d.DatasetID", array: npt.NDArray[Any]
) -> None:
    """Refuse chunks that HDF5 knows of, but did not find when it read the numbers.

    Parameters
    ----------
    dataset : h5py.h5d.DatasetID
    array : ndarray
        All of its numbers, as HDF5 has read them.
    """
    import h5py

    properties = dataset.get_create_plist()
    if properties.get_layout() != h5py.h5d.CHUNKED:
        return
    steps = list(zip(dataset.shape, properties.get_chunk(), strict=True))
    for offset in product(*(range(0, extent, length) for extent, length in steps)):
        block = array[
            tuple(
                slice(start, start + length)
                for start, (_, length) in zip(offset, steps, strict=True)
            )
        ]
        # A chunk that is not found reads as one number, mostly zero.
        if (block == block.flat[0]).all():
            try:
                dataset.read_direct_chunk(offset)
            except (OSError, RuntimeError, ValueError) as error:
                raise _unwritten() from error


def fixed_string(
    dataset: "h5py.h5d.DatasetID", attribute: str, length: int
) -> str | None:
    """Return an attribute that is an ASCII string of fixed length; None if not there.

    Raises
    ------
    DatasetFault
        If it has another type. Reading a string of variable length can crash the
        process when the file is damaged.
    """
    import h5py

    if not h5py.h5a.exists(dataset, attribute.encode()):
        return None
    opened = h5py.h5a.open(dataset, attribute.encode())
    type_id = opened.get_type()
    if (
        type_id.get_class() != h5py.h5t.STRING
        or type_id.is_variable_str()
        or type_id.get_size() != length
        or opened.get_space().get_simple_extent_npoints() != 1
    ):
        found = f"has an attribute {attribute!r} of another type"
        raise DatasetFault(found, f"a string of fixed length {length}")
    value = np.empty(opened.shape, f"S{length}")
    opened.read(value)
    return bytes(value.item()).decode("ascii", "replace")


def _chunks(dataset: "h5py.h5d.DatasetID") -> "list[h5py.h5d.StoreInfo]":
    """Return all chunks of a data set, checked against its description."""
    properties = dataset.get_create_plist()
    chunk_shape = properties.get_chunk()
    itemsize = dataset.get_type().get_size()
    chunk_bytes = math.prod(chunk_shape) * itemsize
    steps = list(zip(dataset.shape, chunk_shape, strict=True))
    n_chunks = math.prod(math.ceil(extent / length) for extent, length in steps)
    most_bytes = max(math.prod(dataset.shape) * itemsize, _MOST_CHUNK_BYTES)
    if n_chunks > _MOST_CHUNKS or chunk_bytes > most_bytes:
        found = f"has {n_chunks} chunks of {chunk_bytes} bytes"
        raise DatasetFault(found, f"at most {_MOST_CHUNKS} of {most_bytes} bytes")
    filters = _filters(properties, itemsize)
    chunks: list[h5py.h5d.StoreInfo] = []
    if dataset.get_num_chunks() == n_chunks:
        dataset.chunk_iter(chunks.append)
    grid = set(product(*(range(0, extent, length) for extent, length in steps)))
    if len(chunks) != n_chunks or {chunk.chunk_offset for chunk in chunks} != grid:
        raise _unwritten()
    for chunk in chunks:
        _check_chunk(dataset, chunk, filters, chunk_bytes)
    return chunks


def _filters(properties: "h5py.h5p.PropDCID", itemsize: int) -> list[int]:
    """Return the codes of the filters that each chunk has gone through, in order."""
    import h5py

    described = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    filters = [code for code, *_ in described]
    z = h5py.h5z
    known = [z.FILTER_DEFLATE, z.FILTER_SHUFFLE, z.FILTER_FLETCHER32, z.FILTER_LZF]
    if not set(known).issuperset(filters) or len(set(filters)) != len(filters):
        expected = f"each of {known} (gzip, shuffle, Fletcher-32, LZF) at most once"
        found = f"uses the HDF5 filters {filters[:8]}"
        raise DatasetFault(found, expected)
    for code, _, values, _ in described:
        if code == z.FILTER_SHUFFLE and tuple(values) != (itemsize,):
            found = f"was shuffled with the parameters {values[:8]}"
            raise DatasetFault(found, f"({itemsize},)")
    return filters


def _check_chunk(
    dataset: "h5py.h5d.DatasetID",
    chunk: "h5py.h5d.StoreInfo",
    filters: list[int],
    chunk_bytes: int,
) -> None:
    import h5py

    compressors = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF)
    applied = [
        code for place, code in enumerate(filters) if not chunk.filter_mask >> place & 1
    ]
    # HDF5 leaves out a compression that does not help; any other gap is damage.
    if not set(filters).difference(applied) <= set(compressors):
        found = "has a chunk that a filter was not applied to"
        raise DatasetFault(found, "all filters")
    n_bytes = chunk_bytes
    if h5py.h5z.FILTER_FLETCHER32 in applied:
        n_bytes += _FLETCHER32_BYTES
    if set(compressors).isdisjoint(applied):
        if chunk.size != n_bytes:
            found = f"has a chunk of {chunk.size} bytes"
            raise DatasetFault(found, f"{n_bytes} bytes")
    elif not 0 < chunk.size <= n_bytes + n_bytes // 500 + 64:
        found = f"has a compressed chunk of {chunk.size} bytes"
        raise DatasetFault(found, f"hardly more than {n_bytes} bytes")
    elif (
        h5py.h5z.FILTER_DEFLATE in applied
        and chunk.size * _DEFLATE_EXPANSION > _UNCHECKED_BYTES
    ):
        _check_inflated(dataset.read_direct_chunk(chunk.chunk_offset)[1], chunk_bytes)


def _check_inflated(data: bytes, chunk_bytes: int) -> None:
    inflater = zlib.decompressobj()
    n_bytes = 0
    while data and not inflater.eof and n_bytes <= chunk_bytes:
        n_bytes += len(inflater.decompress(data, _MOST_CHUNK_BYTES))
        data = inflater.unconsumed_tail
    if n_bytes > chunk_bytes:
        found = f"has a compressed chunk that expands to more than {chunk_bytes} bytes"
        raise DatasetFault(found, f"{chunk_bytes} bytes")


def _unwritten() -> DatasetFault:
    # HDF5 returns zeros for the part that is not there.
    return DatasetFault("was not written to the end", "all of its numbers")


def _type_name(type_id: "h5py.h5t.TypeID") -> Any:
    try:
        return type_id.dtype
    except (TypeError, ValueError, RuntimeError):
        return "unknown to NumPy"
