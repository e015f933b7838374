"""Documents from texts and files, one at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_elmo.compressed import numbered_lines, open_compressed
from sklearn_elmo.errors import CorpusError, CorpusTypeError
from sklearn_elmo.messages import quote
from sklearn_elmo.pretraining.sources import Files, Source

__all__ = ["Document", "iterate_documents", "shuffled"]

Document = list[str] | list[list[str]]
"""Consecutive sentences: lines, or token lists."""

# A file without empty lines is cut into documents of this many lines, so that most
# sentences keep their neighbours when documents are shuffled.
_LINES_PER_DOCUMENT = 100


def iterate_documents(
    source: Source, *, pretokenized: bool = False
) -> Iterator[Document]:
    """Yield the documents of texts or files.

    In a file, each line is a sentence and an empty line ends a document. A text is a
    document, and each of its lines is a sentence.

    Parameters
    ----------
    source : Files or Texts
        From `open_source`.
    pretokenized : bool, default=False
        Whether texts in memory have to be lists of tokens; otherwise they may be.

    Raises
    ------
    CorpusError
        A file is not text; the message names the file and the line.
    CorpusTypeError
        An element is not a text; the message names its position.
    """
    if isinstance(source, Files):
        for path in source.paths:
            yield from _documents_of_file(path)
        return
    for position, text in enumerate(source.texts):
        yield _document_of_text(position, text, pretokenized)


def shuffled(
    documents: Iterable[Document], buffer_size: int, generator: np.random.Generator
) -> Iterator[Document]:
    """Yield documents in random order, with a bounded number of them in memory."""
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


def _document_of_text(position: int, text: Any, pretokenized: bool) -> Document:
    if isinstance(text, str) and not pretokenized:
        return [line for line in text.splitlines() if line.strip()]
    if isinstance(text, list | tuple | np.ndarray) and all(
        isinstance(token, str) for token in text
    ):
        return [[str(token) for token in text]]
    expected = "a list of str" if pretokenized else "str or a list of str"
    message = (
        f"Training text {position} is {type(text).__name__} ({quote(text)}); expected "
        f"{expected}. Convert it, or leave it out."
    )
    raise CorpusTypeError(message)


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
        for number, raw in numbered_lines(file, repr(str(path)), error=CorpusError):
            if b"\0" in raw:
                message = (
                    f"Line {number} of {str(path)!r} contains a zero byte; expected "
                    "UTF-8 text. Check that it is not a binary file."
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
