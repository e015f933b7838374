"""Files of features: rows are written in pieces, in the format of the file's name."""

import contextlib
import csv
import io
import json
import math
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sklearn_elmo.atomic_files import PatientFile, check_place, new_output, signals_wait
from sklearn_elmo.cli.formats import import_pyarrow
from sklearn_elmo.errors import OutputFileError
from sklearn_elmo.messages import quote

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    Write = Callable[..., None]
    Writer = AbstractContextManager[Write]

Kept = Sequence[Sequence[Any]]
"""Values of the kept columns, one sequence per row."""

__all__ = ["OUTPUT_FORMATS", "check_output", "open_features", "output_format"]

# Rows of a Parquet file are kept in memory until they reach this size: small groups
# would make the file's table of contents, which stays in memory, too long.
_ROW_GROUP_BYTES = 32 * 2**20
_HDF5_CHUNK_BYTES = 2**19
_COPY_BYTES = 2**20

_SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}


def output_format(target: str) -> str:
    """Return the format that a name stands for; ``"-"`` is CSV on standard output.

    Raises
    ------
    OutputFileError
        The suffix is unknown.
    """
    if target == "-":
        return "csv"
    suffix = Path(target).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    message = (
        f"The name {target!r} does not tell the format. End it with one of "
        f"{', '.join(_SUFFIXES)}, or pass --output-format."
    )
    raise OutputFileError(message)


def check_output(target: str, source: str, format: str) -> None:
    """Make sure, before anything is computed, that features can be written.

    Parameters
    ----------
    target : str
        The path of the features, or ``"-"``.
    source : str
        The path of the texts, or ``"-"``.
    format : str
        One of `OUTPUT_FORMATS`.

    Raises
    ------
    OutputFileError
        The folder does not exist or is read-only, or `target` is `source`.
    MissingPackageError
        The format needs a package that is not installed.
    """
    if format == "parquet":
        import_pyarrow()
    if target == "-":
        return
    final = Path(os.path.realpath(target))
    check_place(final)
    if source != "-" and final.exists() and os.path.samefile(source, final):
        message = f"{target!r} is the file that is read. Choose another name."
        raise OutputFileError(message)


@contextlib.contextmanager
def open_features(
    target: str,
    names: Sequence[str],
    kept: Sequence[str] = (),
    format: str | None = None,
) -> "Iterator[Write]":
    """Open a file for rows of features.

    Parameters
    ----------
    target : str
        Path, or ``"-"`` for standard output.
    names : sequence of str
        One per feature; written where the format has a place for them.
    kept : sequence of str
        Names of columns that are copied from the input.
    format : str, optional
        One of `OUTPUT_FORMATS`; by default what `output_format` says.

    Yields
    ------
    callable
        Takes features of *shape* ``(n_rows, n_features)``, float32, and the rows' kept
        values. The file appears when the block ends without an exception.

    Raises
    ------
    OutputFileError
        A kept column has the name of a feature, or values that the format cannot hold.
    """
    if clash := set(kept) & set(names):
        message = (
            f"The column {min(clash)!r} has the name of a feature. Rename it, or omit "
            "it from --keep."
        )
        raise OutputFileError(message)
    format = format or output_format(target)
    open_writer = _WRITERS[format]
    if target != "-":
        with (
            new_output(target) as temporary,
            open_writer(temporary, list(names), list(kept)) as write,
        ):
            yield write
    elif format == "csv":
        with _utf8_stdout() as file:
            yield _csv_write(file, list(names), list(kept))
    else:
        # The formats go back to their beginning, which a pipe cannot.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "features"
            with open_writer(path, list(names), list(kept)) as write:
                yield write
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer, _COPY_BYTES)


@contextlib.contextmanager
def _npy(path: Path, names: list[str], kept: list[str]) -> "Iterator[Write]":
    """The array alone. Its header is written again once the rows are counted."""
    if kept:
        message = (
            "An .npy file holds the features only, not the columns of --keep. Write "
            ".npz, .csv, .parquet or .h5 instead."
        )
        raise OutputFileError(message)
    with path.open("xb") as file, _array(file, len(names)) as append:

        def write(rows: "FloatArray", kept_rows: Kept = ()) -> None:
            append(rows)

        yield write


@contextlib.contextmanager
def _array(file: Any, n_features: int) -> "Iterator[Callable[[FloatArray], None]]":
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

    def append(rows: "FloatArray") -> None:
        nonlocal n_rows
        file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        n_rows += len(rows)

    n_header_bytes = write_header()
    yield append
    file.seek(0)
    if write_header() != n_header_bytes:
        message = f"The header of an array of {n_rows} rows is too long for its place."
        raise OutputFileError(message)


@contextlib.contextmanager
def _npz(path: Path, names: list[str], kept: list[str]) -> "Iterator[Write]":
    """``features``, ``feature_names`` and ``columns/NAME``, as `numpy.savez` does.

    A member of a zip file cannot be changed later, so the array is finished first.
    """
    import numpy as np

    columns: list[list[str]] = [[] for _ in kept]
    with tempfile.TemporaryFile(dir=path.parent) as array:
        with _array(array, len(names)) as append:

            def write(rows: "FloatArray", kept_rows: Kept = ()) -> None:
                append(rows)
                for number, column in enumerate(columns):
                    column.extend(_as_cell(row[number]) for row in kept_rows)

            yield write
        array.seek(0)
        with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
            with archive.open("features.npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(array, member, _COPY_BYTES)
            strings = dict(zip(_column_keys(kept), columns, strict=True))
            for name, values in {"feature_names": names, **strings}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.array(values, dtype=str))


@contextlib.contextmanager
def _csv(path: Path, names: list[str], kept: list[str]) -> "Iterator[Write]":
    with path.open("x", encoding="utf-8", newline="") as file:
        yield _csv_write(file, names, kept)


def _csv_write(file: IO[str], names: list[str], kept: list[str]) -> "Write":
    """Write a header; rows have the shortest digits that give the same float32."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*kept, *names])

    def write(rows: "FloatArray", kept_rows: Kept = ()) -> None:
        for number, row in enumerate(rows):
            cells = map(_as_cell, kept_rows[number]) if kept else ()
            writer.writerow([*cells, *map(str, row)])

    return write


@contextlib.contextmanager
def _utf8_stdout() -> "Iterator[IO[str]]":
    file = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield file
        file.flush()
    finally:
        with contextlib.suppress(OSError):  # raised by flush above, or nobody reads
            file.detach()


@contextlib.contextmanager
def _parquet(path: Path, names: list[str], kept: list[str]) -> "Iterator[Write]":
    """One float column per feature; the first values decide a kept column's type."""
    import numpy as np

    pyarrow = import_pyarrow()
    from pyarrow import parquet

    waiting: list[FloatArray] = []
    waiting_kept: list[Sequence[Any]] = []
    types: list[Any] = []
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def write_group() -> None:
            nonlocal writer
            columns = [[row[i] for row in waiting_kept] for i in range(len(kept))]
            if writer is None:
                types.extend(_parquet_type(pyarrow, column) for column in columns)
            arrays = [
                _parquet_array(pyarrow, *column)
                for column in zip(kept, columns, types, strict=True)
            ]
            features = np.concatenate([np.zeros((0, len(names)), "f4"), *waiting]).T
            arrays += [pyarrow.array(np.ascontiguousarray(c)) for c in features]
            table = pyarrow.Table.from_arrays(arrays, names=[*kept, *names])
            if writer is None:
                writer = stack.enter_context(
                    parquet.ParquetWriter(
                        path, table.schema, use_dictionary=kept, write_statistics=False
                    )
                )
            writer.write_table(table)
            waiting.clear()
            waiting_kept.clear()

        def write(rows: "FloatArray", kept_rows: Kept = ()) -> None:
            waiting.append(rows)
            waiting_kept.extend(kept_rows)
            if sum(part.nbytes for part in waiting) >= _ROW_GROUP_BYTES:
                write_group()

        yield write
        if waiting or writer is None:
            write_group()


def _parquet_type(pyarrow: Any, values: list[Any]) -> Any:
    try:
        kind = pyarrow.array(values).type
    except (pyarrow.ArrowException, OverflowError):  # values of several types
        return pyarrow.string()
    return pyarrow.string() if pyarrow.types.is_null(kind) else kind


def _parquet_array(pyarrow: Any, name: str, values: list[Any], kind: Any) -> Any:
    if pyarrow.types.is_string(kind):
        values = [None if value is None else _as_cell(value) for value in values]
    try:
        return pyarrow.array(values, type=kind)
    except (pyarrow.ArrowException, OverflowError) as cause:
        message = (
            f"The column {name!r} of --keep starts with values of the type {kind}, "
            f"which later ones do not have ({cause}). Make them all alike, or write "
            ".csv."
        )
        raise OutputFileError(message) from cause


@contextlib.contextmanager
def _hdf5(path: Path, names: list[str], kept: list[str]) -> "Iterator[Write]":
    """Data sets ``features``, ``feature_names`` and ``columns/NAME``."""
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
                columns = [
                    file.create_dataset(
                        key, shape=(0,), maxshape=(None,), dtype=h5py.string_dtype()
                    )
                    for key in _column_keys(kept)
                ]

            def write(rows: "FloatArray", kept_rows: Kept = ()) -> None:
                with signals_wait():
                    first = len(data)
                    for dataset in (data, *columns):
                        dataset.resize(first + len(rows), axis=0)
                    data[first:] = rows
                    for number, column in enumerate(columns):
                        column[first:] = [_hdf5_cell(row[number]) for row in kept_rows]
                raw.raise_failure()

            yield write
        finally:
            with signals_wait():
                if file is not None:
                    file.close()
        raw.raise_failure()


_WRITERS: "dict[str, Callable[[Path, list[str], list[str]], Writer]]" = {
    "npy": _npy,
    "npz": _npz,
    "csv": _csv,
    "parquet": _parquet,
    "hdf5": _hdf5,
}
OUTPUT_FORMATS = tuple(_WRITERS)


def _column_keys(kept: list[str]) -> list[str]:
    """Return the names of kept columns inside a file, apart from the features'."""
    return [f"columns/{name.replace('/', '%2F')}" for name in kept]


def _as_cell(value: Any) -> str:
    """Return a kept value as text; nulls are empty."""
    if isinstance(value, str):
        if not value.isascii():
            _check_unicode(value)
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _check_unicode(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        message = (
            f"A value of --keep, {quote(value)}, holds half of a surrogate pair, which "
            "is not a character. Repair it, or omit the column."
        )
        raise OutputFileError(message) from cause


def _hdf5_cell(value: Any) -> str:
    cell = _as_cell(value)
    if "\0" in cell:
        message = (
            f"A value of --keep, {quote(cell)}, holds a NUL character, which HDF5 "
            "strings cannot. Remove it, or write .csv."
        )
        raise OutputFileError(message)
    return cell
