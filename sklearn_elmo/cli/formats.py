"""How rows are read from lines, CSV, TSV, JSONL and Parquet.

Each reader takes a binary file and yields `Row`s. Text is UTF-8, with or without a byte
order mark; a line ends with LF or CR LF and nothing else, so that no character inside a
text is taken for the end of one.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from sklearn_elmo.errors import (
    MissingPackageError,
    SklearnElmoError,
    TextTypeError,
    TextValueError,
)
from sklearn_elmo.messages import quote

__all__ = ["Row", "read_csv", "read_jsonl", "read_lines", "read_parquet"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# The csv module keeps this number in a C long, which has 32 bits on Windows.
_LONGEST_FIELD = 2**31 - 1
_ROWS_PER_BATCH = 1024
_PARQUET_BUFFER_BYTES = 2**20
_MOST_NAMES = 10


class Row(NamedTuple):
    """Values of the columns that were asked for."""

    number: int
    """Of its first line, or of the row in a Parquet file; counted from 1."""
    values: Sequence[Any]


def read_lines(file: IO[bytes], name: str) -> Iterator[Row]:
    """Yield every line, blank ones too."""
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
    """Yield the records after the header; blank lines are none, as for pandas.

    Raises
    ------
    TextValueError
        No header or column, a record that is longer or shorter than the header, a
        quotation mark that is never closed.
    """
    lines = _CountedLines(_decoded_lines(file, name))
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    longest_before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        records = _records(reader, lines, name)
        _, header = next(records, (0, []))
        if not header:
            message = f"{name} is empty; its first line must name the columns."
            raise TextValueError(message)
        positions = [_position(header, column, name) for column in columns]
        for number, record in records:
            if len(record) != len(header):
                message = (
                    f"Line {number} of {name} has {len(record)} fields, but the header "
                    f"has {len(header)}. Put quotation marks around fields that "
                    "contain the delimiter, or give the right --format."
                )
                raise TextValueError(message)
            yield Row(number, [record[position] for position in positions])
    finally:
        csv.field_size_limit(longest_before)


def read_jsonl(
    file: IO[bytes], name: str, columns: Sequence[str | None]
) -> Iterator[Row]:
    """Yield one row an object; blank lines are skipped.

    A line may also be a bare string, if no column is named.

    Raises
    ------
    TextValueError
        A line that is no JSON, no object, or has not the key.
    """
    for number, line in _decoded_lines(file, name):
        if not line.strip():
            continue
        where = f"Line {number} of {name}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as cause:
            message = (
                f"{where} is no JSON ({quote(line.strip())}: {cause}). JSONL has one "
                "object a line; give the --format if this is something else."
            )
            raise TextValueError(message) from cause
        if isinstance(value, str) and list(columns) == [None]:
            yield Row(number, (value,))
            continue
        if not isinstance(value, dict):
            message = (
                f"{where} is {type(value).__name__} ({quote(value)}), no JSON object. "
                'Write {"text": ...} on each line.'
            )
            raise TextValueError(message)
        yield Row(number, [_value(value, column, where) for column in columns])


def read_parquet(
    file: IO[bytes], name: str, columns: Sequence[str | None]
) -> Iterator[Row]:
    """Yield the rows, row groups read a piece at a time.

    Raises
    ------
    TextValueError
        It is no Parquet file, or damaged, or the column is not there.
    TextTypeError
        The first column of those asked for has no strings.
    MissingPackageError
        pyarrow is not installed.
    """
    pyarrow = import_pyarrow()
    from pyarrow import parquet

    try:
        # Unless told otherwise, pyarrow takes whole columns of a row group into memory.
        table = parquet.ParquetFile(
            file, pre_buffer=False, buffer_size=_PARQUET_BUFFER_BYTES
        )
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
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as cause:
        if isinstance(cause, SklearnElmoError):
            raise
        message = (
            f"{name} cannot be read as Parquet ({cause}). Write it again, or give the "
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


class _CountedLines:
    """Lines that know the number of the last one, and whether it was the last."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self.number = 0
        self.ended = False

    def __iter__(self) -> "_CountedLines":
        return self

    def __next__(self) -> str:
        try:
            self.number, line = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        return line


def _records(
    records: Iterator[list[str]], lines: _CountedLines, name: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield records with the number of their first line."""
    while True:
        first = lines.number + 1
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as cause:
            message = (
                f"Line {first} of {name} is no CSV ({cause}). Write the file with a "
                "CSV library, or give the right --format."
            )
            raise TextValueError(message) from cause
        if lines.ended:
            # The file came to its end in the middle of a record.
            message = (
                f"A quotation mark opened in the record on line {first} of {name} is "
                "never closed. Close it, or pass --no-quotes if quotation marks mean "
                "nothing there."
            )
            raise TextValueError(message)
        if record:
            yield first, record


def _decoded_lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers and lines with their ends."""
    for number, line in enumerate(file, start=1):
        if number == 1:
            if line.startswith(_UTF16_MARKS):
                message = (
                    f"{name} is UTF-16, not UTF-8. Convert it, e.g. with "
                    "'iconv -f utf-16 -t utf-8'."
                )
                raise TextValueError(message)
            line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as cause:
            shown = quote(line[cause.start : cause.start + 8])
            message = (
                f"Line {number} of {name} is no UTF-8 (byte {cause.start}: "
                f"{shown}). Convert the file, e.g. with "
                "'iconv -f latin1 -t utf-8', or give the right --format."
            )
            raise TextValueError(message) from cause
        yield number, text


def _position(names: Sequence[str], column: str | None, name: str) -> int:
    """Find a column by its name; None means the only one."""
    if column is None:
        if len(names) == 1:
            return 0
        message = (
            f"{name} has {len(names)} columns: {_list(names)}. Choose the one with "
            "the texts with --column."
        )
        raise TextValueError(message)
    if list(names).count(column) == 1:
        return list(names).index(column)
    problem = "several columns" if column in names else "no column"
    message = (
        f"{name} has {problem} named {column!r}, but: {_list(names)}. Name one of "
        "these, or give the right --format."
    )
    raise TextValueError(message)


def _value(row: dict[str, Any], column: str | None, where: str) -> Any:
    if column is None:
        if len(row) == 1:
            return next(iter(row.values()))
        message = (
            f"{where} has {len(row)} keys: {_list(list(row))}. Choose the one with the "
            "texts with --column."
        )
        raise TextValueError(message)
    if column in row:
        return row[column]
    message = (
        f"{where} has no key {column!r}, but: {_list(list(row))}. Add it (null for a "
        "missing text), or name another one with --column."
    )
    raise TextValueError(message)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(quote(name) for name in names[:_MOST_NAMES])
    return shown + (", ..." if len(names) > _MOST_NAMES else "") or "none"


def _check_strings(pyarrow: Any, field: Any, name: str) -> None:
    """Make sure that a Parquet column holds strings, or nothing but nulls."""
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
