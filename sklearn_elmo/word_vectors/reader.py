"""Files of word vectors: GloVe, word2vec (text and binary) and fastText ``.vec``."""

import functools
import hashlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.bilm.locations import ZIP_ERRORS
from sklearn_elmo.compressed import open_compressed
from sklearn_elmo.downloads import fetch_url, fetched_url, is_url
from sklearn_elmo.errors import ModelFileError, ModelNotFetchedError
from sklearn_elmo.messages import printable, quote

__all__ = ["WordVectors", "load_word_vectors", "read_word_vectors"]

FloatArray = npt.NDArray[np.float32]

_MOST_FILES_KEPT = 2
_READ_BYTES = 1 << 20
_FLOAT_BYTES = 4
# Files in use have up to 1,024 numbers of some 20 characters.
_LONGEST_LINE_BYTES = 1 << 20
_MOST_NUMBERS = 1 << 16
# Digits that are almost random compress to a half or a third.
_MOST_EXPANSION = 100
_SMALL_BYTES = 1 << 26
_MOST_DIGITS = 18
_HEADER = re.compile(rb"\d+ \d+ ?")
_ZIP_MEMBER = re.compile(r"\((?P<archive>.+)\)#(?P<member>.+)")


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors.

    Attributes
    ----------
    rows : dict of str to int
        Row of each word; the first row of repeated words.
    matrix : ndarray of shape (n_words, D), float32
    digest : str
        sha256 (hexadecimal) of the file on disk.
    """

    rows: dict[str, int]
    matrix: FloatArray
    digest: str

    @property
    def width(self) -> int:
        """Width D of a vector."""
        return int(self.matrix.shape[1])

    @functools.cached_property
    def mean_vector(self) -> FloatArray:
        """Mean of all vectors. *Shape:* ``(D,)``."""
        mean: FloatArray = self.matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean


def load_word_vectors(
    source: str | os.PathLike[str],
    *,
    max_words: int | None = None,
    may_fetch: bool = True,
) -> WordVectors:
    """Load a file, or return the copy that this process holds.

    The last two files are kept in full, since the words of future texts are not known.
    400,000 words of 100 numbers take 160 MB, and their words some 60 MB.

    Parameters
    ----------
    source : path or URL
        Plain or compressed (gz, bz2, xz); ``(archive.zip)#member`` for a file inside
        a zip archive. A URL is fetched once into the user's cache folder.
    max_words : int, optional
        Number of words kept from the start of the file, where the frequent ones are.
    may_fetch : bool, default=True
        Whether a URL that has not been fetched yet is fetched now.

    Raises
    ------
    ModelFileError
        The file is missing, damaged or holds no word vectors; the line is named.
    ModelNotFetchedError
        A URL has not been fetched, and may not be.
    DownloadError
        A URL could not be fetched.
    """
    path, member = _locate(source, may_fetch)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"The word vectors {str(path)[:300]!r} cannot be read: {reason}."
        raise ModelFileError(message) from error
    return _load(path.resolve(), member, max_words, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=_MOST_FILES_KEPT)
def _load(
    path: Path, member: str | None, max_words: int | None, size: int, mtime_ns: int
) -> WordVectors:
    """Read a file; size and time are there to notice that it was replaced."""
    name = str(path) if member is None else f"({path})#{member}"
    return read_word_vectors(name, max_words=max_words)


def read_word_vectors(
    source: str | os.PathLike[str],
    *,
    only: Container[str] | None = None,
    max_words: int | None = None,
) -> WordVectors:
    """Read a file without keeping it; parameters and errors as `load_word_vectors`.

    Parameters
    ----------
    source : path or URL
    only : container of str, optional
        Words to keep; the memory is bounded by them.
    max_words : int, optional
    """
    path, member = _locate(source)
    rows: dict[str, int] = {}
    numbers = bytearray()
    width = 0
    try:
        with _open(path, member) as file:
            for word, vector in _read_pairs(file, str(path)):
                width = len(vector)
                if word in rows or (only is not None and word not in only):
                    continue
                if len(rows) == max_words:
                    break
                rows[word] = len(rows)
                numbers += vector.tobytes()
        with path.open("rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
    except ModelFileError:
        raise
    except ZIP_ERRORS as error:
        message = f"The word vectors {str(path)!r} cannot be read: {error}."
        raise ModelFileError(message) from error
    except MemoryError as error:
        message = (
            f"There is no memory for more than {len(rows)} words of {str(path)!r}. "
            "Choose fewer with max_words."
        )
        raise ModelFileError(message) from error
    if width == 0:
        message = f"The file {str(path)!r} holds no word vectors; it is empty."
        raise ModelFileError(message)
    matrix = np.frombuffer(numbers, dtype=np.float32).reshape(len(rows), width)
    return WordVectors(rows, matrix, digest)


def _locate(
    source: str | os.PathLike[str], may_fetch: bool = True
) -> tuple[Path, str | None]:
    """Return the local file, and the name of the member inside it."""
    name, member = os.fspath(source), None
    if match := _ZIP_MEMBER.fullmatch(name):
        name, member = match["archive"], match["member"]
    if not is_url(name):
        return Path(os.path.expanduser(name)), member
    path = fetch_url(name) if may_fetch else fetched_url(name)
    if path is None:
        message = (
            f"The word vectors {name!r} have not been fetched on this machine. Fetch "
            "them with sklearn_elmo.downloads.fetch_url, or fit again."
        )
        raise ModelNotFetchedError(message)
    return path, member


def _open(path: Path, member: str | None) -> "io.BufferedReader[Any]":
    """Open a file, decompressed according to its first bytes."""
    most_bytes = max(_SMALL_BYTES, _MOST_EXPANSION * path.stat().st_size)
    file = open_compressed(path, error=ModelFileError, most_bytes=most_bytes)
    if not file.peek(4).startswith(b"PK\x03\x04"):
        return file
    file.close()
    return open_compressed(
        _open_member(path, member, most_bytes),
        name=f"({path})#{member}",
        error=ModelFileError,
        most_bytes=most_bytes,
    )


def _open_member(path: Path, member: str | None, most_bytes: int) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = archive.namelist()
    if member is None and len(names) == 1:
        member = names[0]
    if member not in names:
        message = (
            f"The archive {str(path)!r} holds {printable(', '.join(names)[:200])}; "
            f"name one of them as '({path})#MEMBER'."
        )
        raise ModelFileError(message)
    # More than this size is not read, whatever the member holds.
    if (n_bytes := archive.getinfo(member).file_size) > most_bytes:
        message = (
            f"{member!r} in {str(path)!r} holds {n_bytes} bytes, far more than the "
            "archive's size lets expect. Get the file again; or, if it is what you "
            "want, unpack it first."
        )
        raise ModelFileError(message)
    return archive.open(member)


def _read_pairs(
    file: "io.BufferedReader[Any]", name: str
) -> Iterator[tuple[str, FloatArray]]:
    """Yield words and vectors of a file in any of the formats."""
    first_line = _read_line(file, 1, name)
    if not _HEADER.fullmatch(first_line.rstrip(b"\r\n")):
        width = _width(first_line, file)
        yield from _read_lines(first_line, file, width, 1, name)
        return
    fields = first_line.split()
    if max(map(len, fields)) > _MOST_DIGITS or int(fields[1]) > _MOST_NUMBERS:
        message = (
            f"The first line of {name!r} is {quote(first_line)}; expected the number "
            f"of words and how many numbers each has, {_MOST_NUMBERS} at most. Fetch "
            "the file again."
        )
        raise ModelFileError(message)
    n_words, width = map(int, fields)
    start = file.read(_READ_BYTES)
    if _is_text(start, width):
        n_lines = start.count(b"\n") + 2
        rest = io.BytesIO(start + _read_line(file, n_lines, name))
        line_number = 2
        for part in (rest, file):
            lines = _read_lines(b"", part, width, line_number, name)
            for word, vector in lines:
                line_number += 1
                yield word, vector
    else:
        yield from _read_binary(start, file, n_words, width, name)


def _width(first_line: bytes, file: "io.BufferedReader[Any]") -> int:
    """Return the width of the vectors of a file without a header.

    The word of the first line may contain blanks, so lines after it are looked at, too:
    the most frequent number of blanks that leaves only numbers on the first line.
    """
    lines = [first_line, *file.peek(_READ_BYTES).split(b"\n")[:-1]]
    counts = Counter(line.rstrip(b"\r\n ").count(b" ") for line in lines)
    fields = first_line.rstrip(b"\r\n ").split(b" ")
    n_numbers = sum(1 for _ in takewhile(_is_number, reversed(fields[1:])))
    likely = [width for width, _ in counts.most_common() if 0 < width <= n_numbers]
    return likely[0] if likely else len(fields) - 1


def _is_text(start: bytes, width: int) -> bool:
    """Return True if a header is followed by a line of text."""
    fields = start.partition(b"\n")[0].rstrip(b" \r").rsplit(b" ", width)
    return len(fields) == width + 1 and all(map(_is_number, fields[1:]))


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_lines(
    first_line: bytes, file: IO[bytes], width: int, line_number: int, name: str
) -> Iterator[tuple[str, FloatArray]]:
    """Read lines of a word and its numbers.

    Fields are separated by blanks only and counted from the right: GloVe's 840B file
    has words that contain blanks, and no-break spaces are words, too.
    """
    line = first_line or _read_line(file, line_number, name)
    while line:
        fields = line.rstrip(b"\r\n ").rsplit(b" ", width)
        try:
            vector = np.array(fields[1:], dtype=np.float32)
        except ValueError:
            vector = np.zeros(0, dtype=np.float32)
        if width < 1 or len(vector) != width or not np.isfinite(vector).all():
            found = quote(line.decode("utf-8", "replace"))
            message = (
                f"Line {line_number} of {name!r} is {found}; expected a word and "
                f"{width or 'its'} finite numbers, separated by blanks."
            )
            raise ModelFileError(message)
        yield fields[0].decode("utf-8", "replace"), vector
        line_number += 1
        line = _read_line(file, line_number, name)


def _read_line(file: IO[bytes], number: int, name: str) -> bytes:
    line = file.readline(_LONGEST_LINE_BYTES + 1)
    if len(line) > _LONGEST_LINE_BYTES:
        message = (
            f"Line {number} of {name!r} is longer than {_LONGEST_LINE_BYTES} bytes: it "
            f"begins with {quote(line)}. Expected a word and its numbers on each line; "
            "fetch the file again."
        )
        raise ModelFileError(message)
    return line


def _read_binary(
    start: bytes, file: IO[bytes], n_words: int, width: int, name: str
) -> Iterator[tuple[str, FloatArray]]:
    """Read word2vec's binary format: a word, a blank, the numbers' bytes."""
    buffer, position = start, 0
    n_bytes = width * _FLOAT_BYTES
    for number in range(n_words):
        end = buffer.find(b" ", position)
        while end < 0 or end + 1 + n_bytes > len(buffer):
            more = file.read(_READ_BYTES)
            if not more or len(buffer) - position > 2 * _READ_BYTES + n_bytes:
                message = (
                    f"{name!r} ends or breaks off at word {number} of {n_words}. It is "
                    "not a word2vec file, or is truncated: fetch it again."
                )
                raise ModelFileError(message)
            buffer, position = buffer[position:] + more, 0
            end = buffer.find(b" ", position)
        # Some writers end vectors with a line feed, some do not.
        word = buffer[position:end].lstrip(b"\n").decode("utf-8", "replace")
        position = end + 1 + n_bytes
        vector = np.frombuffer(buffer, "<f4", width, offset=end + 1)
        if not np.isfinite(vector).all():
            message = f"The vector of word {number} in {name!r} is not finite."
            raise ModelFileError(message)
        yield word, vector.astype(np.float32)
