"""What the pretrainer takes as text: containers, files, folders, patterns."""

import os
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from test_pretraining_pretrainer import PEOPLE, RUN, TINY, make_sentences

from sklearn_elmo.cli import main, tables
from sklearn_elmo.errors import CorpusError, InvalidParameterError, SklearnElmoWarning
from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
from sklearn_elmo.pretraining.sources import (
    Files,
    Texts,
    check_no_table,
    open_source,
)

SENTENCES = make_sentences(PEOPLE, 40)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with text files and hidden files that are no text."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.txt", "a.txt", "sub/c.txt", "my file.txt", "plain"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(SENTENCES))
    for name in (".hidden.txt", ".git/config"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0")
    (tmp_path / "empty").mkdir()
    return tmp_path


def tiny(**changes):
    return ElmoPretrainer(TINY, **(RUN | {"max_tokens": 40} | changes))


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        iter,
        pd.Series,
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: pl.DataFrame({"text": texts}),
        np.array,
        lambda texts: np.array(texts, dtype=object)[:, None],
    ],
)
def test_every_container_of_texts_is_the_same_text(container):
    expected = tiny().fit(SENTENCES)
    fitted = tiny().fit(container(SENTENCES))
    assert fitted.vocabulary_ == expected.vocabulary_
    assert fitted.perplexity(container(SENTENCES[:5])) == pytest.approx(
        expected.perplexity(SENTENCES[:5]), rel=1e-5
    )


@pytest.mark.parametrize(
    ("X", "error"),
    [
        ("corpus.txt", FileNotFoundError),
        ("data/corpus", FileNotFoundError),
        ("corpus-*.xz", FileNotFoundError),
        ("data/*", FileNotFoundError),
        ("~/no/such/file", FileNotFoundError),
        ("~nosuchuser/corpus.txt", FileNotFoundError),
        (["a/b.txt"], FileNotFoundError),
        (["a/b"], FileNotFoundError),
        (["missing.txt", "also missing.txt"], FileNotFoundError),
        (["also missing.txt"], FileNotFoundError),
        (("a.gz", "b.zst"), FileNotFoundError),
        ((name for name in ["a.gz", "b.zst"]), FileNotFoundError),
        (pd.Series(["a.txt", "b.txt"]), FileNotFoundError),
        (pd.DataFrame({"file": ["a.txt"]}), FileNotFoundError),
        (Path("nope"), FileNotFoundError),
        ([Path("nope")], FileNotFoundError),
        ([Path("nope"), "some text"], FileNotFoundError),
        ("empty", FileNotFoundError),
        ("just a text", ValueError),
        ("word", ValueError),
        ("a" * 5000, ValueError),
        ({"text": SENTENCES}, TypeError),
        (set(SENTENCES), TypeError),
        ({"text": SENTENCES}.keys(), TypeError),
        (pd.DataFrame({"a": SENTENCES, "b": SENTENCES}), ValueError),
        (pl.LazyFrame({"a": SENTENCES}), TypeError),
        (np.array([SENTENCES, SENTENCES]), ValueError),
        (np.arange(5), TypeError),
        (b"bytes", TypeError),
        ([b"bytes"], TypeError),
        ([*SENTENCES, 3], TypeError),
        ([*SENTENCES, None], TypeError),
        (None, TypeError),
        (3, TypeError),
    ],
)
@pytest.mark.parametrize("method", ["fit", "perplexity"])
def test_what_is_not_a_text_is_refused_by_fit_and_perplexity(
    folder, fitted_tiny, X, error, method
):
    if method == "perplexity" and hasattr(X, "__next__"):
        X = iter(["a.gz", "b.zst"])
    with pytest.raises(error) as caught:
        getattr(fitted_tiny, method)(X)
    assert isinstance(caught.value, CorpusError)


@pytest.fixture
def fitted_tiny():
    return tiny().fit(SENTENCES)


@pytest.mark.parametrize(
    "make",
    [
        lambda path, text: [path, text],
        lambda path, text: [text, path],
        lambda path, text: [text, "missing.txt"],
        lambda path, text: iter([text, path]),
        lambda path, text: iter([path, text]),
        lambda path, text: [Path(path), text.split()],
        lambda path, text: [text.split(), Path(path)],
        lambda path, text: iter([text.split(), Path(path)]),
    ],
)
def test_texts_and_paths_are_not_mixed(folder, make):
    with pytest.raises(CorpusError, match=r"Element [01] of the input"):
        tiny().fit(make("texts/a.txt", SENTENCES[0]))


def names(source):
    assert isinstance(source, Files)
    return [str(path) for path in source.paths]


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ("texts/a.txt", ["a.txt"]),
        ("texts/plain", ["plain"]),
        (["texts/my file.txt"], ["my file.txt"]),
        ("texts", ["a.txt", "b.txt", "my file.txt", "plain", "sub/c.txt"]),
        (["texts"], ["a.txt", "b.txt", "my file.txt", "plain", "sub/c.txt"]),
        ([Path("texts/sub"), Path("texts/b.txt")], ["sub/c.txt", "b.txt"]),
        ("texts/*.txt", ["a.txt", "b.txt", "my file.txt"]),
        (["texts/[ab].txt", "texts/plain"], ["a.txt", "b.txt", "plain"]),
        (Path("texts/s*"), ["sub/c.txt"]),
        ("texts/**/c.txt", ["sub/c.txt"]),
        (iter(["texts/b.txt", "texts/a.txt"]), ["b.txt", "a.txt"]),
    ],
)
def test_files_folders_and_patterns_are_found_in_the_order_of_names(
    folder, X, expected
):
    assert names(open_source(X)) == [os.path.join("texts", name) for name in expected]


@pytest.mark.parametrize("name", ["t.csv", "T.TSV", "t.jsonl.gz", "t.parquet"])
def test_tables_are_refused_as_training_text(folder, name):
    """Ids and separators would be learned as words."""
    Path("texts", name).write_text("id,text\n1,the cat sat\n")
    for X in (f"texts/{name}", [Path("texts", name)], "texts"):
        with pytest.raises(CorpusError, match="--column") as caught:
            ElmoPretrainer().fit(X)
        assert name in str(caught.value)
    assert names(open_source(f"texts/{name}", tables=True)) == [f"texts/{name}"]


def test_what_the_commands_read_as_a_table_is_one(folder, capsys):
    suffixes = [name for name, kind in tables._SUFFIXES.items() if kind != "lines"]
    assert len(suffixes) > 3
    for suffix in suffixes:
        with pytest.raises(CorpusError, match="--column"):
            check_no_table(Path(f"t{suffix}"))
    for name in ("t.json", "t.xlsx"):  # the commands cannot read these
        Path(name).write_text('{"id": 1}')
        assert main(["pretrain", "model", name]) == 1
        assert "table by its name" in capsys.readouterr().err


def test_a_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert names(open_source("~/texts/a.txt")) == [str(folder / "texts/a.txt")]


@pytest.mark.parametrize(
    "texts",
    [
        ["one text", "N/A", "and/or"],
        ["one text", "http://example.org/page.txt"],
        ["https://t.co/abc"],
        ["word"],
        ["What is in notes.txt, please ?"],
        ["a line\nb/c.txt"],
        ["texts", "and another text"],
        [["a", "list.txt"], ["of", "tokens"]],
        [["data/corpus.txt"]],
        ["Why [not] ?", "*"],
        [""],
        [],
    ],
)
def test_texts_that_only_resemble_paths_are_texts(folder, texts):
    source = open_source(texts)
    assert isinstance(source, Texts)
    assert list(source.texts) == texts
    stream = open_source(iter(texts))
    assert isinstance(stream, Texts)
    assert list(stream.texts) == texts


def test_a_stream_of_texts_is_not_held_in_memory():
    drawn = []

    def texts():
        for text in SENTENCES:
            drawn.append(text)
            yield text

    source = open_source(texts())
    assert len(drawn) == 1
    assert next(iter(source.texts)) == SENTENCES[0]
    assert len(drawn) == 1


class Corpus:
    """Iterable again and again, as for gensim."""

    def __iter__(self):
        return iter(SENTENCES)


def test_an_iterable_class_is_a_stream():
    assert tiny().fit(Corpus()).vocabulary_ == tiny().fit(SENTENCES).vocabulary_


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        ("words", ["@", "user", "do", "n't", "!"]),
        ("whitespace", ["@user", "don't", "!"]),
        (lambda line: re.findall(r"\w+", line), ["user", "don", "t"]),
    ],
)
def test_text_is_kept_as_the_tokenizer_cuts_it(tmp_path, tokenizer, expected):
    path = tmp_path / "tweets.txt"
    path.write_text("@user don't !\n" * 30)
    for X in (path, ["@user don't !"] * 30):
        fitted = tiny(tokenizer=tokenizer).fit(X)
        words = set(fitted.vocabulary_.words) - {"<S>", "</S>", "<UNK>"}
        assert words == set(expected)
        assert fitted.perplexity(X) > 1


def test_pretokenized_texts_are_token_lists_and_lines_of_words(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("don't stop\n" * 30)
    for X in (path, [["don't", "stop"]] * 30):
        fitted = tiny(tokenizer="pretokenized").fit(X)
        assert {"don't", "stop"} <= set(fitted.vocabulary_.words)
    with pytest.raises(TypeError, match="expected a list of str"):
        tiny(tokenizer="pretokenized").fit(["don't stop"])


@pytest.mark.parametrize("returned", [None, 3, "ab", [1, 2], [["a"]]])
def test_a_tokenizer_that_returns_something_else_is_named(returned):
    with pytest.raises(TypeError, match=r"tokenizer of ElmoPretrainer returned"):
        tiny(tokenizer=lambda line: returned).fit(SENTENCES)


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(InvalidParameterError, match="'tokenizer' parameter"):
        tiny(tokenizer="moses").fit(SENTENCES)


def test_a_run_with_another_tokenizer_does_not_use_the_encoded_text(tmp_path):
    text = ["don't stop it"] * 40
    for tokenizer, word in (("words", "n't"), ("whitespace", "don't")):
        fitted = tiny(tokenizer=tokenizer, checkpoint_dir=tmp_path).fit(text)
        assert word in fitted.vocabulary_.words
        (tmp_path / "checkpoint.pt").unlink()


def test_the_tokenizer_is_saved_with_the_model(tmp_path):
    fitted = tiny(tokenizer="whitespace").fit(["don't stop it"] * 40)
    fitted.save(tmp_path)
    again = ElmoPretrainer.load(tmp_path)
    assert again.tokenizer == "whitespace"
    assert again.perplexity(["don't stop"]) == fitted.perplexity(["don't stop"])
    fitted = tiny(tokenizer=str.split).fit(["don't stop it"] * 40)
    fitted.save(tmp_path)
    assert "method_descriptor" not in (tmp_path / "MODEL_CARD.md").read_text()
    with pytest.warns(SklearnElmoWarning, match="Pass the callable"):
        ElmoPretrainer.load(tmp_path)
    assert ElmoPretrainer.load(tmp_path, tokenizer=str.split).tokenizer is str.split


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and named pipes")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "dangling"])
def test_what_is_no_plain_file_is_refused(tmp_path, monkeypatch, kind):
    """A pipe in a folder blocked forever, and a device filled the memory."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    odd = Path("texts/odd.txt")
    odd.parent.mkdir()
    Path("texts/good.txt").write_text("a b\n")
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(odd))
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    for source in ("texts", odd, ["texts/*.txt"], [str(odd)]):
        with pytest.raises(CorpusError, match=r"odd\.txt") as caught:
            open_source(source)
        assert isinstance(caught.value, FileNotFoundError) == (kind == "dangling")
