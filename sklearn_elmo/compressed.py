"""Reading files that may be compressed: gzip, bzip2, xz and Zstandard."""

import importlib
import io
import itertools
import os
import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

from sklearn_elmo.errors import MissingPackageError, SklearnElmoError
from sklearn_elmo.messages import quote

__all__ = ["SUFFIXES", "numbered_lines", "open_compressed"]

_BUFFER_BYTES = 2**20
_LONGEST_LINE_BYTES = 2**28
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LEAST_ZERO_SHARE = 0.4  # half of the bytes of English in UTF-16 are zero
_BLOCK_BYTES = 2**16
_PADDING = b"\0"
_MAGIC_BYTES = 10
# A text can begin with "BZh", too. The mark of the first block follows, or of the end.
_BZIP2_MAGIC = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")


class _Codec(NamedTuple):
    """How to recognise and decode one kind of compressed file."""

    suffix: str
    magic: re.Pattern[bytes]
    modules: tuple[str, ...]
    """Where the decoder may be; the first module that can be imported counts."""
    decoder: str
    package: str
    """What to install if there is no such module."""


_CODECS = (
    _Codec(
        ".gz",
        re.compile(rb"\x1f\x8b"),
        ("gzip",),
        "GzipFile",
        "a Python built with zlib",
    ),
    _Codec(
        ".bz2", _BZIP2_MAGIC, ("bz2",), "BZ2Decompressor", "a Python built with bz2"
    ),
    _Codec(
        ".xz",
        re.compile(rb"\xfd7zXZ\x00"),
        ("lzma",),
        "LZMADecompressor",
        "a Python built with lzma",
    ),
    _Codec(
        ".zst",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        ("compression.zstd", "backports.zstd"),
        "ZstdDecompressor",
        "sklearn-elmo[zst]",
    ),
)
SUFFIXES = tuple(codec.suffix for codec in _CODECS)

# The errors of all decoders: a truncated stream is an EOFError, a damaged one an
# OSError without a number, a ValueError or an error of the decoder's own.
_DECODER_ERRORS = ("LZMAError", "ZstdError")


def open_compressed(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    error: type[SklearnElmoError],
    name: str | None = None,
    most_bytes: int | None = None,
) -> "io.BufferedReader[Any]":
    """Open a file and decompress it if its first bytes say that it is compressed.

    Parameters
    ----------
    source : path or binary file
        A file that is passed is closed together with the reader.
    error : type of SklearnElmoError
        Raised when the stream is damaged or truncated.
    name : str, optional
        Name of the file in messages; by default its path.
    most_bytes : int, optional
        Decompressed bytes after which the file is refused; by default any number. A
        file that is not compressed is not limited.

    Returns
    -------
    BufferedReader
        Of the decompressed bytes.

    Raises
    ------
    SklearnElmoError
        Of the class `error`, here or while reading: the file is not compressed as its
        suffix says, its stream is damaged, or it is larger than `most_bytes`. The
        message names the file and how many bytes could be read.
    MissingPackageError
        The file is compressed with Zstandard and no decoder is installed.
    OSError
        The file cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.path.expanduser(source)
        name = name or str(path)
        try:
            raw: IO[bytes] = open(path, "rb", buffering=_BUFFER_BYTES)  # noqa: SIM115
        except ValueError as cause:  # a NUL in the path
            message = f"{quote(path)} is not the path of a file ({cause})."
            raise error(message) from cause
    else:
        raw, name = source, name or str(getattr(source, "name", "the stream"))
    try:
        buffered: io.BufferedReader[Any] = (
            raw
            if isinstance(raw, io.BufferedReader)
            else io.BufferedReader(raw, _BUFFER_BYTES)
        )
        start = buffered.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]
        codec = next((c for c in _CODECS if c.magic.match(start)), None)
        expected = next((c for c in _CODECS if name.lower().endswith(c.suffix)), None)
        if codec is None and expected is None:
            return buffered
        if codec is None or (expected is not None and expected is not codec):
            message = (
                f"{name} is not compressed as its name says: it starts with "
                f"{quote(start)}. Rename it, or get it again."
            )
            raise error(message)
        decoder = _decoder(codec)(buffered)
        return io.BufferedReader(
            _Decompressed(decoder, buffered, name, error, most_bytes)
        )
    except BaseException:
        raw.close()
        raise


def numbered_lines(
    file: IO[bytes], name: str, *, error: type[SklearnElmoError]
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a text with their numbers; LF and CR LF end a line.

    Parameters
    ----------
    file : binary file
    name : str
        Name of the file in messages.
    error : type of SklearnElmoError

    Raises
    ------
    SklearnElmoError
        Of the class `error`: the text is UTF-16, has lines that end with CR alone, or a
        line that is too long to be one.
    """
    for number in itertools.count(1):
        line = file.readline(_LONGEST_LINE_BYTES + 1)
        if not line:
            return
        if number == 1:
            _check_first_line(line, name, error)
        if len(line) > _LONGEST_LINE_BYTES:
            message = (
                f"Line {number} of {name} has more than {_LONGEST_LINE_BYTES} bytes; "
                "expected text in lines. Check that the file is text, and break the "
                "line."
            )
            raise error(message)
        yield number, line


def _check_first_line(line: bytes, name: str, error: type[SklearnElmoError]) -> None:
    n_zero = line.count(b"\0")
    if line.startswith(_UTF16_MARKS) or n_zero >= _LEAST_ZERO_SHARE * len(line):
        message = (
            f"{name} is UTF-16 or no text, not UTF-8. Convert it, e.g. with 'iconv -f "
            "utf-16 -t utf-8'."
        )
        raise error(message)
    if not line.endswith(b"\n") and b"\r" in line.strip(b"\r"):
        message = (
            f"The lines of {name} end with CR alone, so that all of them would be one. "
            "Convert it, e.g. with \"tr '\\r' '\\n'\"."
        )
        raise error(message)


def _decoder(codec: _Codec) -> Callable[[IO[bytes]], Any]:
    for module_name in codec.modules:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        decoder = getattr(module, codec.decoder)
        if codec.suffix == ".gz":
            return lambda file: decoder(fileobj=file, mode="rb")
        return lambda file: _Streams(file, decoder)
    message = (
        f"Reading {codec.suffix} files needs {codec.package}, which is not installed. "
        f"Install it: pip install '{codec.package}'"
    )
    raise MissingPackageError(message)


class _Streams(io.RawIOBase):
    """The bytes of compressed streams, one after the other.

    The files of Python's standard library stop in silence at a stream whose first bytes
    are damaged, as if the file ended there.
    """

    def __init__(self, file: IO[bytes], new_decoder: Callable[[], Any]) -> None:
        self._file, self._new_decoder = file, new_decoder
        self._decoder = new_decoder()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._decoder.eof:
                data = self._decoder.unused_data.lstrip(_PADDING)
                while not data:
                    if not (data := self._file.read(_BLOCK_BYTES)):
                        return 0
                    data = data.lstrip(_PADDING)
                self._decoder = self._new_decoder()
            elif not self._decoder.needs_input:
                data = b""
            elif not (data := self._file.read(_BLOCK_BYTES)):
                message = "the stream has no end"
                raise EOFError(message)
            data = self._decoder.decompress(data, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Decompressed(io.RawIOBase):
    """The bytes of a decoder, whose errors become ours."""

    def __init__(
        self,
        decoder: IO[bytes],
        raw: IO[bytes],
        name: str,
        error: type[SklearnElmoError],
        most_bytes: int | None,
    ) -> None:
        self._decoder, self._raw = decoder, raw
        self._name, self._error = name, error
        self._most_bytes = most_bytes
        self._n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            n_bytes: int = self._decoder.readinto(buffer)  # type: ignore[attr-defined]
        except Exception as cause:
            if not _is_damage(cause):
                raise
            reason = str(cause) or type(cause).__name__
            message = (
                f"{self._name} is damaged or truncated: decompression fails after "
                f"{self._n_bytes} bytes ({reason}). Get or write the file again."
            )
            raise self._error(message) from cause
        self._n_bytes += n_bytes
        if self._most_bytes is not None and self._n_bytes > self._most_bytes:
            message = (
                f"{self._name} holds more than {self._most_bytes} bytes, far more than "
                "its size on disk lets expect. Get the file again; or, if it is "
                "what you want, decompress it first."
            )
            raise self._error(message)
        return n_bytes

    def close(self) -> None:
        if not self.closed:
            try:
                self._decoder.close()
            finally:
                self._raw.close()
        super().close()


def _is_damage(cause: Exception) -> bool:
    """Return True for what decoders raise, False for an error of the file system."""
    if isinstance(cause, OSError):
        return cause.errno is None
    return (
        # The header of an xz file can ask for gigabytes.
        isinstance(cause, (EOFError, ValueError, MemoryError, zlib.error))
        or type(cause).__name__ in _DECODER_ERRORS
    )
