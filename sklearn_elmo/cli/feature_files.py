"""Files of features: rows written a piece at a time, in the format of the name."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_elmo.atomic_files import PatientFile, check_place, new_output, signals_wait
from sklearn_elmo.cli.tables import import_pyarrow
from sklearn_elmo.errors import OutputFileError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    Write = Callable[[FloatArray], None]

__all__ = ["check_output", "open_features"]

# Rows of a Parquet file are kept in memory until there are so many bytes of them: small
# groups would make the file's table of contents, which stays in memory, too long.
_ROW_GROUP_BYTES = 32 * 2**20
_HDF5_CHUNK_BYTES = 2**19


def check_output(target: str, source: str) -> None:
    """Make sure, before anything is computed, that features can be written.

    Parameters
    ----------
    target : str
        Where they shall go.
    source : str
        The file that they are made from, or ``"-"``.

    Raises
    ------
    OutputFileError
        If the name has no known suffix, or its folder is not there or read-only, or
        it is the file that is read.
    """
    if _suffix(target) not in _WRITERS:
        message = (
            f"Cannot tell the format of {target!r}. Give it a name that ends in one "
            f"of {', '.join(_WRITERS)}."
        )
        raise OutputFileError(message)
    final = Path(os.path.realpath(target))
    check_place(final)
    if source != "-" and final.exists() and os.path.samefile(source, final):
        message = f"{target!r} is the file that is read. Choose another name."
        raise OutputFileError(message)
    if _suffix(target) in (".parquet", ".pq"):
        import_pyarrow()


def open_features(target: str, names: Sequence[str]) -> "AbstractContextManager[Write]":
    """Open a file for rows of features.

    Parameters
    ----------
    target : str
        Its suffix is the format.
    names : sequence of str
        One a column; kept where the format has a place for them.

    Returns
    -------
    context manager
        Gives a function that takes arrays of *shape* ``(n_rows, n_features)``,
        float32. The file appears when the block ends without an exception.
    """
    return _open_features(target, list(names))


@contextlib.contextmanager
def _open_features(target: str, names: list[str]) -> "Iterator[Write]":
    open_writer = _WRITERS[_suffix(target)]
    with new_output(target) as temporary, open_writer(temporary, names) as write:
        yield write


@contextlib.contextmanager
def _npy(path: Path, names: list[str]) -> "Iterator[Write]":
    """The array alone. Its header is written again once the rows are counted."""
    with path.open("xb") as file:
        yield from _write_array(file, len(names))


def _write_array(file: Any, n_features: int) -> "Iterator[Write]":
    import numpy as np

    n_rows = 0

    def write_header() -> int:
        # numpy leaves room in it for the first axis to grow to any length.
        header = {
            "descr": np.dtype("<f4").str,
            "fortran_order": False,
            "shape": (n_rows, n_features),
        }
        np.lib.format.write_array_header_1_0(file, header)
        return int(file.tell())

    def write(rows: "FloatArray") -> None:
        nonlocal n_rows
        file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        n_rows += len(rows)

    n_header_bytes = write_header()
    yield write
    file.seek(0)
    if write_header() != n_header_bytes:
        message = f"The header of an array of {n_rows} rows does not fit its place."
        raise OutputFileError(message)


@contextlib.contextmanager
def _npz(path: Path, names: list[str]) -> "Iterator[Write]":
    """``features`` and ``feature_names``, as `numpy.savez` writes them.

    A member of a zip file cannot be changed later, so the array is finished first.
    """
    import numpy as np

    with tempfile.TemporaryFile(dir=path.parent) as array:
        yield from _write_array(array, len(names))
        array.seek(0)
        with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
            with archive.open("features.npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(array, member, 2**20)
            with archive.open("feature_names.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.array(names, dtype=str))


@contextlib.contextmanager
def _csv(path: Path, names: list[str]) -> "Iterator[Write]":
    """A header, then the shortest digits that give the same float32 again."""
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(",".join(names) + "\n")  # names have no commas and quotes

        def write(rows: "FloatArray") -> None:
            file.writelines(",".join(map(str, row)) + "\n" for row in rows)

        yield write


@contextlib.contextmanager
def _parquet(path: Path, names: list[str]) -> "Iterator[Write]":
    """One float column a feature."""
    import numpy as np

    pyarrow = import_pyarrow()
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.float32()) for name in names])
    waiting: list[FloatArray] = []

    with parquet.ParquetWriter(
        path, schema, use_dictionary=False, write_statistics=False
    ) as writer:

        def write_group() -> None:
            columns = np.concatenate(waiting).T
            waiting.clear()
            arrays = [pyarrow.array(np.ascontiguousarray(c)) for c in columns]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        def write(rows: "FloatArray") -> None:
            waiting.append(rows)
            if sum(part.nbytes for part in waiting) >= _ROW_GROUP_BYTES:
                write_group()

        yield write
        if waiting:
            write_group()


@contextlib.contextmanager
def _hdf5(path: Path, names: list[str]) -> "Iterator[Write]":
    """Data sets ``features`` and ``feature_names``."""
    import h5py

    n_features = len(names)
    rows_per_chunk = max(1, _HDF5_CHUNK_BYTES // (4 * n_features))
    file = None
    with PatientFile(path, "x+") as raw:
        try:
            with signals_wait():
                file = h5py.File(raw, "w")
                data = file.create_dataset(
                    "features",
                    shape=(0, n_features),
                    maxshape=(None, n_features),
                    chunks=(rows_per_chunk, n_features),
                    dtype="<f4",
                )
                # All names together could be too long for an attribute.
                file.create_dataset(
                    "feature_names", data=names, dtype=h5py.string_dtype()
                )

            def write(rows: "FloatArray") -> None:
                with signals_wait():
                    first = len(data)
                    data.resize(first + len(rows), axis=0)
                    data[first:] = rows
                raw.raise_failure()

            yield write
        finally:
            with signals_wait():
                if file is not None:
                    file.close()
        raw.raise_failure()


_WRITERS: "dict[str, Callable[[Path, list[str]], AbstractContextManager[Write]]]" = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}


def _suffix(target: str) -> str:
    return Path(target).suffix.lower()
