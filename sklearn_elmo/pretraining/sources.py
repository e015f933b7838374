"""What the pretrainer accepts as text: texts, or files, folders and glob patterns.

`open_source` decides what the input is; documents are read from the result.
"""

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Set, Sized
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sklearn_elmo.compressed import SUFFIXES
from sklearn_elmo.errors import (
    CorpusError,
    CorpusNotFoundError,
    CorpusTypeError,
    TextTypeError,
    TextValueError,
)
from sklearn_elmo.messages import quote
from sklearn_elmo.plain_files import open_plain_file
from sklearn_elmo.text import as_texts

__all__ = ["Files", "Source", "Texts", "check_no_table", "open_source"]

_ESTIMATOR = "ElmoPretrainer"
_TABLE_SUFFIXES = (
    ".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow",
    ".feather", ".xls", ".xlsx",
)  # fmt: skip
_TEXT_SUFFIXES = (
    *(".txt", ".text", ".tok", ".md", ".zip", ".tar", *_TABLE_SUFFIXES, *SUFFIXES),
)
_SEPARATORS = ("/", "\\")
_LONGEST_PATH_SHOWN = 250
# What frames, columns and arrays of all libraries have, and other iterables do not.
_COLUMN_ATTRIBUTES = (
    *("__array__", "__dataframe__", "__arrow_c_stream__", "collect_schema", "toarray"),
)


@dataclass(frozen=True)
class Files:
    """Text files.

    Attributes
    ----------
    paths : list of Path
    """

    paths: list[Path]

    def n_documents(self) -> int | None:
        """Return the number of documents if it is known."""
        return None

    def fingerprint(self) -> Any:
        """Return what changes if a file does: names, sizes and times of change."""
        stats = [(path.resolve(), path.stat()) for path in self.paths]
        return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


@dataclass(frozen=True)
class Texts:
    """Texts in memory, or a stream of them.

    Attributes
    ----------
    texts : iterable of (str or sequence of str)
        Not checked yet.
    """

    texts: Iterable[Any]

    def n_documents(self) -> int | None:
        """Return the number of documents if it is known."""
        return len(self.texts) if isinstance(self.texts, Sized) else None

    def fingerprint(self) -> Any:
        """Return a digest of the texts; None for a stream, which can be read once."""
        if not isinstance(self.texts, list | tuple):
            return None
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(repr(text).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


Source = Files | Texts


def open_source(X: Any, *, pretokenized: bool = False, tables: bool = False) -> Source:
    """Decide whether the input consists of texts or of files.

    A `pathlib.Path` is always a path, and so is a str that names an existing file. A
    str *looks like a path* if it has no white space, is not a URL, and has a separator
    or names an existing folder or matching glob pattern, or if it ends with a usual
    suffix of text files, such as ``.txt`` or ``.gz``. If all elements are paths or look
    like paths, the input consists of paths, and each of them has to exist.

    Parameters
    ----------
    X : path, iterable of paths, of str or of token lists, or Source
        See `ElmoPretrainer.fit`. A source is returned unchanged.
    pretokenized : bool, default=False
        Whether texts are lists of tokens.
    tables : bool, default=False
        Whether files may be tables, by their names. Their lines are not sentences.

    Returns
    -------
    Files or Texts

    Raises
    ------
    CorpusError
        Paths and texts are mixed, the input is a single text, or it is a frame or an
        array of several columns, or a file is a table.
    CorpusNotFoundError
        There is no such file, folder or match. Also a FileNotFoundError.
    CorpusTypeError
        The input is a dict, a set, bytes or not iterable, or a column contains
        something else than texts. Also a TypeError.

    Examples
    --------
    >>> open_source(["the cat sat", "the dog sat"])
    Texts(texts=['the cat sat', 'the dog sat'])
    """
    if isinstance(X, Source):
        return X
    source = _texts_or_files(X, pretokenized)
    if isinstance(source, Files) and not tables:
        for path in source.paths:
            check_no_table(path)
    return source


def _texts_or_files(X: Any, pretokenized: bool) -> Source:
    if isinstance(X, os.PathLike):
        return Files(_expand(X))
    if isinstance(X, str):
        if _exists(X) or _looks_like_path(X):
            return Files(_expand(X))
        message = (
            f"The input is a single str, {quote(X)}, which names no file, folder or "
            "pattern; expected an iterable of texts, or paths. Pass [text] for a "
            "single text."
        )
        raise CorpusError(message)
    if _is_column(X):
        X = _column_texts(X, pretokenized)
    if isinstance(X, list | tuple):
        return _open_elements(X)
    return _open_stream(iter(X))


def _column_texts(X: Any, pretokenized: bool) -> list[Any]:
    try:
        return as_texts(X, estimator=_ESTIMATOR, pretokenized=pretokenized)
    except TextTypeError as error:
        raise CorpusTypeError(str(error)) from error
    except TextValueError as error:
        raise CorpusError(str(error)) from error


def _is_column(X: Any) -> bool:
    """Return True for everything that `as_texts` reads or refuses as a whole."""
    if isinstance(X, list | tuple):
        return False
    return (
        not isinstance(X, Iterable)
        or isinstance(X, Mapping | Set | bytes | bytearray | memoryview)
        or any(hasattr(X, name) for name in _COLUMN_ATTRIBUTES)
    )


def _open_elements(elements: list[Any] | tuple[Any, ...]) -> Source:
    are_paths = bool(elements) and (
        any(isinstance(element, os.PathLike) for element in elements)
        or all(_is_probably_path(element) for element in elements)
    )
    if not are_paths:
        return Texts(list(_checked_texts(elements)))
    return Files([path for part in _checked_paths(elements) for path in part])


def _open_stream(elements: Iterator[Any]) -> Source:
    """Decide by the first element, because the others are read only once."""
    for first in elements:
        if _is_probably_path(first):
            return _open_elements([first, *elements])
        return Texts(_checked_texts(chain([first], elements)))
    return Texts([])


def _checked_texts(elements: Iterable[Any]) -> Iterator[Any]:
    """Yield texts; raise for a path among them."""
    for position, element in enumerate(elements):
        is_path = isinstance(element, os.PathLike) or (
            isinstance(element, str)
            and not _has_space(element)
            and (_ends_like_text_file(element) or _is_file(element))
        )
        if is_path:
            message = (
                f"Element {position} of the input is a path, {quote(element)}, but "
                "others are texts; expected one or the other. Pass the files alone. If "
                "it is a text, pass it as a list of tokens."
            )
            raise CorpusError(message)
        yield element


def _checked_paths(elements: Iterable[Any]) -> Iterator[list[Path]]:
    """Yield the files of each path; raise for a text among them."""
    for position, element in enumerate(elements):
        if not isinstance(element, str | os.PathLike):
            message = (
                f"Element {position} of the input is {type(element).__name__} "
                f"({quote(element)}), but others are paths; expected one or the other. "
                "Do not mix paths and texts."
            )
            raise CorpusError(message)
        yield _expand(element)


def _expand(name: str | os.PathLike[Any]) -> list[Path]:
    """Return the files that a path stands for: a file, a folder or a pattern."""
    text = os.path.expanduser(os.fsdecode(os.fspath(name)))
    if _exists(text):
        return _files_in(Path(text))
    matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
    files = [file for match in matches for file in _files_in(Path(match))]
    if not files:
        message = (
            f"There is no file or folder {_show_path(text)}, and no file matches it as "
            "a pattern. Check the path."
        )
        if isinstance(name, str):
            message += " If it is a text, pass it as a list of tokens."
        raise CorpusNotFoundError(message)
    return files


def _files_in(path: Path) -> list[Path]:
    """Return the files of a folder and its subfolders by name, without hidden ones."""
    if not path.is_dir():
        _check_plain(path)
        return [path]
    files = [
        Path(folder) / name
        for folder, _, names in _walk(path)
        for name in names
        if not name.startswith(".")
    ]
    if not files:
        message = (
            f"The folder {_show_path(str(path))} contains no files (hidden ones are "
            "not read). Check the path."
        )
        raise CorpusNotFoundError(message)
    for file in files:
        _check_plain(file)
    return sorted(files)


def _check_plain(path: Path) -> None:
    """Refuse what blocks, never ends, or could not be read twice."""
    try:
        with open_plain_file(path):
            return
    except OSError as error:
        reason = error.strerror or str(error)
        kind = (
            CorpusNotFoundError if isinstance(error, FileNotFoundError) else CorpusError
        )
    message = (
        f"The training text {_show_path(str(path))} cannot be read ({reason}); "
        "expected a plain file. Move it away, or pass the paths of files alone."
    )
    raise kind(message)


def check_no_table(path: Path) -> None:
    """Raise a CorpusError if a file is a table by its name."""
    name = path.name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    if name.endswith(_TABLE_SUFFIXES):
        message = (
            f"The file {_show_path(str(path))} is a table by its name, whose lines are "
            "not sentences. Pass its column of texts; the commands read CSV, JSONL and "
            "Parquet with --column. If it is plain text, rename it to end with .txt."
        )
        raise CorpusError(message)


def _walk(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield folder, subfolders, names


def _is_probably_path(element: Any) -> bool:
    if isinstance(element, os.PathLike):
        return True
    return isinstance(element, str) and (_is_file(element) or _looks_like_path(element))


def _looks_like_path(text: str) -> bool:
    if "\n" in text or "\0" in text or "://" in text:
        return False
    if _ends_like_text_file(text):
        return True
    if _has_space(text) or not text:
        return False
    if any(separator in text for separator in _SEPARATORS) or _exists(text):
        return True
    return glob.has_magic(text) and bool(glob.glob(text))


def _ends_like_text_file(text: str) -> bool:
    return text.lower().endswith(_TEXT_SUFFIXES) and "://" not in text


def _has_space(text: str) -> bool:
    return len(text.split()) != 1 or text != text.strip()


def _show_path(text: str) -> str:
    """Quote a path in full, unless it may be a private text."""
    may_be_text = _has_space(text) or len(text) > _LONGEST_PATH_SHOWN
    return quote(text) if may_be_text else repr(text)


def _exists(text: str) -> bool:
    if not text or "\n" in text or "\0" in text:
        return False
    try:
        return os.path.exists(os.path.expanduser(text))
    except (OSError, ValueError):  # too long for a name, or not a valid one
        return False


def _is_file(text: str) -> bool:
    return _exists(text) and os.path.isfile(os.path.expanduser(text))
