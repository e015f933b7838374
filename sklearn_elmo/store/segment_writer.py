"""Writing records as segments; see `segment` for the layout of the file."""

import hashlib
import io
import json
import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.store.checksums import (
    Integers,
    Words,
    checksums_of,
    key_seeds,
    row_sums,
    token_seeds,
)
from sklearn_elmo.store.recipe import KEY_BYTES
from sklearn_elmo.store.records import Records
from sklearn_elmo.store.segment import positions_within
from sklearn_elmo.store.segment_header import (
    FORMAT,
    LARGEST_FILE_BYTES,
    encode_header,
)
from sklearn_elmo.store.shared_folder import check_plain_folder

MAX_SEGMENT_BYTES = 2**27

_FLOAT16_MAX = float(np.finfo(np.float16).max)

logger = logging.getLogger(__name__)


def write_segments(folder: Path, records: Records, dtype: str) -> list[Path]:
    """Write records as segments of bounded size under new names in `folder`.

    Parameters
    ----------
    folder : Path
        A recipe's folder.
    records : Records
    dtype : {"float32", "float16"}
        A field with numbers outside float16's range is stored as float32 anyway.

    Returns
    -------
    list of Path
        The files, which survive a crash from now on. A record that is too large for
        any segment is left out.

    Raises
    ------
    OSError
        If a file cannot be written, or `folder` is a link.
    """
    check_plain_folder(folder)
    paths = []
    for part in records.split(MAX_SEGMENT_BYTES):
        content = _hdf5_image(part, dtype, recipe=folder.name)
        if len(content) > LARGEST_FILE_BYTES:
            logger.info("A record of %d bytes is too large to keep", len(content))
            continue
        digest = hashlib.sha256(content).hexdigest()[:32]
        path = folder / f"seg-{time.time_ns():016x}-{digest}.h5"
        write_bytes(path, content)
        paths.append(path)
    return paths


def as_stored(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Round as a store of `dtype` does; fields beyond float16's range stay exact."""
    exact = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "float32":
        return exact
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float16).astype(np.float32)
    return np.where(np.isinf(rounded), exact, rounded)


def _hdf5_image(records: Records, dtype: str, recipe: str) -> memoryview:
    """Build the file in memory: HDF5 cannot recover from a full disk."""
    keys, lengths = records.keys, records.lengths
    stored = {name: _narrowed(rows, dtype) for name, rows in records.arrays.items()}
    seeds = _row_seeds(keys, lengths)
    sums = [checksums_of(row_sums(rows), name, seeds) for name, rows in stored.items()]
    arrays: dict[str, npt.NDArray[Any]] = {
        "keys": keys.view(np.uint8).reshape(len(keys), KEY_BYTES),
        **({} if lengths is None else {"lengths": lengths}),
        "checksums": np.stack(sums),
        **{f"fields/{name}": rows for name, rows in stored.items()},
    }
    user_block_bytes = _user_block_bytes(stored)
    if len(seeds) > 1:
        image, offsets = _write_hdf5(arrays, user_block_bytes)
    else:
        image, offsets = _fill_in(arrays, user_block_bytes)
    header = {
        "recipe": recipe,
        "bytes": len(image),
        "records": len(keys),
        "rows": len(seeds),
        "keys": offsets["keys"],
        "lengths": offsets.get("lengths"),
        "checksums": offsets["checksums"],
        "fields": {
            name: [rows.dtype.str, rows.shape[1], offsets[f"fields/{name}"]]
            for name, rows in stored.items()
        },
    }
    start = encode_header(header)
    image[: len(start)] = start
    return image


def _write_hdf5(
    arrays: Mapping[str, npt.NDArray[Any]], user_block_bytes: int
) -> tuple[memoryview, dict[str, int]]:
    """Return an HDF5 file and the offsets of its contiguous data sets."""
    import h5py

    buffer = io.BytesIO()
    # The 1.10 format protects HDF5's own structures with checksums.
    with h5py.File(
        buffer, "w", libver=("v110", "v110"), userblock_size=user_block_bytes
    ) as file:
        file.attrs["sklearn_elmo_format"] = FORMAT
        offsets = {
            name: int(file.create_dataset(name, data=array).id.get_offset())
            for name, array in arrays.items()
        }
    return buffer.getbuffer(), offsets


def _fill_in(
    arrays: Mapping[str, npt.NDArray[Any]], user_block_bytes: int
) -> tuple[memoryview, dict[str, int]]:
    """Do the same for small arrays with less work.

    HDF5 takes 3 ms to create its structures for a single text, as long as a small
    model takes to read it; they do not depend on the numbers.
    """
    layout = tuple((name, a.dtype.str, a.shape) for name, a in arrays.items())
    blank, offsets = _blank_hdf5(layout, user_block_bytes)
    image = memoryview(bytearray(blank))
    for name, array in arrays.items():
        start = offsets[name]
        image[start : start + array.nbytes] = array.tobytes()
    return image, offsets


@lru_cache(maxsize=8)
def _blank_hdf5(
    layout: tuple[tuple[str, str, tuple[int, ...]], ...], user_block_bytes: int
) -> tuple[bytes, dict[str, int]]:
    zeros = {name: np.zeros(shape, dtype) for name, dtype, shape in layout}
    image, offsets = _write_hdf5(zeros, user_block_bytes)
    return bytes(image), offsets


def _narrowed(array: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    if dtype == "float16" and np.abs(array).max(initial=0) <= _FLOAT16_MAX:
        return array.astype("<f2")
    return np.ascontiguousarray(array, dtype="<f4")


def _user_block_bytes(fields: Mapping[str, npt.NDArray[Any]]) -> int:
    """Return a size with room for the header; HDF5 requires a power of two."""
    longest = 512 + sum(len(json.dumps(name)) + 48 for name in fields)
    return max(1024, 1 << (longest - 1).bit_length())


def _row_seeds(keys: Words, lengths: Integers | None) -> Words:
    seeds = key_seeds(keys)
    if lengths is None:
        return seeds
    return token_seeds(np.repeat(seeds, lengths), positions_within(lengths))
