"""Writing records as segments; see `segment` for the layout of the file."""

import hashlib
import io
import json
import logging
import time
from collections.abc import Mapping
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
    import h5py

    keys, lengths = records.keys, records.lengths
    stored = {name: _narrowed(rows, dtype) for name, rows in records.arrays.items()}
    seeds = _row_seeds(keys, lengths)
    sums = [checksums_of(row_sums(rows), name, seeds) for name, rows in stored.items()]
    buffer = io.BytesIO()
    # The 1.10 format protects HDF5's own structures with checksums.
    with h5py.File(
        buffer, "w", libver=("v110", "v110"), userblock_size=_user_block_bytes(stored)
    ) as file:
        file.attrs["sklearn_elmo_format"] = FORMAT

        def put(name: str, data: npt.NDArray[Any]) -> int:
            return int(file.create_dataset(name, data=data).id.get_offset())

        header = {
            "recipe": recipe,
            "records": len(keys),
            "rows": len(seeds),
            "keys": put("keys", keys.view(np.uint8).reshape(len(keys), KEY_BYTES)),
            "lengths": None if lengths is None else put("lengths", lengths),
            "checksums": put("checksums", np.stack(sums)),
            "fields": {
                name: [rows.dtype.str, rows.shape[1], put(f"fields/{name}", rows)]
                for name, rows in stored.items()
            },
        }
    image = buffer.getbuffer()
    start = encode_header({**header, "bytes": len(image)})
    image[: len(start)] = start
    return image


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
