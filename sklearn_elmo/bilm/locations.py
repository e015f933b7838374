"""Where a model's two files lie: in a folder, in a zip file, or anywhere as a pair."""

import contextlib
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sklearn_elmo.errors import ModelFileError

__all__ = ["ModelSource", "OpenFile", "find_files", "open_files"]

ModelSource = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]
"""A folder, a zip file, or a pair (options file, weight file)."""

_MANY_LANGS_FILES = {"char.dic", "encoder.pkl", "token_embedder.pkl", "word.dic"}


@dataclass(frozen=True)
class OpenFile:
    """A file to read, with the name to call it by in messages."""

    name: str
    stream: IO[bytes]


@contextlib.contextmanager
def open_files(source: ModelSource) -> Iterator[tuple[OpenFile, OpenFile]]:
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


def _open_path(path: Path, stack: contextlib.ExitStack) -> OpenFile:
    try:
        return OpenFile(str(path), stack.enter_context(path.open("rb")))
    except OSError as error:
        message = f"The model file {str(path)!r} cannot be opened: {error.strerror}."
        raise ModelFileError(message) from error


def _open_zip_members(
    path: Path, stack: contextlib.ExitStack
) -> tuple[OpenFile, OpenFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        chosen = _choose_members(archive.namelist(), str(path))
        options, weights = (
            # HDF5 jumps about in its file, which a compressed stream can't.
            OpenFile(f"{path}/{name}", io.BytesIO(archive.read(name)))
            for name in chosen
        )
    except ModelFileError:
        raise
    # Damage shows as any of these, a password as RuntimeError.
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        message = (
            f"{str(path)!r} is no zip file that can be read ({error}). Give a zip or a "
            "folder with options.json and weights, or the pair (options file, weight "
            "file)."
        )
        raise ModelFileError(message) from error
    return options, weights


def _choose_members(names: list[str], place: str) -> tuple[str, str]:
    """Find the options and the weights among the files of a folder or zip."""
    # Zip files made on a Mac hold a shadow "._name" of every file.
    by_name = {
        name: base
        for name in names
        if not name.endswith("/")
        and not (base := PurePosixPath(name).name).startswith("._")
    }
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
