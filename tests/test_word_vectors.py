"""Reading files of word vectors, and pooling them."""

import bz2
import functools
import gzip
import http.server
import lzma
import pickle
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelFileError,
    ModelMismatchError,
    ModelNotFetchedError,
    TextTypeError,
    TextValueError,
)
from sklearn_elmo.word_vectors import (
    WordVectorVectorizer,
    load_word_vectors,
    reader,
)
from sklearn_elmo.word_vectors.reader import read_word_vectors

TABLE = {
    "the": [1.0, 0.0, -1.5],
    "cat": [0.0, 2.0, 0.25],
    "Cat": [9.0, 9.0, 9.0],
    "new york": [3.0, 3.0, 3.0],
    "naïve\u00a0café": [-1.0, 1e-3, 0.5],
}


def lines_of(table: dict[str, list[float]]) -> bytes:
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in table.items()]
    return ("\n".join(lines) + "\n").encode()


def binary_of(table: dict[str, list[float]], ending: bytes) -> bytes:
    rows = [
        word.replace(" ", "_").encode() + b" " + np.array(row, "<f4").tobytes() + ending
        for word, row in table.items()
    ]
    return f"{len(table)} 3\n".encode() + b"".join(rows)


FORMATS = {
    "glove": lines_of(TABLE),
    "glove, blanks at the ends, CRLF": lines_of(TABLE).replace(b"\n", b" \r\n"),
    "word2vec text, fastText": f"{len(TABLE)} 3\n".encode() + lines_of(TABLE),
    "word2vec binary": binary_of(TABLE, b"\n"),
    "word2vec binary, no line feeds": binary_of(TABLE, b""),
}


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_bytes(FORMATS["glove"])
    return path


@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress]
)
def test_every_format_is_read(tmp_path: Path, content: bytes, compress) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(compress(content))
    vectors = load_word_vectors(path)
    is_binary = content.startswith(b"5 3\nthe \x00")
    words = [word.replace(" ", "_") if is_binary else word for word in TABLE]
    assert list(vectors.rows) == words
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_allclose(vectors.matrix, list(TABLE.values()), rtol=1e-6)


def test_large_files_cross_every_buffer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = {f"word{i}": rng.normal(size=3).tolist() for i in range(60_000)}
    for name, content in [
        ("text", b"60000 3\n" + lines_of(table)),
        ("binary", binary_of(table, b"\n")),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        vectors = read_word_vectors(path)
        assert list(vectors.rows) == list(table)
        np.testing.assert_allclose(vectors.matrix, list(table.values()), rtol=1e-5)


@pytest.mark.parametrize("first", [". .", "a b c", "at 5 pm", "x"])
def test_the_first_word_of_glove_may_hold_blanks(first: str, tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(f"{first} 1 2 3\nthe 4 5 6\ncat 7 8 9\n")
    vectors = load_word_vectors(path)
    assert list(vectors.rows) == [first, "the", "cat"]
    np.testing.assert_array_equal(vectors.matrix[0], [1, 2, 3])


def test_zip_members_are_named_as_in_allennlp(tmp_path: Path) -> None:
    path = tmp_path / "glove.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", FORMATS["glove"])
        archive.writestr("b.txt", "x 1\n")
    assert load_word_vectors(f"({path})#b.txt").rows == {"x": 0}
    with pytest.raises(ModelFileError, match=r"holds a\.txt, b\.txt"):
        load_word_vectors(path)


@pytest.mark.parametrize("damage", ["encrypted", "method", "flipped"])
def test_damaged_zip_is_refused(tmp_path: Path, damage: str) -> None:
    """RuntimeError, NotImplementedError and LZMAError escaped."""
    path = tmp_path / "glove.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", FORMATS["glove"] * 50)
    data = bytearray(path.read_bytes())
    first, entry = data.find(b"PK\3\4"), data.find(b"PK\1\2")
    if damage == "encrypted":
        data[first + 6] |= 1
        data[entry + 8] |= 1
    elif damage == "method":
        data[first + 8] = data[entry + 10] = 97
    else:
        data[entry - 40] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"glove\.zip"):
        load_word_vectors(path)


def test_words_can_be_chosen_or_counted(glove: Path) -> None:
    assert read_word_vectors(glove, only={"cat", "dog"}).rows == {"cat": 0}
    assert list(read_word_vectors(glove, max_words=2).rows) == ["the", "cat"]


def test_of_repeated_words_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1\na 2\n")
    assert read_word_vectors(path).matrix.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"a 1 2\nb 1\n", r"Line 2 .* expected a word and 2 finite numbers"),
        (b"2 2\na 1 2\nb 1 x\n", "Line 3"),
        (b"a 1 nan\n", "Line 1"),
        (b"word\n", "Line 1"),
        (binary_of(TABLE, b"\n")[:-20], "breaks off at word 4 of 5"),
        (gzip.compress(lines_of(TABLE))[:-9], "damaged or truncated"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=match):
        load_word_vectors(path)


LONG = b"x" * (2 * reader._LONGEST_LINE_BYTES)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (LONG, 1),
        (b"a 1 2\n" + LONG, 2),
        (b"9 2\na 1 2\nb 1 2\n" + LONG, 4),
        (b"a 1 2\nb 1 2\nc " + b"1 " * reader._LONGEST_LINE_BYTES + b"\n", 3),
    ],
    ids=["first line", "second line", "after a header", "numbers without end"],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_line_without_end_is_named_and_not_read(
    tmp_path: Path, content: bytes, line: int, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(compress(content + 40 * LONG))
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=rf"Line {line} of '.*vectors' is lon"):
            read_word_vectors(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(40 * LONG) / 4


def test_header_that_promises_endless_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    for header in (b"1 99999999999", b"1" * 5000 + b" 3", b"3 " + b"1" * 5000):
        path.write_bytes(header + b"\nword " + bytes(1000))
        with pytest.raises(ModelFileError, match=r"The first line of '.*vectors.bin'"):
            read_word_vectors(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "gz in zip"])
def test_bomb_is_refused_before_it_fills_the_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few bytes on disk, and vectors for any number of words."""
    monkeypatch.setattr(reader, "_SMALL_BYTES", 2**16)
    monkeypatch.setattr(reader, "_MOST_EXPANSION", 2)
    content = b"".join(b"%d 1 1 1 1 1 1 1\n" % number for number in range(10**5))
    compress = {"bz2": bz2.compress, "xz": lzma.compress}.get(kind, gzip.compress)
    path = tmp_path / "vectors"
    if kind.endswith("zip"):
        inner = compress(content) if kind.startswith("gz") else content
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("glove.txt", inner)
    else:
        path.write_bytes(compress(content))
    with pytest.raises(ModelFileError, match=r"far more than .* Get the file again"):
        read_word_vectors(path)
    if not kind.endswith("zip"):
        path.write_bytes(content)  # decompressed, it may be of any size
        assert len(read_word_vectors(path).rows) == 10**5


def test_encrypted_archive_is_refused_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "glove.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glove.txt", lines_of(TABLE))
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"encrypted|password"):
        read_word_vectors(path)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.txt' cannot be read"):
        load_word_vectors(tmp_path / "absent.txt")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_word_vectors("a\0b")


def test_one_copy_a_process_until_the_file_changes(glove: Path) -> None:
    first = load_word_vectors(glove)
    assert load_word_vectors(str(glove)) is first
    glove.write_bytes(b"other 1 2\n")
    assert list(load_word_vectors(glove).rows) == ["other"]


TEXTS = ["the cat", "The CAT sat", "", None, "nothing known"]
MEAN = np.mean(list(TABLE.values()), axis=0)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [["the", "cat"], ["the", "cat"]]),
        ({"case": "keep"}, [["the", "cat"], []]),
        ({"case": "lower"}, [["the", "cat"], ["the", "cat"]]),
        ({"max_tokens": 1}, [["the"], ["the"]]),
    ],
)
def test_tokens_are_looked_up(
    glove: Path, parameters: dict[str, object], expected: list[list[str]]
) -> None:
    found = WordVectorVectorizer(glove, **parameters).fit_transform(TEXTS)
    rows = [
        np.mean([TABLE[w] for w in words] or [[0.0] * 3], axis=0) for words in expected
    ]
    np.testing.assert_allclose(found[:2], rows, atol=1e-6)
    assert not found[2:].any()


def test_case_falls_back_only_where_the_word_itself_is_unknown(glove: Path) -> None:
    found = WordVectorVectorizer(glove).fit_transform(["Cat"])
    assert found.tolist() == [TABLE["Cat"]]


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        ("skip", [1.0, 0.0, -1.5]),
        ("zero", [0.5, 0.0, -0.75]),
        ("mean", (np.array(TABLE["the"]) + MEAN) / 2),
    ],
)
def test_unknown_tokens(glove: Path, unknown: str, expected: list[float]) -> None:
    found = WordVectorVectorizer(glove, unknown=unknown).fit_transform(["the dog"])
    np.testing.assert_allclose(found, [expected], atol=1e-6)


def test_poolings_stand_side_by_side(glove: Path) -> None:
    names = ["mean", "max", "min", "sum", "first", "last"]
    vectorizer = WordVectorVectorizer(glove, pooling=names)
    found = vectorizer.fit_transform(["cat the cat"])[0]
    words = np.array([TABLE["cat"], TABLE["the"], TABLE["cat"]])
    expected = [
        words.mean(axis=0),
        words.max(axis=0),
        words.min(axis=0),
        words.sum(axis=0),
        words[0],
        words[2],
    ]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)
    columns = vectorizer.get_feature_names_out()
    assert len(set(columns)) == vectorizer.n_features_out_ == 18
    assert columns[3] == "wordvector_max_0"


def test_idf_is_scikit_learn_s(glove: Path) -> None:
    texts = ["the cat", "the", "the the cat", "the"]
    found = WordVectorVectorizer(glove, pooling="idf").fit_transform(texts)
    tfidf = TfidfVectorizer(norm="l1", vocabulary=["the", "cat"])
    weights = tfidf.fit_transform(texts).toarray()
    expected = weights @ np.array([TABLE["the"], TABLE["cat"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rows_of_unit_length(glove: Path) -> None:
    found = WordVectorVectorizer(glove, normalize=True).fit_transform(TEXTS)
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), [1, 1, 0, 0, 0], atol=1e-6
    )


def test_set_output_keeps_the_index(glove: Path) -> None:
    vectorizer = WordVectorVectorizer(glove).set_output(transform="pandas")
    frame = vectorizer.fit_transform(pd.Series(["the", "cat"], index=[7, 3]))
    assert frame.index.tolist() == [7, 3]
    assert frame.columns.tolist() == [f"wordvector_mean_{i}" for i in range(3)]


def test_feature_union_with_elmo(glove: Path, tiny_model: Path) -> None:
    elmo = ElmoVectorizer(tiny_model)
    union = FeatureUnion([("glove", WordVectorVectorizer(glove)), ("elmo", elmo)])
    assert union.fit_transform(TEXTS).shape == (5, 3 + 16)
    assert union.get_feature_names_out()[0] == "glove__wordvector_mean_0"


def test_url_is_fetched_in_fit_alone(
    glove: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path / "home"))
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/glove.txt"
        vectorizer = WordVectorVectorizer(url).fit(TEXTS)
        server.shutdown()
        thread.join()
    assert vectorizer.transform(["the"]).tolist() == [TABLE["the"]]
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path / "another machine"))
    with pytest.raises(ModelNotFetchedError, match="have not been fetched"):
        vectorizer.transform(["the"])


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def test_pickle_and_clone_carry_no_vectors(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("".join(f"w{i} {'0.5 ' * 50}\n" for i in range(2000)))
    vectorizer = WordVectorVectorizer(path).fit(["w1"])
    pickled = pickle.dumps(vectorizer)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.transform(["w1"]), vectorizer.transform(["w1"]))
    assert not hasattr(clone(vectorizer), "vectors_digest_")


def test_transform_refuses_another_file_under_the_same_name(glove: Path) -> None:
    vectorizer = WordVectorVectorizer(glove).fit(TEXTS)
    glove.write_bytes(b"the 1 2 3\n")
    with pytest.raises(ModelMismatchError, match="Restore the file"):
        vectorizer.transform(TEXTS)


def test_transform_before_fit_and_after_a_change(glove: Path) -> None:
    vectorizer = WordVectorVectorizer(glove)
    with pytest.raises(NotFittedError):
        vectorizer.transform(TEXTS)
    vectorizer.fit(TEXTS).set_params(pooling="max")
    with pytest.raises(InvalidParameterError, match="changed after fit"):
        vectorizer.transform(TEXTS)


@pytest.mark.parametrize(
    "parameters",
    [
        {"pooling": "final"},
        {"pooling": ["mean", "final"]},
        {"pooling": "median"},
        {"case": "upper"},
        {"unknown": "random"},
        {"missing": "drop"},
        {"max_words": 0},
        {"vectors": 3},
        {"tokenizer": "spacy"},
    ],
)
def test_wrong_parameters_are_refused_at_fit(
    glove: Path, parameters: dict[str, object]
) -> None:
    vectorizer = WordVectorVectorizer(**({"vectors": glove} | parameters))
    with pytest.raises(InvalidParameterError, match=f"{next(iter(parameters))!r}"):
        vectorizer.fit(TEXTS)


def test_bad_texts_are_refused(glove: Path) -> None:
    with pytest.raises(TextValueError, match="WordVectorVectorizer"):
        WordVectorVectorizer(glove).fit("a bare text")
    with pytest.raises(TextTypeError, match="WordVectorVectorizer"):
        WordVectorVectorizer(glove).fit([b"bytes"])
    with pytest.raises(TextValueError, match="Row 3"):
        WordVectorVectorizer(glove, missing="error").fit(TEXTS)


def test_no_texts_give_no_rows(glove: Path) -> None:
    assert WordVectorVectorizer(glove).fit_transform([]).shape == (0, 3)


def test_generator_and_token_lists(glove: Path) -> None:
    vectorizer = WordVectorVectorizer(glove, tokenizer="pretokenized")
    found = vectorizer.fit_transform(tokens for tokens in [["the"], ["new york"]])
    assert found.tolist() == [TABLE["the"], TABLE["new york"]]
