"""Files of texts, read a row at a time: which file, which format, which column.

`iterate_texts` is for any command; how each format is read is in `formats`.
"""

import contextlib
import math
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sklearn_elmo.cli import formats
from sklearn_elmo.cli.formats import Row, import_pyarrow
from sklearn_elmo.compressed import SUFFIXES, open_compressed
from sklearn_elmo.errors import TextTypeError, TextValueError
from sklearn_elmo.messages import quote

__all__ = ["FORMATS", "Table", "chunks", "import_pyarrow", "iterate_texts"]

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

# What `chunks` takes up at a time.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 4 * 2**20


def iterate_texts(
    path: str,
    column: str | None = None,
    *,
    format: str | None = None,
    quotes: bool = True,
    delimiter: str | None = None,
) -> Iterator[str | None]:
    """Yield the texts of a file, one a row.

    Parameters
    ----------
    path : str
        CSV, TSV, JSONL, Parquet or plain lines, plain or compressed; ``"-"`` is
        standard input.
    column : str, optional
        Which column (key, in JSONL) holds the texts; not needed if there is only one.
    format : {"csv", "tsv", "jsonl", "parquet", "lines"}, optional
        By default told from the name; that of standard input is lines.
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


def chunks(texts: Iterable[str | None]) -> Iterator[list[str | None]]:
    """Cut a stream of texts into lists of some thousand.

    Parameters
    ----------
    texts : iterable of (str or None)

    Yields
    ------
    list of (str or None)
        At most 4,096, and not many more than 4 M characters.
    """
    chunk: list[str | None] = []
    n_characters = 0
    for text in texts:
        chunk.append(text)
        n_characters += len(text or "")
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

    Raises
    ------
    FileNotFoundError, TextValueError
        If there is no such file, or its format cannot be told from its name.
    """

    path: str
    format: str | None = None
    quotes: bool = True
    delimiter: str | None = None
    reread: bool = False
    _copy: IO[bytes] | None = field(default=None, init=False, repr=False)

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
            self.format = self._tell_format()

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.close()

    @property
    def name(self) -> str:
        """What messages call the file."""
        return "standard input" if self.path == "-" else self.path

    def where(self, row: Row) -> str:
        """Say in a message where a row is."""
        unit = "Row" if self.format == "parquet" else "Line"
        return f"{unit} {row.number} of {self.name}"

    def texts(self, column: str | None = None) -> Iterator[tuple[Row, str | None]]:
        """Yield rows with their texts; None is a null."""
        for row in self.rows([column]):
            yield row, self.as_text(row, column)

    def rows(self, columns: Sequence[str | None]) -> Iterator[Row]:
        """Yield the values of some columns; None asks for the only one there is."""
        with self._open() as file:
            match self.format:
                case "lines":
                    if any(column is not None for column in columns):
                        message = (
                            f"{self.name} is read as plain lines, which have no "
                            "columns. Leave --column away, or give its --format."
                        )
                        raise TextValueError(message)
                    yield from formats.read_lines(file, self.name)
                case "jsonl":
                    yield from formats.read_jsonl(file, self.name, columns)
                case "parquet":
                    yield from formats.read_parquet(file, self.name, columns)
                case _:
                    yield from formats.read_csv(
                        file,
                        self.name,
                        columns,
                        delimiter=self.delimiter or _DELIMITERS[str(self.format)],
                        quotes=self.quotes,
                    )

    def as_text(self, row: Row, column: str | None) -> str | None:
        """Return the first value of a row, which has to be a text or null."""
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

    def _tell_format(self) -> str:
        if self.path == "-":
            return "lines"
        suffixes = [suffix.lower() for suffix in Path(self.path).suffixes]
        if suffixes and suffixes[-1] in SUFFIXES:
            suffixes.pop()
        if suffixes and suffixes[-1] in _SUFFIXES:
            return _SUFFIXES[suffixes[-1]]
        message = (
            f"Cannot tell the format of {self.path!r} from its name. Say it with "
            f"--format: {', '.join(FORMATS)} (lines: one text a line)."
        )
        raise TextValueError(message)

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """Open the file, or the copy of it, from its beginning."""
        if self._copy is None and self._needs_copy():
            self._copy = self._copy_all()
        if self._copy is not None:
            self._copy.seek(0)
            yield self._copy
        elif self.path == "-":
            yield sys.stdin.buffer
        else:
            with self._open_path() as file:
                yield file

    def _needs_copy(self) -> bool:
        """Tell whether the file has to be read again, or in any order, but cannot."""
        if self.path == "-":
            return self.reread or self.format == "parquet"
        if self.format == "parquet" and Path(self.path).suffix in SUFFIXES:
            return True
        is_pipe = not stat.S_ISREG(os.stat(self.path).st_mode)
        return is_pipe and (self.reread or self.format == "parquet")

    def _copy_all(self) -> IO[bytes]:
        copy = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        with contextlib.ExitStack() as stack:
            stack.callback(copy.close)
            if self.path == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy, 2**20)
            else:
                with self._open_path() as file:
                    shutil.copyfileobj(file, copy, 2**20)
            stack.pop_all()
        return copy

    def _open_path(self) -> IO[bytes]:
        return open_compressed(self.path, error=TextValueError, name=self.name)
