"""Publishing records as a segment; see `segment` for the file's layout."""

import hashlib
import io
import json
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
    checks_of,
    key_seeds,
    row_sums,
    token_seeds,
)
from sklearn_elmo.store.recipe import KEY_BYTES
from sklearn_elmo.store.records import Records
from sklearn_elmo.store.segment import FORMAT, MAGIC, numbers_within

_FLOAT16_MAX = float(np.finfo(np.float16).max)


def write_segment(folder: Path, records: Records, dtype: str) -> Path:
    """Publish records under a new name in `folder`.

    Parameters
    ----------
    folder : Path
        A recipe's folder.
    records : Records
    dtype : {"float32", "float16"}
        A field with numbers outside float16's range is kept as float32 all the same.

    Returns
    -------
    Path
        The file, which survives a crash from here on.
    """
    content = _hdf5_image(records, dtype)
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = folder / f"seg-{time.time_ns():016x}-{digest}.h5"
    write_bytes(path, content)
    return path


def as_stored(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Round as a store of `dtype` does; what float16 cannot hold stays as it is."""
    exact = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "float32":
        return exact
    with np.errstate(over="ignore"):
        halves = exact.astype(np.float16).astype(np.float32)
    return np.where(np.isinf(halves), exact, halves)


def _hdf5_image(records: Records, dtype: str) -> memoryview:
    """Build the file in memory, so that a full disk cannot leave HDF5 half closed."""
    import h5py

    keys, lengths = records.keys, records.lengths
    stored = {name: _narrowed(rows, dtype) for name, rows in records.arrays.items()}
    seeds = _row_seeds(keys, lengths)
    checks = [checks_of(row_sums(rows), name, seeds) for name, rows in stored.items()]
    buffer = io.BytesIO()
    # The 1.10 format has checksums in HDF5's own structures.
    with h5py.File(
        buffer, "w", libver=("v110", "v110"), userblock_size=_user_block_bytes(stored)
    ) as file:
        file.attrs["sklearn_elmo_format"] = FORMAT

        def put(name: str, data: npt.NDArray[Any]) -> int:
            return int(file.create_dataset(name, data=data).id.get_offset())

        header = {
            "records": len(keys),
            "rows": len(seeds),
            "keys": put("keys", keys.view(np.uint8).reshape(len(keys), KEY_BYTES)),
            "lengths": None if lengths is None else put("lengths", lengths),
            "checks": put("checks", np.stack(checks)),
            "fields": {
                name: [rows.dtype.str, rows.shape[1], put(f"fields/{name}", rows)]
                for name, rows in stored.items()
            },
        }
    image = buffer.getbuffer()
    block = _header_block({**header, "bytes": len(image)})
    image[: len(block)] = block
    return image


def _narrowed(array: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    if dtype == "float16" and np.abs(array).max(initial=0) <= _FLOAT16_MAX:
        return array.astype("<f2")
    return np.ascontiguousarray(array, dtype="<f4")


def _user_block_bytes(fields: Mapping[str, npt.NDArray[Any]]) -> int:
    """Choose a power of two with room for the header, as HDF5 demands."""
    longest = 512 + sum(len(json.dumps(name)) + 48 for name in fields)
    return max(1024, 1 << (longest - 1).bit_length())


def _header_block(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    return MAGIC + b"%d %s %d\n" % (FORMAT, digest, len(text)) + text


def _row_seeds(keys: Words, lengths: Integers | None) -> Words:
    seeds = key_seeds(keys)
    if lengths is None:
        return seeds
    return token_seeds(np.repeat(seeds, lengths), numbers_within(lengths))
