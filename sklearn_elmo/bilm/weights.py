"""Model files: finding them, reading them with every check, writing them."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.errors import ModelFileError

if TYPE_CHECKING:
    import h5py

__all__ = [
    "ModelFiles",
    "ModelSource",
    "find_files",
    "read_model",
    "read_options",
    "write_model",
]

FloatArray = npt.NDArray[np.float32]
ModelSource = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]
"""A folder, a zip file, or a pair (options file, weight file)."""

_MANY_LANGS_FILES = {"char.dic", "encoder.pkl", "token_embedder.pkl", "word.dic"}


@dataclass(frozen=True)
class ModelFiles:
    """A model as its files hold it.

    Attributes
    ----------
    options : BiLmOptions
    arrays : dict of str to ndarray
        Every data set that the model needs, float32, with checked shape and finite
        values.
    digest : str
        sha256 (hexadecimal) of the options and the arrays: two files with the same
        numbers have the same digest, whatever their names or compression.
    source : str
        Where the model comes from, for messages.
    """

    options: BiLmOptions
    arrays: dict[str, FloatArray]
    digest: str
    source: str


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
        If a file is missing, damaged, truncated, does not fit the other one, or is no
        ELMo. The message names the file, the data set or key, what was found and what
        was expected.
    """
    with _open_files(source) as (options_file, weight_file):
        options = _parse_options(options_file)
        arrays = _read_arrays(options, weight_file)
    return ModelFiles(options, arrays, _digest(options, arrays), _describe(source))


def read_options(source: ModelSource) -> BiLmOptions:
    """Read only the options of a model; arguments and errors as in `read_model`."""
    with _open_files(source) as (options_file, _):
        return _parse_options(options_file)


def write_model(
    folder: str | os.PathLike[str],
    options: BiLmOptions,
    arrays: Mapping[str, FloatArray],
    *,
    dtype: str = "float32",
) -> None:
    """Write ``options.json`` and ``weights.hdf5`` in AllenNLP's layout.

    Each file appears whole or not at all. The data sets carry HDF5 checksums, so that
    damage is noticed when they are read.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    options : BiLmOptions
    arrays : mapping of str to ndarray
        As `ModelFiles.arrays`.
    dtype : {"float32", "float16"}
        How the file holds the numbers.
    """
    import h5py

    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with _replacing(folder / "weights.hdf5") as path, h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.astype(dtype), fletcher32=True)
    with _replacing(folder / "options.json") as path:
        text = json.dumps(options.to_dict(), indent=2) + "\n"
        path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _OpenFile:
    """A file to read, with the name to call it by in messages."""

    name: str
    stream: IO[bytes]


@contextlib.contextmanager
def _open_files(source: ModelSource) -> Iterator[tuple[_OpenFile, _OpenFile]]:
    """Open the options and the weights, wherever they lie."""
    with contextlib.ExitStack() as stack:
        paths = find_files(source)
        if len(paths) == 1:
            yield _open_zip_members(paths[0], stack)
        else:
            yield _open_path(paths[0], stack), _open_path(paths[1], stack)


def find_files(source: ModelSource) -> tuple[Path, ...]:
    """Return the zip file, or the options file and the weight file, of a model.

    Raises
    ------
    ModelFileError
        If there is no such path, or a folder does not hold just one of each.
    """
    if isinstance(source, tuple | list):
        if len(source) != 2:
            message = (
                f"A model given by files has {len(source)} paths; expected a pair "
                "(options file, weight file)."
            )
            raise ModelFileError(message)
        return tuple(Path(part).expanduser() for part in source)
    path = Path(source).expanduser()
    if path.is_file():
        return (path,)
    if not path.is_dir():
        message = (
            f"There is no folder or zip file {str(path)!r} to read a model from. Give "
            "the path of a folder with options and weights, or a name that "
            "sklearn_elmo.models.list_models() knows."
        )
        raise ModelFileError(message)
    names = [entry.name for entry in path.iterdir() if entry.is_file()]
    return tuple(path / name for name in _choose_members(names, str(path)))


def _open_path(path: Path, stack: contextlib.ExitStack) -> _OpenFile:
    try:
        return _OpenFile(str(path), stack.enter_context(path.open("rb")))
    except OSError as error:
        message = f"The model file {str(path)!r} cannot be opened: {error.strerror}."
        raise ModelFileError(message) from error


def _open_zip_members(
    path: Path, stack: contextlib.ExitStack
) -> tuple[_OpenFile, _OpenFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        chosen = _choose_members(archive.namelist(), str(path))
        options, weights = (
            # HDF5 jumps about in its file, which a compressed stream can't.
            _OpenFile(f"{path}/{name}", io.BytesIO(archive.read(name)))
            for name in chosen
        )
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        message = (
            f"{str(path)!r} is no zip file that can be read ({error}). Give a zip or a "
            "folder with options.json and weights, or the pair (options file, weight "
            "file)."
        )
        raise ModelFileError(message) from error
    return options, weights


def _choose_members(names: list[str], place: str) -> tuple[str, str]:
    """Find the options and the weights among the files of a folder or zip."""
    by_name = {name: PurePosixPath(name).name for name in names}
    found = set(by_name.values())
    if len(_MANY_LANGS_FILES & found) >= 2:
        message = (
            f"{place!r} holds an ELMoForManyLangs model (found "
            f"{', '.join(sorted(_MANY_LANGS_FILES & found))}), which has another "
            "architecture and cannot be loaded here. Use a model in the layout of "
            "AllenNLP or bilm-tf: options.json and an HDF5 file of weights."
        )
        raise ModelFileError(message)
    options = [n for n, base in by_name.items() if base == "options.json"] or [
        n for n, base in by_name.items() if "options" in base and base.endswith(".json")
    ]
    weights = [n for n, base in by_name.items() if base.endswith((".hdf5", ".h5"))]
    for mark in ("weights", "model"):
        if len(weights) > 1:
            weights = [n for n in weights if mark in by_name[n]] or weights
    for kind, chosen in (("options (*.json)", options), ("weights (*.hdf5)", weights)):
        if len(chosen) != 1:
            listing = ", ".join(sorted(chosen or found)[:10]) or "nothing"
            message = (
                f"{place!r} has {len(chosen)} files of {kind} where one was expected; "
                f"found {listing}. Give the pair (options file, weight file) instead."
            )
            raise ModelFileError(message)
    return options[0], weights[0]


def _parse_options(file: _OpenFile) -> BiLmOptions:
    try:
        parsed = json.loads(file.stream.read().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        message = (
            f"The options file {file.name!r} is not JSON ({error}). Expected the "
            "options.json that belongs to the weights."
        )
        raise ModelFileError(message) from error
    return BiLmOptions.from_dict(parsed, repr(file.name))


def _read_arrays(options: BiLmOptions, file: _OpenFile) -> dict[str, FloatArray]:
    import h5py

    try:
        with h5py.File(file.stream, "r") as hdf5:
            names = _dataset_names(hdf5)
            _check_names(options, names, file.name)
            shapes = WeightLayout.of(options, names).shapes()
            return {
                name: _read_array(hdf5, name, shape, file.name)
                for name, shape in shapes.items()
            }
    except ModelFileError:
        raise
    # h5py turns the library's many complaints about damage into any of these.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        message = (
            f"The weight file {file.name!r} is damaged, truncated or no HDF5 file "
            f"({error}). Expected the HDF5 file of an AllenNLP or bilm-tf model; copy "
            "or download it again."
        )
        raise ModelFileError(message) from error


def _dataset_names(hdf5: "h5py.File") -> list[str]:
    import h5py

    names: list[str] = []
    hdf5.visititems(
        lambda name, item: (
            names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    return names


def _check_names(options: BiLmOptions, names: list[str], file_name: str) -> None:
    missing = WeightLayout.of(options, names).shapes().keys() - set(names)
    if missing:
        first = sorted(missing)[0]
        listing = ", ".join(sorted(names)[:5]) or "none"
        message = (
            f"The weight file {file_name!r} has no data set {first!r} ({len(missing)} "
            f"of the expected ones are missing; found {len(names)}: {listing}, ...). "
            "Use the weights that belong to the options."
        )
        raise ModelFileError(message)
    # More LSTM layers than the options ask for are harmless: the lower layers are
    # the same without them. More of these would change every number.
    for surplus, said in (
        (f"CNN_high_{options.n_highway}/W_carry", "char_cnn.n_highway"),
        (f"CNN/W_cnn_{len(options.filters)}", "char_cnn.filters"),
    ):
        if surplus in names:
            message = (
                f"The weight file {file_name!r} has a data set {surplus!r}, which the "
                f"options' {said} does not account for. Use the options that belong "
                "to the weights."
            )
            raise ModelFileError(message)


def _read_array(
    hdf5: "h5py.File", name: str, shape: tuple[int, ...], file_name: str
) -> FloatArray:
    dataset = hdf5[name]
    if dataset.shape != shape or dataset.dtype.kind != "f":
        message = (
            f"The weight file {file_name!r} has a data set {name!r} of shape "
            f"{dataset.shape} and type {dataset.dtype}; expected floats of shape "
            f"{shape}. Use the weights that belong to the options."
        )
        raise ModelFileError(message)
    array: FloatArray = dataset[...].astype(np.float32)
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


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside the target that replaces it when all went well."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
