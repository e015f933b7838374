"""Reading CSV and TSV strictly: no record is merged, cut or padded in silence.

Python's csv module parses. What it accepts although a file probably means something
else is refused here, with the line: a stray quotation mark at the start of a field
would make one record of all lines up to the next one.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from sklearn_elmo.errors import TextValueError
from sklearn_elmo.messages import printable, quote

__all__ = ["read_records"]

# The csv module keeps this number in a C long, which has 32 bits on Windows.
_LONGEST_FIELD = 2**31 - 1
# What is remembered of a column's values, and of records that may be several.
_MOST_VALUES = 10_000
_LONGEST_VALUE = 100
_MOST_SUSPECTS = 1_000

_REMEDY = (
    "Quote the field as RFC 4180 says, or pass --no-quotes if quotation marks are "
    "characters like any other in this file."
)


def read_records(
    lines: Iterator[tuple[int, str]], name: str, *, delimiter: str, quotes: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of its first line, the header first.

    Blank lines are skipped, as pandas does.

    Parameters
    ----------
    lines : iterator of (int, str)
        Numbers and content of the lines, with their line ends.
    name : str
        Name of the file, for messages.
    delimiter : str
        One character.
    quotes : bool
        Whether fields may be quoted.

    Raises
    ------
    TextValueError
        A record is longer or shorter than the header; a quotation mark is never
        closed, is followed by text, or probably does not open a field.
    """
    source = _Lines(lines)
    records = csv.reader(
        source,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    longest_before = csv.field_size_limit(_LONGEST_FIELD)
    checks = _QuoteChecks(name, delimiter) if quotes else None
    width = None
    try:
        while (record := _next_record(records, source, name)) is not None:
            if not record:
                continue
            if checks is not None:
                checks.check(source.first, source.current, record)
            if width is None:
                width = len(record)
            elif len(record) != width:
                message = (
                    f"Line {source.first} of {name} has {len(record)} fields, but the "
                    f"header has {width}. Quote fields that contain the delimiter, or "
                    "pass the right --format or --delimiter."
                )
                raise TextValueError(message)
            yield source.first, record
        if checks is not None:
            checks.check_suspects()
    finally:
        csv.field_size_limit(longest_before)


class _Lines:
    """Hands lines to the csv module and keeps those of the current record."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._number = 0
        self.first = 1
        self.current: list[str] = []
        self.ended = False

    def start_record(self) -> None:
        self.first, self.current = self._number + 1, []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            self._number, line = next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.current.append(line)
        return line


def _next_record(
    records: Iterator[list[str]], source: _Lines, name: str
) -> list[str] | None:
    source.start_record()
    try:
        record = next(records)
    except StopIteration:
        return None
    except csv.Error as cause:
        if source.ended:
            _refuse_unclosed(source.first, name, cause)
        message = (
            f"The record on line {source.first} of {name} is not valid CSV "
            f"({printable(str(cause))}): {quote(source.current[0])}. {_REMEDY}"
        )
        raise TextValueError(message) from cause
    if source.ended:
        _refuse_unclosed(source.first, name, None)
    return record


def _refuse_unclosed(line: int, name: str, cause: Exception | None) -> NoReturn:
    message = (
        f"A quotation mark in the record on line {line} of {name} is never closed. "
        f"{_REMEDY}"
    )
    raise TextValueError(message) from cause


class _QuoteChecks:
    """Finds quoted fields over several lines that are probably several records.

    Two things speak against a field that contains line breaks: elsewhere the file has
    quotation marks inside fields that are not quoted; or the lines of the field look
    like records themselves, with as many fields as the header and a value that other
    records have in the same column.
    """

    def __init__(self, name: str, delimiter: str) -> None:
        self._name, self._delimiter = name, delimiter
        field = rf'(?:"(?:[^"]|"")*+"|[^"{re.escape(delimiter)}]*+)'
        self._well_formed = re.compile(
            rf"(?:{field}{re.escape(delimiter)})*+{field}\r?\n?", re.DOTALL
        )
        self._values: list[set[str]] = []
        self._bare_quote: int | None = None
        self._long_field: int | None = None
        self._suspects: list[_Suspect] = []

    def check(self, first: int, lines: Sequence[str], record: list[str]) -> None:
        """Raise TextValueError if a record is probably several."""
        if not self._values:
            self._values = [set() for _ in record]
            return  # the header, whose names are not values
        if len(lines) > 1:
            self._long_field = self._long_field or first
            self._suspect(first, lines)
        elif '"' in lines[0] and not self._well_formed.fullmatch(lines[0]):
            self._bare_quote = self._bare_quote or first
        if self._bare_quote is not None and self._long_field is not None:
            self._refuse(self._long_field)
        for seen, value in zip(self._values, record, strict=False):
            if len(seen) < _MOST_VALUES and len(value) < _LONGEST_VALUE:
                seen.add(value)

    def check_suspects(self) -> None:
        """Raise TextValueError if what has been read speaks against a record."""
        for suspect in self._suspects:
            if all(self._is_known(row) for row in suspect.rows):
                self._refuse(suspect.line)

    def _suspect(self, first: int, lines: Sequence[str]) -> None:
        rows = [line.rstrip("\r\n").split(self._delimiter) for line in lines]
        width = len(self._values)
        if width > 1 and all(len(row) == width for row in rows):
            for seen, value in zip(self._values, rows[0], strict=True):
                seen.add(value)
            self._suspects.append(_Suspect(first, rows[1:]))
            self.check_suspects()
            del self._suspects[_MOST_SUSPECTS:]

    def _is_known(self, row: list[str]) -> bool:
        return any(
            value in seen or (value.isdecimal() and all(v.isdecimal() for v in seen))
            for value, seen in zip(row, self._values, strict=True)
        )

    def _refuse(self, line: int) -> NoReturn:
        other = (
            ""
            if self._bare_quote is None
            else f"; line {self._bare_quote} has one inside a field without quotes"
        )
        message = (
            f"A quotation mark in the record on line {line} of {self._name} probably "
            f"does not open a field: it would merge several records into one{other}. "
            f"{_REMEDY}"
        )
        raise TextValueError(message)


class _Suspect(NamedTuple):
    """A record of several lines that may be records themselves."""

    line: int
    rows: list[list[str]]
    """Fields of the lines after the first."""
