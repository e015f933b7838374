"""Files of texts, read row by row: which file, which format, which columns.

`formats` holds the reader of each format.
"""

import contextlib
import math
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from sklearn_elmo.cli import formats
from sklearn_elmo.cli.formats import Row
from sklearn_elmo.compressed import SUFFIXES, open_compressed
from sklearn_elmo.errors import TextTypeError, TextValueError
from sklearn_elmo.messages import quote

__all__ = ["FORMATS", "Table", "chunks", "iterate_texts"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "lines",
}
FORMATS = ("csv", "tsv", "jsonl", "parquet", "lines")
_DELIMITERS = {"csv": ",", "tsv": "\t"}

# The largest list that `chunks` yields.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 4 * 2**20

_READ_BYTES = 2**20

Item = TypeVar("Item")


def iterate_texts(
    path: str,
    column: str | None = None,
    *,
    format: str | None = None,
    quotes: bool = True,
    delimiter: str | None = None,
) -> Iterator[str | None]:
    """Yield the texts of a file, one per row.

    Parameters
    ----------
    path : str
        CSV, TSV, JSONL, Parquet or plain lines, which may be compressed; ``"-"`` is
        standard input.
    column : str, optional
        The column (key, in JSONL) of the texts; not needed if there is only one.
    format : {"csv", "tsv", "jsonl", "parquet", "lines"}, optional
        The default depends on the name; that of standard input is lines.
    quotes : bool, default=True
        Whether CSV and TSV fields may be quoted.
    delimiter : str, optional
        One character between CSV or TSV fields, instead of a comma or a tab.

    Yields
    ------
    str or None
        None for a null of JSONL or Parquet; ``""`` for an empty field or line.

    Raises
    ------
    FileNotFoundError, TextValueError, TextTypeError
        Names the file, and the line or row; see `formats`.
    """
    with Table(path, format=format, quotes=quotes, delimiter=delimiter) as table:
        for _, text in table.texts(column):
            yield text


def chunks(
    items: Iterable[Item], text_of: Callable[[Item], str | None]
) -> Iterator[list[Item]]:
    """Cut a stream into lists of a few thousand texts.

    Parameters
    ----------
    items : iterable
    text_of : callable
        Returns the text of an item, which counts for its length.

    Yields
    ------
    list
        At most 4,096 items, and not many more than 4 million characters.
    """
    chunk: list[Item] = []
    n_characters = 0
    for item in items:
        chunk.append(item)
        n_characters += len(text_of(item) or "")
        if len(chunk) == _CHUNK_TEXTS or n_characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk


@dataclass
class Table:
    """A file with a column of texts; a context manager.

    Parameters
    ----------
    path, format, quotes, delimiter
        As in `iterate_texts`.
    reread : bool, default=False
        Whether it is read more than once. A pipe is then copied to a temporary file.

    Attributes
    ----------
    n_rows : int or None
        Number of rows: None until they have been read once, except for Parquet.

    Raises
    ------
    FileNotFoundError, TextValueError
        If there is no such file, or its name does not tell its format.
    """

    path: str
    format: str | None = None
    quotes: bool = True
    delimiter: str | None = None
    reread: bool = False
    n_rows: int | None = field(default=None, init=False)
    _copy: IO[bytes] | None = field(default=None, init=False, repr=False)
    _raw: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.path != "-":
            if os.path.isdir(self.path):
                message = f"{self.path!r} is a folder. Name a file in it."
                raise TextValueError(message)
            if not os.path.exists(self.path):
                message = (
                    f"There is no file {self.path!r}. Check the path, or pass - to "
                    "read standard input."
                )
                raise FileNotFoundError(message)
        if self.format is None:
            self.format = self._guess_format()
        if self.delimiter is not None and self.format not in _DELIMITERS:
            message = (
                f"{self.name} is read as {self.format}, which has no delimiter. Omit "
                "--delimiter, or pass --format csv."
            )
            raise TextValueError(message)

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.close()

    @property
    def name(self) -> str:
        """The name of the file in messages."""
        return "standard input" if self.path == "-" else self.path

    @property
    def share_read(self) -> float | None:
        """The share of the file's bytes that have been read; None if unknown."""
        file = self._copy or self._raw
        if file is None or file.closed:
            return None
        try:
            status = os.fstat(file.fileno())
        except OSError:  # a stream that Python simulates
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return None
        return file.tell() / status.st_size

    def where(self, row: Row) -> str:
        """Return the place of a row, for messages."""
        unit = "Row" if self.format == "parquet" else "Line"
        return f"{unit} {row.number} of {self.name}"

    def texts(self, column: str | None = None) -> Iterator[tuple[Row, str | None]]:
        """Yield rows with their texts; None is a null."""
        for row in self.rows([column]):
            yield row, self.as_text(row, column)

    def rows(self, columns: Sequence[str | None]) -> Iterator[Row]:
        """Yield the values of some columns; None is the only column there is."""
        n_rows = 0
        with self._open() as file:
            if self.format == "parquet":
                self.n_rows = formats.count_parquet_rows(file, self.name)
            for row in self._read(file, columns):
                yield row
                n_rows += 1
        self.n_rows = n_rows

    def _read(self, file: IO[bytes], columns: Sequence[str | None]) -> Iterator[Row]:
        match self.format:
            case "lines":
                if any(column is not None for column in columns):
                    message = (
                        f"{self.name} is read as plain lines, which have no columns. "
                        "Omit --column, or pass its --format."
                    )
                    raise TextValueError(message)
                return formats.read_lines(file, self.name)
            case "jsonl":
                return formats.read_jsonl(file, self.name, columns)
            case "parquet":
                return formats.read_parquet(file, self.name, columns)
            case _:
                return formats.read_csv(
                    file,
                    self.name,
                    columns,
                    delimiter=self.delimiter or _DELIMITERS[str(self.format)],
                    quotes=self.quotes,
                )

    def as_text(self, row: Row, column: str | None) -> str | None:
        """Return the first value of a row, which must be a text or null."""
        value = row.values[0]
        if isinstance(value, str):
            return value
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        what = "The text" if column is None else f"{column!r}"
        advice = (
            "Join the tokens with blanks, and pass --tokenizer whitespace."
            if isinstance(value, list)
            else "Name the column of texts with --column, or write it as a string."
        )
        message = (
            f"{self.where(row)}: {what} is {type(value).__name__} "
            f"({quote(value)}), not a string. {advice}"
        )
        raise TextTypeError(message)

    def _guess_format(self) -> str:
        suffixes = [suffix.lower() for suffix in Path(self.path).suffixes]
        if suffixes and suffixes[-1] in SUFFIXES:
            suffixes.pop()
        if suffixes and suffixes[-1] in _SUFFIXES:
            return _SUFFIXES[suffixes[-1]]
        if self.delimiter is not None:
            return "csv"
        if self.path == "-":
            return "lines"
        message = (
            f"The name {self.path!r} does not tell the format. Pass it with --format: "
            f"{', '.join(FORMATS)} (lines: one text per line)."
        )
        raise TextValueError(message)

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """Open the file, or the copy of it, at its beginning."""
        if self._copy is None and self._needs_copy():
            self._copy = self._copy_all()
        if self._copy is not None:
            self._copy.seek(0)
            yield self._copy
        else:
            with self._open_source() as file:
                yield file

    def _needs_copy(self) -> bool:
        """Return True if it is read twice, or in any order, and the file cannot be."""
        if self.format == "parquet":
            suffix = Path(self.path).suffix.lower()
            return suffix in SUFFIXES or not self._is_regular()
        return self.reread and not self._is_regular()

    def _is_regular(self) -> bool:
        return self.path != "-" and stat.S_ISREG(os.stat(self.path).st_mode)

    def _copy_all(self) -> IO[bytes]:
        with contextlib.ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(
                stack.enter_context(self._open_source()), copy, _READ_BYTES
            )
            stack.pop_all()
        return copy

    def _open_source(self) -> IO[bytes]:
        if self.path == "-":
            self._raw = sys.stdin.buffer
        else:
            self._raw = open(self.path, "rb", buffering=_READ_BYTES)  # noqa: SIM115
        return open_compressed(self._raw, error=TextValueError, name=self.name)
