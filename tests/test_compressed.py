"""One reader for compressed text: every damage becomes the caller's error."""

import bz2
import contextlib
import gzip
import io
import lzma
from pathlib import Path

import pytest

from sklearn_elmo.compressed import SUFFIXES, numbered_lines, open_compressed
from sklearn_elmo.errors import CorpusError

LINES = b"".join(b"line %d of a text\n" % number for number in range(5000))


def compress(suffix: str, content: bytes) -> bytes:
    if suffix == ".zst":
        zstd = pytest.importorskip("backports.zstd")
        options = {zstd.CompressionParameter.checksum_flag: 1}  # off by default
        return zstd.compress(content, options=options)
    module = {".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix]
    return module.compress(content)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["text", "text.txt"])
def test_content_decides_what_is_decompressed(
    suffix: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / (name + suffix if name == "text" else name)
    path.write_bytes(compress(suffix, LINES))
    with open_compressed(path, error=CorpusError) as file:
        assert file.readlines() == LINES.splitlines(keepends=True)


def test_plain_files_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_bytes(LINES)
    with open_compressed(path, error=CorpusError) as file:
        assert file.read() == LINES


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_frames_are_one_text(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"two{suffix}"
    path.write_bytes(compress(suffix, b"first\n") + compress(suffix, b"second\n"))
    with open_compressed(path, error=CorpusError) as file:
        assert file.read() == b"first\nsecond\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_follows_the_last_stream_is_not_dropped(
    suffix: str, tmp_path: Path
) -> None:
    """The rest of the text was, in silence, if the next stream's first byte is bad."""
    path = tmp_path / f"two{suffix}"
    whole, second = compress(suffix, LINES), compress(suffix, b"second\n")
    damaged = bytes([second[0] ^ 1]) + second[1:]
    for rest in (damaged, second[1:], second + damaged, b"garbage", second[:-1]):
        path.write_bytes(whole + rest)
        file = open_compressed(path, error=CorpusError)
        with file, pytest.raises(CorpusError, match=f"two{suffix} is damaged"):
            file.read()
    for padding in (bytes(4), bytes(2**17)):
        path.write_bytes(whole + padding + second + padding)
        with open_compressed(path, error=CorpusError) as file:
            assert file.read() == LINES + b"second\n"


def test_header_that_asks_for_all_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An xz file can ask for a dictionary of 4 GiB."""
    path = tmp_path / "text.xz"
    path.write_bytes(compress(".xz", LINES))

    class Greedy:
        eof, needs_input = False, True

        def decompress(self, *_: object) -> bytes:
            raise MemoryError

    monkeypatch.setattr(lzma, "LZMADecompressor", Greedy)
    file = open_compressed(path, error=CorpusError)
    with file, pytest.raises(CorpusError, match=r"text\.xz.*MemoryError"):
        file.read()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_streams_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    whole = compress(suffix, LINES)
    for length in {0, 3, 10, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=path.name):
            open_compressed(path, error=CorpusError).read()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flipped_bits_raise_no_error_of_a_decoder(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"flipped{suffix}"
    whole = compress(suffix, LINES)
    for position in range(0, len(whole), max(1, len(whole) // 150)):
        content = bytearray(whole)
        content[position] ^= 1 << (position % 8)
        path.write_bytes(content)
        # Some flips change nothing: headers hold a time or the name of a file.
        with (
            contextlib.suppress(CorpusError),
            open_compressed(path, error=CorpusError) as file,
        ):
            assert file.read() == LINES


def test_a_name_that_lies_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "plain.gz"
    path.write_bytes(LINES)
    with pytest.raises(CorpusError, match="not compressed as its name says"):
        open_compressed(path, error=CorpusError)


def test_an_open_file_is_closed_with_its_reader() -> None:
    raw = io.BytesIO(gzip.compress(LINES))
    with open_compressed(raw, error=CorpusError) as file:
        assert file.readline() == b"line 0 of a text\n"
    assert raw.closed


@pytest.mark.parametrize("text", [b"BZh", b"BZhang wrote it.\n", b"BZh9 is a header\n"])
def test_text_that_begins_like_bzip2_is_read(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    with open_compressed(path, error=CorpusError) as file:
        assert file.read() == text


def test_compressed_nothing_is_nothing(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"empty{suffix}"
        path.write_bytes(compress(suffix, b""))
        with open_compressed(path, error=CorpusError) as file:
            assert file.read() == b""


def test_impossible_paths_are_errors_of_the_caller() -> None:
    with pytest.raises(CorpusError, match="is not the path of a file"):
        open_compressed("a\0b", error=CorpusError)
    with pytest.raises(FileNotFoundError):
        open_compressed("~nosuchuser/text.txt", error=CorpusError)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"one\rtwo\rthree\r", "end with CR alone"),
        (b"one\rtwo", "end with CR alone"),
        ("one\ntwo\n".encode("utf-16"), "is UTF-16"),
        ("one\ntwo\n".encode("utf-16-le"), "is UTF-16"),
        ("one\ntwo\n".encode("utf-32-be"), "is UTF-16"),
        (bytes(100), "is UTF-16 or no text"),
        (b"one\n" + b"x" * 1000, "Line 2 of text has more than 100 bytes"),
    ],
)
def test_lines_that_would_be_merged_or_fill_the_memory_are_refused(
    content: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn_elmo.compressed._LONGEST_LINE_BYTES", 100)
    with pytest.raises(CorpusError, match=problem):
        list(numbered_lines(io.BytesIO(content), "text", error=CorpusError))


@pytest.mark.parametrize(
    "lines", [[], [b"a\r\n", b"b\rc\n"], [b"a\0b\n", b"c"], [b"a\r"], [b"\n", b"a\rb"]]
)
def test_other_lines_are_left_as_they_are(lines: list[bytes]) -> None:
    file = io.BytesIO(b"".join(lines))
    found = list(numbered_lines(file, "text", error=CorpusError))
    assert found == list(enumerate(lines, start=1))
