"""Prepared weights in a file that every process of a machine maps.

Pages of a mapped file are in memory once, however many processes read them. The file is
HDF5 with contiguous data sets, so that each weight is a range of its bytes.
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sklearn_elmo.bilm import packed_memory
from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import PreparedWeight
from sklearn_elmo.bilm.weights import dataset_names
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.outputs import new_hdf5

__all__ = ["can_be_mapped", "map_weights", "save_weights"]

# Where numbers begin changes which instructions take them, and so the rounding.
_ALIGNMENT = 64
_CHECKSUM = "sha256"
_DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.bfloat16, torch.int8)}

ByteArray = npt.NDArray[np.uint8]


def can_be_mapped(weights: PreparedWeights) -> bool:
    """Tell whether a file can stand for these weights with this PyTorch."""
    is_packed = [
        tensor.is_mkldnn
        for factor in weights.factors.values()
        for tensor in factor.tensors
    ]
    return not any(is_packed) or packed_memory.works()


def save_weights(path: Path, weights: PreparedWeights) -> None:
    """Write a file for `map_weights`; it appears whole or not at all.

    Raises
    ------
    OSError
        It cannot be written.
    """
    aligned = {"alignment_threshold": 1, "alignment_interval": _ALIGNMENT}
    with new_hdf5(path, **aligned) as (file, check):
        for name, factor in weights.factors.items():
            for number, tensor in enumerate(factor.tensors):
                place = f"factors/{name}/{number}"
                _write(file, place, tensor).attrs["form"] = factor.form
        for name, tensor in weights.tensors.items():
            _write(file, f"tensors/{name}", tensor)
        check()
        file.attrs[_CHECKSUM] = _checksum(file)


def map_weights(path: Path) -> PreparedWeights:
    """Return weights whose numbers lie in the file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFileError
        It is damaged, or this PyTorch cannot use it.
    OSError
        It cannot be read.
    """
    weights = PreparedWeights()
    with h5py.File(path, "r") as file:
        # Written to a copy if at all: nobody does, but PyTorch asks for the right. If
        # the file was replaced since it was opened, the numbers fail their checks.
        memory = np.memmap(path, dtype=np.uint8, mode="c")
        try:
            # First of all: the descriptions of packed weights go to native code.
            _check(_checksum(file) == file.attrs[_CHECKSUM], "its descriptions")
            for place in dataset_names(file):
                dataset = file[place]
                kind, _, name = place.partition("/")
                tensor = _map(dataset, memory)
                if kind == "tensors":
                    weights.tensors[name] = tensor
                    continue
                name, _, _ = name.rpartition("/")
                earlier = weights.factors.get(name, PreparedWeight("", ()))
                weights.factors[name] = PreparedWeight(
                    str(dataset.attrs["form"]), (*earlier.tensors, tensor)
                )
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            message = f"The prepared weights in {str(path)!r} cannot be used: {error}"
            raise ModelFileError(message) from error
    return weights


def _write(file: h5py.File, place: str, tensor: Tensor) -> h5py.Dataset:
    description = b""
    if tensor.is_mkldnn:
        memory, description = packed_memory.packed_bytes(tensor)
    else:
        memory = tensor.contiguous().flatten().view(torch.uint8).numpy()
    dataset = file.create_dataset(place, data=memory)
    dataset.attrs["dtype"] = str(tensor.dtype)
    dataset.attrs["shape"] = tuple(tensor.shape)
    dataset.attrs["crc32"] = zlib.crc32(memory.data)
    if description:
        dataset.attrs["packed"] = np.frombuffer(description, dtype=np.uint8)
    return dataset


def _checksum(file: h5py.File) -> str:
    """Return a checksum of all that is said of the data sets, theirs included."""
    said = [
        (
            place,
            [(key, _plain(value)) for key, value in sorted(file[place].attrs.items())],
        )
        for place in dataset_names(file)
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _map(dataset: h5py.Dataset, memory: ByteArray) -> Tensor:
    start = dataset.id.get_offset()
    part = memory[start : start + dataset.size]
    _check(zlib.crc32(part.data) == dataset.attrs["crc32"], dataset.name)
    dtype = _DTYPES[dataset.attrs["dtype"]]
    shape = tuple(int(n) for n in dataset.attrs["shape"])
    if "packed" in dataset.attrs:
        description = dataset.attrs["packed"].tobytes()
        return packed_memory.packed_tensor(part, description, shape, dtype)
    return torch.from_numpy(part).view(dtype).view(shape)


def _check(is_sound: bool, what: str) -> None:
    if not is_sound:
        message = f"{what} is not what was written."
        raise ValueError(message)
