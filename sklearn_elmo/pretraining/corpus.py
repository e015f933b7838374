"""The training text as numbers on disk.

The text is read once, one document at a time, and written as a sequence of type numbers
(int32): ``<S>`` w1 w2 ... ``</S>`` ``<S>`` ... Training maps this file into memory, so
neither the text nor the numbers have to fit into memory. The distinct words do: about
100 bytes each.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import write_all, write_bytes
from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    tokens_to_character_ids,
)
from sklearn_elmo.errors import CorpusError
from sklearn_elmo.messages import quote
from sklearn_elmo.plain_files import open_plain_file
from sklearn_elmo.pretraining.checkpoint import writing_errors
from sklearn_elmo.pretraining.documents import Document
from sklearn_elmo.pretraining.verified_files import DamagedFileError

__all__ = [
    "BEGIN",
    "END",
    "Corpus",
    "EncodedText",
    "encode_documents",
    "open_corpus",
    "read_corpus",
]

IdArray = npt.NDArray[np.int32]
Tokenize = Callable[[str], list[str]]

BEGIN, END = 0, 1  # type numbers of the sentence boundaries

_TYPES_AT_ONCE = 10_000
_IDS_PER_WRITE = 1_000_000
_LEAST_HELD_OUT_BYTES = 20 * np.dtype(np.int32).itemsize
_INDEX = "corpus.json"
_TRAIN, _HELD_OUT = "train.int32", "held_out.int32"


@dataclass(frozen=True)
class EncodedText:
    """A text as type numbers.

    Attributes
    ----------
    ids : ndarray of shape (n_tokens,), int32
        Type numbers, including boundaries; may be mapped from a file.
    types : list of str
        The word of each number; the first two are ``<S>`` and ``</S>``.
    """

    ids: IdArray
    types: list[str]

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the number of occurrences of each type, ``(n_types,)``."""
        counts = np.zeros(len(self.types), dtype=np.int64)
        for start in range(0, len(self.ids), _IDS_PER_WRITE):
            part = self.ids[start : start + _IDS_PER_WRITE]
            counts += np.bincount(part, minlength=len(self.types))
        return counts

    def lowercase_ids(self) -> IdArray:
        """Return the type number of the lower-case form of each type, ``(n_types,)``.

        Types whose lower-case form is not in the text keep their own number.
        """
        numbers = {word: number for number, word in enumerate(self.types)}
        found = [numbers.get(word.lower(), k) for k, word in enumerate(self.types)]
        found[:2] = [BEGIN, END]
        return np.array(found, dtype=np.int32)

    def character_ids(self, max_characters: int) -> npt.NDArray[np.int16]:
        """Return the character ids of each type, ``(n_types, max_characters)``."""
        table = np.empty((len(self.types), max_characters), dtype=np.int16)
        for start in range(0, len(self.types), _TYPES_AT_ONCE):
            part = self.types[start : start + _TYPES_AT_ONCE]
            table[start : start + len(part)] = tokens_to_character_ids(
                part, max_characters
            )
        return table


@dataclass(frozen=True)
class Corpus:
    """The training text and the held-out text; they share their types."""

    train: EncodedText
    held_out: EncodedText
    digest: str


def read_corpus(
    documents: Iterable[Document],
    tokenize: Tokenize,
    folder: Path,
    *,
    held_out_share: float,
    generator: np.random.Generator,
) -> Corpus:
    """Write documents to a folder as numbers.

    Parameters
    ----------
    documents : iterable of list
    tokenize : callable
        Maps a line to its tokens.
    folder : Path
        Where the files are written.
    held_out_share : float
        Share of the documents that is held out. If no document is, the end of the text
        is held out.
    generator : numpy.random.Generator
        Chooses the documents.

    Raises
    ------
    CorpusError
        The text is too short.
    """
    numbers = {BEGIN_SENTENCE: BEGIN, END_SENTENCE: END}
    paths = folder / _TRAIN, folder / _HELD_OUT
    with contextlib.ExitStack() as files:
        with writing_errors(folder):
            train, held_out = (files.enter_context(_new_file(path)) for path in paths)
        for document in documents:
            is_held_out = generator.random() < held_out_share
            ids = _encode(document, tokenize, numbers)
            with writing_errors(folder):
                write_all(held_out if is_held_out else train, ids.tobytes())
    with writing_errors(folder):
        if not paths[0].stat().st_size:  # all documents were held out
            paths[1].replace(paths[0])
            paths[1].touch()
        if held_out_share > 0 and paths[1].stat().st_size < _LEAST_HELD_OUT_BYTES:
            _hold_out_the_end(*paths, held_out_share)
    _check(_map(paths[0]), numbers)
    types = list(numbers)
    with writing_errors(folder):
        index = {"digest": _digest(paths, types), "types": types}
        write_bytes(folder / _INDEX, json.dumps(index).encode())
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """Map a corpus that `read_corpus` wrote.

    Raises
    ------
    DamagedFileError
        The files do not have the content that was written.
    """
    paths = folder / _TRAIN, folder / _HELD_OUT
    try:
        with open_plain_file(folder / _INDEX, follow_links=False) as file:
            index = json.loads(file.read())
        types, digest = list(index["types"]), index["digest"]
        found = _digest(paths, types)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(str(error)) from error
    if found != digest:
        message = "its content does not match its digest"
        raise DamagedFileError(message)
    train, held_out = (EncodedText(_map(path), types) for path in paths)
    return Corpus(train, held_out, digest)


def encode_documents(documents: Iterable[Document], tokenize: Tokenize) -> EncodedText:
    """Return documents as type numbers, in memory."""
    numbers = {BEGIN_SENTENCE: BEGIN, END_SENTENCE: END}
    parts = [_encode(document, tokenize, numbers) for document in documents]
    ids = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    return EncodedText(ids, list(numbers))


def _encode(document: Document, tokenize: Tokenize, numbers: dict[str, int]) -> IdArray:
    ids: list[int] = []
    for sentence in document:
        tokens = tokenize(sentence) if isinstance(sentence, str) else sentence
        words = [t for t in tokens if t not in (BEGIN_SENTENCE, END_SENTENCE)]
        if words:
            ids.append(BEGIN)
            ids += [numbers.setdefault(word, len(numbers)) for word in words]
            ids.append(END)
    return np.array(ids, dtype=np.int32)


def _map(path: Path) -> IdArray:
    if path.stat().st_size == 0:  # which cannot be mapped
        return np.empty(0, dtype=np.int32)
    return np.memmap(path, dtype=np.int32, mode="r")


def _new_file(path: Path) -> io.FileIO:
    """Create a file; a link of this name, which could lead anywhere, is removed."""
    path.unlink(missing_ok=True)
    return io.FileIO(path, "x")


def _hold_out_the_end(train: Path, held_out: Path, share: float) -> None:
    """Move the last sentences of the training text to the held-out text."""
    ids = _map(train)
    begins = np.flatnonzero(ids == BEGIN)
    n_kept = len(begins) - max(1, round(share * len(begins)))
    if n_kept > 0:
        cut = int(begins[n_kept])
        with held_out.open("ab") as file:
            file.write(ids[cut:].tobytes())
        with train.open("r+b") as file:
            file.truncate(cut * ids.itemsize)


def _check(ids: IdArray, numbers: dict[str, int]) -> None:
    n_words = int(np.count_nonzero(ids > END))
    if n_words == 0:
        message = (
            "The training text has no words; expected one sentence per line. Check the "
            "files or texts."
        )
        raise CorpusError(message)
    words = ids[ids > END]
    if (words == words[0]).all():
        word = list(numbers)[int(words[0])]
        message = (
            f"The training text has only one word, {quote(word)}, {n_words} times; "
            "there is nothing to predict. Pass running text."
        )
        raise CorpusError(message)


def _digest(paths: Sequence[Path], types: list[str]) -> str:
    digest = hashlib.sha256("\0".join(types).encode("utf-8", "surrogatepass"))
    for path in paths:
        with open_plain_file(path, follow_links=False) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
