"""Documents out of texts and files, one at a time."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_elmo.compressed import open_compressed
from sklearn_elmo.errors import CorpusError
from sklearn_elmo.messages import quote

__all__ = ["Document", "iterate_documents", "shuffled"]

Document = list[str] | list[list[str]]
"""Sentences in a row: lines, or token lists."""

# A file without empty lines is cut into documents of so many lines, so that shuffling
# leaves most sentences beside their neighbours.
_LINES_PER_DOCUMENT = 100
_NOTHING = object()


def iterate_documents(X: Any) -> Iterator[Document]:
    """Yield documents from texts, or from files of text.

    Parameters
    ----------
    X : path, or iterable of paths, of str or of token lists
        A path is a `pathlib.Path`, or a str that names a file. In files, one sentence
        a line; an empty line ends a document. Files may be packed (``.gz``, ``.bz2``,
        ``.xz``, ``.zst``). A text is a document; each of its lines a sentence.

    Raises
    ------
    CorpusError
        Something is no text: names the file and line, or the position.
    """
    if isinstance(X, bytes) or not isinstance(X, str | os.PathLike | Iterable):
        message = (
            f"The training text is {type(X).__name__} ({quote(X)}); expected texts, or "
            "paths of text files. Pass a list of either."
        )
        raise CorpusError(message)
    if isinstance(X, str | os.PathLike):
        X = [X]
        if not _is_path(X[0]):
            message = (
                f"The text to train on is a single str, {quote(X[0])}, that names no "
                "file; expected several texts, or paths. Pass a list."
            )
            raise CorpusError(message)
    elements = iter(X)
    first = next(elements, _NOTHING)
    if first is _NOTHING:
        return
    if _is_path(first):
        for position, path in enumerate(chain([first], elements)):
            if not isinstance(path, str | os.PathLike):
                message = (
                    f"Element {position} is {type(path).__name__} ({quote(path)}), "
                    "while the first one is a path. Do not mix paths and texts."
                )
                raise CorpusError(message)
            yield from _documents_of_file(Path(path))
    else:
        for position, text in enumerate(chain([first], elements)):
            yield _document_of_text(position, text)


def shuffled(
    documents: Iterable[Document], buffer_size: int, generator: np.random.Generator
) -> Iterator[Document]:
    """Yield documents in another order, with a bounded number of them in memory."""
    buffer: list[Document] = []
    for document in documents:
        if len(buffer) < buffer_size:
            buffer.append(document)
            continue
        place = int(generator.integers(buffer_size))
        buffer[place], document = document, buffer[place]
        yield document
    for place in generator.permutation(len(buffer)):
        yield buffer[place]


def _is_path(element: Any) -> bool:
    if isinstance(element, os.PathLike):
        return True
    if not isinstance(element, str) or "\n" in element or "\0" in element:
        return False
    try:
        return Path(element).is_file()
    except OSError:  # too long for a name
        return False


def _document_of_text(position: int, text: Any) -> Document:
    if isinstance(text, str):
        return [line for line in text.splitlines() if line.strip()]
    if isinstance(text, list | tuple | np.ndarray) and all(
        isinstance(token, str) for token in text
    ):
        return [list(text)]
    message = (
        f"Training text {position} is {type(text).__name__} ({quote(text)}); expected "
        "str or a list of str. Leave it out, or convert it."
    )
    raise CorpusError(message)


def _documents_of_file(path: Path) -> Iterator[list[str]]:
    lines: list[str] = []
    for line in _lines(path):
        if line.strip():
            lines.append(line)
        if lines and (not line.strip() or len(lines) == _LINES_PER_DOCUMENT):
            yield lines
            lines = []
    if lines:
        yield lines


def _lines(path: Path) -> Iterator[str]:
    with open_compressed(path, error=CorpusError) as file:
        for number, raw in enumerate(file, start=1):
            if b"\0" in raw:
                message = (
                    f"Line {number} of {str(path)!r} has a zero byte; expected text in "
                    "UTF-8. Is it a binary file?"
                )
                raise CorpusError(message)
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                message = (
                    f"Line {number} of {str(path)!r} is not UTF-8 ({quote(raw)}). "
                    "Convert the file, e.g. with iconv."
                )
                raise CorpusError(message) from error
            yield line.strip()
