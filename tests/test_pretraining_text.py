"""Raw text to numbers: sources, documents, corpus, vocabulary, batch streams."""

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from sklearn_elmo.errors import CorpusError
from sklearn_elmo.pretraining.batches import BatchStreams
from sklearn_elmo.pretraining.corpus import (
    BEGIN,
    END,
    EncodedText,
    encode_documents,
    open_corpus,
    read_corpus,
)
from sklearn_elmo.pretraining.documents import iterate_documents, shuffled
from sklearn_elmo.pretraining.sources import open_source
from sklearn_elmo.pretraining.vocabulary import UNKNOWN, Vocabulary


def documents_of(X):
    return iterate_documents(open_source(X))


TEXT = "A cat .\nA dog .\n\nThe end .\n"
DOCUMENTS = [["A cat .", "A dog ."], ["The end ."]]


@pytest.mark.parametrize(
    ("name", "opener"),
    [
        ("text.txt", open),
        ("text.txt.gz", gzip.open),
        ("text.bz2", bz2.open),
        ("text.xz", lzma.open),
    ],
)
def test_documents_of_a_file_plain_or_packed(tmp_path, name, opener):
    path = tmp_path / name
    with opener(path, "wb") as file:
        file.write(TEXT.encode())
    assert list(documents_of([path])) == DOCUMENTS
    assert list(documents_of(str(path))) == DOCUMENTS
    assert list(documents_of([path, path])) == DOCUMENTS * 2


def test_documents_of_a_zst_file(tmp_path):
    zstd = pytest.importorskip("backports.zstd")
    path = tmp_path / "text.zst"
    path.write_bytes(zstd.compress(TEXT.encode()))
    assert list(documents_of(path)) == DOCUMENTS


def test_documents_of_texts_and_token_lists():
    texts = (text for text in ["One .\nTwo .", ["three", "four"]])
    assert list(documents_of(texts)) == [["One .", "Two ."], [["three", "four"]]]


def test_documents_of_a_file_without_empty_lines_are_cut(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("line\n" * 250)
    assert [len(document) for document in documents_of(path)] == [100, 100, 50]


@pytest.mark.parametrize(
    ("X", "named"),
    [
        ("just a text", "names no file"),
        (b"bytes", "bytes"),
        (["fine", 3], "text 1"),
        ([None], "text 0"),
    ],
)
def test_what_is_no_text_is_named(X, named):
    with pytest.raises(CorpusError, match=named):
        list(documents_of(X))


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("latin1.txt", b"fine\ncaf\xe9\n", "Line 2 .* not UTF-8"),
        ("binary.txt", b"ab\0cd\n", "Line 1 .* zero byte"),
        ("cut.gz", gzip.compress(b"some text\n" * 999)[:-40], "damaged"),
        ("no.xz", b"no archive", "not compressed"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_its_line(tmp_path, name, content, named):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=named) as caught:
        list(documents_of(path))
    assert name in str(caught.value)


def test_a_missing_file_is_a_file_not_found_error():
    with pytest.raises(FileNotFoundError):
        list(documents_of(Path("/nowhere/text.txt")))


def test_shuffling_keeps_every_document_in_a_bounded_buffer():
    drawn = []

    def documents():
        for number in range(100):
            drawn.append(number)
            yield [str(number)]

    order = shuffled(documents(), 10, np.random.default_rng(0))
    first = next(order)
    assert len(drawn) == 11
    everything = [first, *order]
    assert everything != sorted(everything, key=lambda d: int(d[0]))
    assert sorted(int(d[0]) for d in everything) == list(range(100))


def test_text_becomes_one_stream_with_boundaries():
    text = encode_documents([["a b", "", "b <S> c"]], str.split)
    words = [text.types[k] for k in text.ids]
    assert words == ["<S>", "a", "b", "</S>", "<S>", "b", "c", "</S>"]
    assert text.counts().tolist() == [2, 2, 1, 2, 1]


def test_a_corpus_on_disk_is_what_was_read_and_holds_some_out(tmp_path):
    documents = [[f"w{k} w{k + 1} the"] for k in range(200)]
    corpus = read_corpus(
        documents,
        str.split,
        tmp_path,
        held_out_share=0.1,
        generator=np.random.default_rng(0),
    )
    n_held_out = int((corpus.held_out.ids == BEGIN).sum())
    assert 5 < n_held_out < 40
    assert int((corpus.train.ids == BEGIN).sum()) == 200 - n_held_out
    again = open_corpus(tmp_path)
    assert again.digest == corpus.digest
    np.testing.assert_array_equal(again.train.ids, corpus.train.ids)


def test_of_a_single_document_the_end_is_held_out(tmp_path):
    document = [f"word{k} and more ." for k in range(100)]
    corpus = read_corpus(
        [document],
        str.split,
        tmp_path,
        held_out_share=0.05,
        generator=np.random.default_rng(0),
    )
    assert int((corpus.held_out.ids == BEGIN).sum()) == 5
    assert corpus.held_out.types[corpus.held_out.ids[1]] == "word95"


@pytest.mark.parametrize(
    ("documents", "named"),
    [([], "no words"), ([["", " "]], "no words"), ([["ha ha", "ha"]], "one word")],
)
def test_too_little_text_is_refused(tmp_path, documents, named):
    with pytest.raises(CorpusError, match=named):
        read_corpus(
            documents,
            str.split,
            tmp_path,
            held_out_share=0.0,
            generator=np.random.default_rng(0),
        )


def test_the_vocabulary_is_ordered_by_count_with_specials_among_the_words():
    types = ["<S>", "</S>", "the", "cat", "rare", "dog"]
    vocabulary = Vocabulary.from_counts(
        types, [10, 10, 12, 5, 1, 5], max_words=6, min_count=2
    )
    assert vocabulary.words == ("the", "<S>", "</S>", "cat", "dog", UNKNOWN)
    assert vocabulary.counts == (12, 10, 10, 5, 5, 1)
    assert vocabulary.targets_of(["dog", "unheard", "<S>"]).tolist() == [4, 5, 1]


def test_the_vocabulary_keeps_to_its_size():
    vocabulary = Vocabulary.from_counts(
        ["<S>", "</S>", "a", "b", "c"], [9, 9, 4, 3, 2], max_words=4
    )
    assert vocabulary.words == ("<S>", "</S>", UNKNOWN, "a")
    assert vocabulary.counts[2] == 5


def test_streams_read_the_text_in_order_and_backward_the_text_reversed():
    text = EncodedText(np.arange(60, dtype=np.int32), [str(k) for k in range(60)])
    streams = BatchStreams(text, n_streams=3, n_steps=4)
    assert streams.stream_length == 20
    assert streams.steps_per_epoch == 5
    first, second = streams.read(0), streams.read(1)
    np.testing.assert_array_equal(first[0], [[0, 20, 40], [1, 21, 41], [2, 22, 42],
                                             [3, 23, 43], [4, 24, 44]])  # fmt: skip
    np.testing.assert_array_equal(first[1], 59 - first[0])
    # What was the word behind a piece is the first of the next one: state fits.
    np.testing.assert_array_equal(second[:, 0], first[:, -1])
    assert (streams.read(5) != first).any()  # the next epoch begins elsewhere


@pytest.mark.parametrize("n_tokens", [12, 59, 60, 61, 67])
def test_an_epoch_reads_every_word(n_tokens):
    text = EncodedText(np.arange(n_tokens, dtype=np.int32), ["x"] * n_tokens)
    streams = BatchStreams(text, n_streams=3, n_steps=4)
    read = [streams.read(step)[:, :-1] for step in range(streams.steps_per_epoch)]
    for direction in (0, 1):
        words = np.concatenate([part[direction] for part in read], axis=None)
        assert set(words) == set(range(n_tokens))


@pytest.mark.parametrize("n_tokens", [3, 21, 30, 500, 2560, 2561, 2688, 5121, 60_000])
def test_an_epoch_reads_little_more_than_the_text(n_tokens):
    text = EncodedText(np.arange(n_tokens, dtype=np.int32), ["x"] * n_tokens)
    streams = BatchStreams.of_at_most(text, n_streams=128, n_steps=20)
    n_read = streams.steps_per_epoch * streams.tokens_per_step
    assert n_tokens <= n_read <= 1.1 * n_tokens + 20
    assert streams.n_streams <= 128
    assert streams.n_steps <= 20


def test_boundaries_have_fixed_numbers():
    text = encode_documents([["x"]], str.split)
    assert text.ids.tolist() == [BEGIN, 2, END]
