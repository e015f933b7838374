"""Finding and opening the two files of a model.

They are in a folder or a zip file, or are given as a pair of paths.
"""

import contextlib
import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn, Protocol

from sklearn_elmo.errors import ModelFileError, ModelFileNotFoundError
from sklearn_elmo.messages import printable, quote
from sklearn_elmo.plain_files import open_plain_file

__all__ = [
    "ZIP_ERRORS",
    "ModelSource",
    "StoredFile",
    "expand_path",
    "find_files",
    "open_files",
    "unreadable",
]

ModelSource = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]
"""A folder, a zip file, or a pair (options file, weight file)."""

_MANY_LANGS_FILES = {"char.dic", "encoder.pkl", "token_embedder.pkl", "word.dic"}
_BLOCK_BYTES = 2**20
_MAX_SHOWN_PATH = 300

# Weights hardly compress: what expands more than this is a decompression bomb.
_MOST_EXPANSION = 100
_EXPANSION_SLACK_BYTES = 2**26

# A damaged zip shows as any of these, an encrypted one as RuntimeError.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class StoredFile(Protocol):
    """One file of a model.

    Attributes
    ----------
    name : str
        What the file is called in messages.
    """

    name: str

    def open(self, max_bytes: int) -> IO[bytes]:
        """Open the file for reading at any position.

        Parameters
        ----------
        max_bytes : int
            At most so many bytes are kept in memory.

        Raises
        ------
        ModelFileError
            If the file cannot be opened, or would take more memory.
        """
        ...


class _PlainFile:
    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def open(self, max_bytes: int) -> IO[bytes]:
        try:
            return io.BufferedReader(open_plain_file(self._path))
        except (OSError, ValueError) as error:
            raise unreadable(self._path, error) from error


class _ZipMember:
    def __init__(self, archive: zipfile.ZipFile, path: Path, member: str) -> None:
        self.name = f"{path}/{member}"
        self._archive = archive
        self._path = path
        self._member = member

    def open(self, max_bytes: int) -> IO[bytes]:
        # HDF5 jumps about in its file, which a compressed stream cannot do.
        content = io.BytesIO()
        try:
            info = self._archive.getinfo(self._member)
            expanded = _EXPANSION_SLACK_BYTES + _MOST_EXPANSION * info.compress_size
            self._check_size(info.file_size, min(max_bytes, expanded))
            with self._archive.open(info) as stream:
                while block := stream.read(_BLOCK_BYTES):
                    content.write(block)
                    self._check_size(content.tell(), info.file_size)
        except ModelFileError:
            raise
        except MemoryError as error:
            message = (
                f"There is not enough memory to unpack {self.name!r}. Unpack the zip "
                "file, and give the path of the folder."
            )
            raise ModelFileError(message) from error
        except ZIP_ERRORS as error:
            _refuse_zip(self._path, error)
        content.seek(0)
        return content

    def _check_size(self, n_bytes: int, max_bytes: int) -> None:
        if n_bytes > max_bytes:
            message = (
                f"{self.name!r} unpacks to {n_bytes} bytes or more; expected at most "
                f"{max_bytes}. If you trust the zip file, unpack it and give the path "
                "of the folder."
            )
            raise ModelFileError(message)


@contextlib.contextmanager
def open_files(source: ModelSource) -> Iterator[tuple[StoredFile, StoredFile]]:
    """Find the options and the weights of a model.

    Parameters
    ----------
    source : path or pair of paths
        A folder, a zip file, or a pair (options file, weight file).

    Yields
    ------
    options, weights : StoredFile
        Those of a zip file can be opened within the block only.

    Raises
    ------
    ModelFileError
        As in `find_files`, or if a zip file is damaged.
    """
    paths = find_files(source)
    if len(paths) == 2:
        yield _PlainFile(paths[0]), _PlainFile(paths[1])
        return
    path = paths[0]
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_PlainFile(path).open(0))
        try:
            archive = stack.enter_context(zipfile.ZipFile(stream))
        except ZIP_ERRORS as error:
            _refuse_zip(path, error)
        options, weights = _choose_members(archive.namelist(), str(path))
        yield _ZipMember(archive, path, options), _ZipMember(archive, path, weights)


def find_files(source: ModelSource) -> tuple[Path, ...]:
    """Return the paths of a model's files.

    Parameters
    ----------
    source : path or pair of paths
        As in `open_files`.

    Returns
    -------
    tuple of Path
        A zip file, or an options file and a weight file.

    Raises
    ------
    ModelFileNotFoundError
        If there is no such folder or zip file.
    ModelFileError
        If a folder does not hold exactly one file of each kind.
    """
    if isinstance(source, tuple | list):
        if len(source) != 2:
            message = (
                f"A model given by files has {len(source)} paths; expected a pair "
                "(options file, weight file)."
            )
            raise ModelFileError(message)
        return expand_path(source[0]), expand_path(source[1])
    path = expand_path(source)
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return (path,)
        names = [entry.name for entry in path.iterdir() if entry.is_file()]
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return tuple(path / name for name in _choose_members(names, str(path)))


def expand_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with ``~`` replaced by the home folder.

    Raises
    ------
    ModelFileNotFoundError
        If there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        message = f"The path {quote(str(path))} cannot be expanded: {error}"
        raise ModelFileNotFoundError(message) from error


def unreadable(path: Path, error: OSError | ValueError) -> ModelFileError:
    """Return the error to raise where a path of a model cannot be used."""
    reason = getattr(error, "strerror", None) or str(error)
    message = (
        f"The model file or folder {str(path)[:_MAX_SHOWN_PATH]!r} cannot be read "
        f"({reason[:100]}). Pass a folder or a zip file with options and weights, the "
        "pair (options file, weight file), or a name that "
        "sklearn_elmo.models.list_models() returns."
    )
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ModelFileNotFoundError(message)
    return ModelFileError(message)


def _refuse_zip(path: Path, error: Exception) -> NoReturn:
    message = (
        f"{str(path)!r} is not a zip file that can be read ({str(error)[:200]}). Pass "
        "a zip file or a folder with options and weights, or the pair (options file, "
        "weight file)."
    )
    raise ModelFileError(message) from error


def _choose_members(names: list[str], place: str) -> tuple[str, str]:
    """Find the options and the weights among the files of a folder or zip."""
    # Zip files made on a Mac hold a shadow "._name" of every file.
    files = [
        (name, base)
        for name in names
        if not name.endswith("/")
        and not (base := PurePosixPath(name).name).startswith("._")
    ]
    by_name = dict(files)
    if len(by_name) < len(files):
        # Programs disagree about which of them counts.
        twice = next(name for name, n in Counter(n for n, _ in files).items() if n > 1)
        message = (
            f"{place!r} has several files named {quote(twice)}; expected different "
            "names. Make the zip file again."
        )
        raise ModelFileError(message)
    found = set(by_name.values())
    if len(_MANY_LANGS_FILES & found) >= 2:
        message = (
            f"{place!r} holds an ELMoForManyLangs model (found "
            f"{', '.join(sorted(_MANY_LANGS_FILES & found))}); its architecture is "
            "different and not supported. Use a model in the layout of AllenNLP or "
            "bilm-tf: options.json and an HDF5 file of weights."
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
            listing = printable(", ".join(sorted(chosen or found)[:10])[:200])
            message = (
                f"{place!r} has {len(chosen)} files of {kind}; expected one; found "
                f"{listing or 'nothing'}. Pass the pair (options file, weight file) "
                "instead."
            )
            raise ModelFileError(message)
    return options[0], weights[0]
