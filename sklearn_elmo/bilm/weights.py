"""Reading and writing the files of a model."""

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import new_output
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.locations import (
    ModelSource,
    StoredFile,
    open_files,
    unreadable,
)
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.bilm.weight_file import (
    CHECKSUM_NAME,
    WeightFile,
    array_checksum,
    open_weight_file,
)
from sklearn_elmo.errors import ModelFileError
from sklearn_elmo.messages import printable
from sklearn_elmo.plain_files import parse_json

__all__ = [
    "ModelFiles",
    "read_model",
    "read_options",
    "write_model",
]

FloatArray = npt.NDArray[np.float32]

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_SWAPPED = "Are options and weights swapped? The pair is (options file, weight file)."
_MAX_OPTIONS_BYTES = 2**20
_WEIGHTS_SLACK_BYTES = 2**26


@dataclass(frozen=True)
class ModelFiles:
    """A model as stored in its files.

    Attributes
    ----------
    options : BiLmOptions
    arrays : dict of str to ndarray
        Every data set of the model: float32, finite, with the expected shape.
    digest : str
        sha256 (hexadecimal) of the options and the arrays. It does not depend on file
        names, number types or compression.
    source : str
        Origin of the model, for messages.
    """

    options: BiLmOptions
    arrays: dict[str, FloatArray]
    digest: str
    source: str

    @classmethod
    def from_arrays(
        cls, options: BiLmOptions, arrays: dict[str, FloatArray], source: str
    ) -> Self:
        """Return a model in memory as if it had been read from files.

        Raises
        ------
        ModelFileError
            The weights are not finite.
        """
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                message = (
                    f"The model {source} has weights {name!r} that are not finite; "
                    "expected finite float32 numbers. Train it again."
                )
                raise ModelFileError(message)
        return cls(options, arrays, _digest(options, arrays), source)


def read_model(source: ModelSource) -> ModelFiles:
    """Read a model in the layout of AllenNLP, bilm-tf or NLPL.

    Parameters
    ----------
    source : path or pair of paths
        A folder or a zip file with one options file (``options.json`` or
        ``*options*.json``) and one weight file (``*.hdf5`` or ``*.h5``), or a pair
        (options file, weight file). ``~`` is expanded.

    Raises
    ------
    ModelFileError
        If a file is damaged or truncated, does not match the other one, or is not part
        of an ELMo. The message names the file, the data set or key, what was found and
        what was expected.
    ModelFileNotFoundError
        If a file is missing.
    """
    with open_files(source) as (options_file, weight_file):
        options = _load_options(options_file)
        arrays = _load_arrays(options, weight_file)
    return ModelFiles(options, arrays, _digest(options, arrays), _describe(source))


def read_options(source: ModelSource) -> BiLmOptions:
    """Read only the options of a model; arguments and errors as in `read_model`."""
    with open_files(source) as (options_file, _):
        return _load_options(options_file)


def write_model(
    folder: str | os.PathLike[str],
    options: BiLmOptions,
    arrays: Mapping[str, FloatArray],
    *,
    dtype: str = "float32",
) -> None:
    """Write ``options.json`` and ``weights.hdf5`` in AllenNLP's layout.

    A file is replaced completely or not at all. Each data set has an HDF5 checksum and
    a sha256, so that `read_model` detects damage.

    Parameters
    ----------
    folder : path
        Created if missing.
    options : BiLmOptions
    arrays : mapping of str to ndarray
        As `ModelFiles.arrays`.
    dtype : {"float32", "float16"}
        Type of the stored numbers.

    Raises
    ------
    ModelFileError
        If an array is missing, does not have the shape that the options imply, or has
        values that are not finite in this type. Nothing is written then.
    """
    import h5py

    stored = _as_stored(options, arrays, dtype)
    folder = Path(os.path.expanduser(folder))
    folder.mkdir(parents=True, exist_ok=True)
    # In memory first: HDF5 crashes the process when it cannot write to a full disk.
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        for name, array in stored.items():
            dataset = file.create_dataset(name, data=array, fletcher32=True)
            # bytes become a string of fixed length, str one of variable length.
            dataset.attrs[CHECKSUM_NAME] = np.bytes_(array_checksum(name, array))
    with new_output(folder / "weights.hdf5") as path:
        path.write_bytes(image.getbuffer())
    with new_output(folder / "options.json") as path:
        text = json.dumps(options.to_dict(), indent=2) + "\n"
        path.write_text(text, encoding="utf-8")


def _as_stored(
    options: BiLmOptions, arrays: Mapping[str, FloatArray], dtype: str
) -> dict[str, npt.NDArray[np.floating]]:
    """Check arrays and convert them to the type of the file."""
    if dtype not in ("float32", "float16"):
        message = f"dtype must be 'float32' or 'float16'. Got {dtype!r} instead."
        raise ModelFileError(message)
    stored = {}
    for name, shape in WeightLayout.of(options, arrays).shapes().items():
        array = arrays.get(name)
        found = "nothing" if array is None else f"shape {array.shape}"
        if array is None or array.shape != shape:
            message = (
                f"The weights to write have {found} for the data set {name!r}; "
                f"expected shape {shape}, as in the options."
            )
            raise ModelFileError(message)
        with np.errstate(over="ignore"):
            stored[name] = array.astype(dtype)
        if not np.isfinite(stored[name]).all():
            message = (
                f"The weights to write have values in the data set {name!r} that are "
                f"not finite as {dtype}; expected finite numbers. Use dtype='float32', "
                "or train the model again."
            )
            raise ModelFileError(message)
    return stored


def _load_options(file: StoredFile) -> BiLmOptions:
    try:
        with file.open(_MAX_OPTIONS_BYTES) as stream:
            # None if it is a device, or a pipe that looks like a file, without data.
            content = stream.read(_MAX_OPTIONS_BYTES + 1) or b""
    except ModelFileError:
        raise
    except OSError as error:
        raise unreadable(Path(file.name), error) from error
    expected = "Expected the options.json that belongs to the weights."
    if content.startswith(_HDF5_MAGIC):
        message = (
            f"The options file {file.name!r} is an HDF5 file. {_SWAPPED} {expected}"
        )
        raise ModelFileError(message)
    if len(content) > _MAX_OPTIONS_BYTES:
        message = (
            f"The options file {file.name!r} has more than {_MAX_OPTIONS_BYTES} bytes. "
            f"{expected}"
        )
        raise ModelFileError(message)
    try:
        options = parse_json(content)
    except ValueError as error:
        message = f"The options file {file.name!r} is not JSON ({error}). {expected}"
        raise ModelFileError(message) from error
    return BiLmOptions.from_dict(options, repr(file.name))


def _load_arrays(options: BiLmOptions, file: StoredFile) -> dict[str, FloatArray]:
    n_numbers = sum(map(math.prod, WeightLayout(options).shapes().values()))
    # float64, and as much again for data sets that are not used.
    max_bytes = 2 * 8 * n_numbers + _WEIGHTS_SLACK_BYTES
    with (
        file.open(max_bytes) as stream,
        open_weight_file(stream, file.name) as weight_file,
    ):
        shapes = _expected_shapes(options, weight_file)
        stored = weight_file.read(shapes)
        return {n: _as_float32(stored.pop(n), n, file.name) for n in shapes}


def _expected_shapes(
    options: BiLmOptions, weight_file: WeightFile
) -> dict[str, tuple[int, ...]]:
    """Return the data sets to read, or refuse a file that has other ones."""
    candidates = WeightLayout(options).shapes()
    present = [name for name in candidates if name in weight_file]
    shapes = WeightLayout.of(options, present).shapes()
    missing = sorted(shapes.keys() - set(present))
    if missing:
        listing = printable(", ".join(weight_file.some_names(5))[:200]) or "none"
        message = (
            f"The weight file {weight_file.name!r} has no data set {missing[0]!r} "
            f"({len(missing)} of {len(shapes)} are missing; found {listing}). Use the "
            "weights that belong to the options."
        )
        raise ModelFileError(message)
    # More LSTM layers than the options ask for do no harm: the lower layers are the
    # same without them. More of these would change every number.
    for surplus, key in (
        (f"CNN_high_{options.n_highway}/W_carry", "char_cnn.n_highway"),
        (f"CNN/W_cnn_{len(options.filters)}", "char_cnn.filters"),
    ):
        if surplus in weight_file:
            message = (
                f"The weight file {weight_file.name!r} has a data set {surplus!r}, "
                f"which {key} in the options does not account for. Use the options "
                "that belong to the weights."
            )
            raise ModelFileError(message)
    return shapes


def _as_float32(stored: npt.NDArray[Any], name: str, file_name: str) -> FloatArray:
    with np.errstate(over="ignore"):
        array: FloatArray = stored.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        message = (
            f"The weight file {file_name!r} has values in data set {name!r} that are "
            "not finite; expected finite float32 numbers. Copy or download it again."
        )
        raise ModelFileError(message)
    return array


def _digest(options: BiLmOptions, arrays: Mapping[str, FloatArray]) -> str:
    described = options.to_dict()
    del described["char_cnn"]["n_characters"]  # 261 and 262 mean the same numbers
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _describe(source: ModelSource) -> str:
    if isinstance(source, tuple | list):
        return " + ".join(str(part) for part in source)
    return str(source)
