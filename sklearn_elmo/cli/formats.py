"""Readers of lines, CSV, TSV, JSONL and Parquet.

Each reader takes a binary file and yields `Row`s. Text is UTF-8, with or without a byte
order mark. A line ends with LF or CR LF only, so that no other character inside a text
ends it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

from sklearn_elmo.cli.csv_records import read_records
from sklearn_elmo.compressed import numbered_lines
from sklearn_elmo.errors import (
    MissingPackageError,
    SklearnElmoError,
    TextTypeError,
    TextValueError,
)
from sklearn_elmo.messages import quote
from sklearn_elmo.plain_files import parse_json

__all__ = [
    "Row",
    "count_parquet_rows",
    "read_csv",
    "read_jsonl",
    "read_lines",
    "read_parquet",
]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROWS_PER_BATCH = 1024
_PARQUET_BUFFER_BYTES = 2**20
_MOST_NAMES = 10


class Row(NamedTuple):
    """The values of the requested columns."""

    number: int
    """Number of its first line, or of the row in a Parquet file, counted from 1."""
    values: Sequence[Any]


def read_lines(file: IO[bytes], name: str) -> Iterator[Row]:
    """Yield every line, also blank ones."""
    for number, line in _decoded_lines(file, name):
        yield Row(number, (line.removesuffix("\n").removesuffix("\r"),))


def read_csv(
    file: IO[bytes],
    name: str,
    columns: Sequence[str | None],
    *,
    delimiter: str,
    quotes: bool,
) -> Iterator[Row]:
    """Yield the records after the header.

    Raises
    ------
    TextValueError
        There is no header or no such column; otherwise as `read_records`.
    """
    records = read_records(
        _decoded_lines(file, name), name, delimiter=delimiter, quotes=quotes
    )
    _, header = next(records, (0, []))
    if not header:
        message = f"{name} is empty; its first line must name the columns."
        raise TextValueError(message)
    positions = [_position(header, column, name) for column in columns]
    for number, record in records:
        yield Row(number, [record[position] for position in positions])


def read_jsonl(
    file: IO[bytes], name: str, columns: Sequence[str | None]
) -> Iterator[Row]:
    """Yield one row per object; blank lines are skipped.

    A line may also be a bare string, if no column is named.

    Raises
    ------
    TextValueError
        A line is not JSON, is not an object, or does not have the key just once.
    """
    for number, line in _decoded_lines(file, name):
        if not line.strip():
            continue
        where = f"Line {number} of {name}"
        try:
            value = parse_json(line)
        except ValueError as cause:
            message = (
                f"{where} is not JSON ({quote(line.strip())}: {cause}). JSONL has one "
                "object per line; pass the --format if this is another one."
            )
            raise TextValueError(message) from cause
        if isinstance(value, str) and list(columns) == [None]:
            yield Row(number, (value,))
            continue
        if not isinstance(value, dict):
            message = (
                f"{where} is {type(value).__name__} ({quote(value)}), not a JSON "
                'object. Write {"text": ...} on each line.'
            )
            raise TextValueError(message)
        yield Row(number, [_value(value, column, where) for column in columns])


def read_parquet(
    file: IO[bytes], name: str, columns: Sequence[str | None]
) -> Iterator[Row]:
    """Yield the rows; row groups are read in pieces.

    Raises
    ------
    TextValueError
        The file is not Parquet or is damaged, or there is no such column.
    TextTypeError
        The first of the requested columns does not hold strings.
    MissingPackageError
        pyarrow is not installed.
    """
    pyarrow = import_pyarrow()
    with _parquet_file(file, name) as table:
        schema = table.schema_arrow
        chosen = [
            schema.names[_position(schema.names, column, name)] for column in columns
        ]
        _check_strings(pyarrow, schema.field(chosen[0]), name)
        number = 0
        for batch in table.iter_batches(
            _ROWS_PER_BATCH, columns=list(dict.fromkeys(chosen)), use_threads=False
        ):
            for values in zip(
                *(batch.column(column).to_pylist() for column in chosen), strict=True
            ):
                number += 1
                yield Row(number, values)


def count_parquet_rows(file: IO[bytes], name: str) -> int:
    """Return the number of rows, which a Parquet file states; errors as above."""
    with _parquet_file(file, name) as table:
        return int(table.metadata.num_rows)


@contextlib.contextmanager
def _parquet_file(file: IO[bytes], name: str) -> Iterator[Any]:
    """Open a Parquet file; pyarrow's errors in the block become ours."""
    pyarrow = import_pyarrow()
    from pyarrow import parquet

    try:
        # By default pyarrow reads whole columns of a row group into memory.
        yield parquet.ParquetFile(
            file, pre_buffer=False, buffer_size=_PARQUET_BUFFER_BYTES
        )
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as cause:
        if isinstance(cause, SklearnElmoError):
            raise
        message = (
            f"{name} cannot be read as Parquet ({cause}). Write it again, or pass the "
            "right --format."
        )
        raise TextValueError(message) from cause


def import_pyarrow() -> Any:
    """Import pyarrow, an optional dependency."""
    try:
        import pyarrow
    except ImportError as cause:
        message = (
            "Parquet files need pyarrow, which is not installed. Install it: "
            "pip install 'sklearn-elmo[parquet]'"
        )
        raise MissingPackageError(message) from cause
    return pyarrow


def _decoded_lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers and lines with their ends."""
    for number, line in numbered_lines(file, name, error=TextValueError):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as cause:
            shown = quote(line[cause.start : cause.start + 8])
            message = (
                f"Line {number} of {name} is not UTF-8 (byte {cause.start}: "
                f"{shown}). Convert the file, e.g. with "
                "'iconv -f latin1 -t utf-8', or pass the right --format."
            )
            raise TextValueError(message) from cause
        yield number, text


def _position(names: Sequence[str], column: str | None, name: str) -> int:
    """Return the position of a column; None means the only one."""
    if column is None:
        if len(names) == 1:
            return 0
        message = (
            f"{name} has {len(names)} columns: {_list(names)}. Name the one with "
            "the texts with --column."
        )
        raise TextValueError(message)
    if list(names).count(column) == 1:
        return list(names).index(column)
    problem = "several columns" if column in names else "no column"
    message = (
        f"{name} has {problem} named {column!r}, but: {_list(names)}. Name one of "
        "these, or pass the right --format or --delimiter."
    )
    raise TextValueError(message)


def _value(row: dict[str, Any], column: str | None, where: str) -> Any:
    if column is None:
        if len(row) == 1:
            return next(iter(row.values()))
        message = (
            f"{where} has {len(row)} keys: {_list(list(row))}. Name the one with the "
            "texts with --column."
        )
        raise TextValueError(message)
    if column in row:
        return row[column]
    message = (
        f"{where} has no key {column!r}, but: {_list(list(row))}. Add it (null for a "
        "missing text), or name another with --column."
    )
    raise TextValueError(message)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(quote(name) for name in names[:_MOST_NAMES])
    return shown + (", ..." if len(names) > _MOST_NAMES else "") or "none"


def _check_strings(pyarrow: Any, field: Any, name: str) -> None:
    """Raise TextTypeError unless a Parquet column holds strings or only nulls."""
    kind = field.type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    types = pyarrow.types
    tests = ("is_string", "is_large_string", "is_string_view", "is_null")
    if not any(getattr(types, test)(kind) for test in tests if hasattr(types, test)):
        message = (
            f"The column {field.name!r} of {name} holds {field.type}, not strings. "
            "Name the column of texts with --column, or convert it to strings."
        )
        raise TextTypeError(message)
