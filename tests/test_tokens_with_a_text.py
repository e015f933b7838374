"""Tokens such as spaCy's, whose ``text`` is a str, wherever token lists are taken."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sklearn_elmo import (
    Elmo,
    ElmoEmbedder,
    ElmoTagger,
    ElmoTokenVectorizer,
    ElmoVectorizer,
    EmbeddingStore,
    WordVectorVectorizer,
    batch_to_ids,
)
from sklearn_elmo.errors import TextTypeError

BATCH = [["The", "cat", "sat"], ["Hello", "world"]]
TAGS = [["D", "N", "V"], ["I", "N"]]


class Token:
    """Like spaCy's: not a str, and with other attributes beside the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower_ = text.lower()

    def __str__(self) -> str:
        return f"<{self.text}>"


class Doc:
    """Like spaCy's: iterates over tokens and has a text of its own."""

    def __init__(self, words: list[str]) -> None:
        self.tokens = [Token(word) for word in words]
        self.text = " ".join(words)

    def __iter__(self) -> Iterator[Token]:
        return iter(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, number: int) -> Token:
        return self.tokens[number]


def token_lists() -> list[list[Token]]:
    return [[Token(word) for word in words] for words in BATCH]


def tag(X: list, model: Path) -> list:
    vectorizer = ElmoTokenVectorizer(model, tokenizer="pretokenized")
    tagger = ElmoTagger(vectorizer=vectorizer).fit(X, TAGS)
    return [*tagger.predict_proba(X), tagger.score(X, TAGS)]


def word_vectors(X: list, model: Path) -> np.ndarray:
    file = model / "vectors.txt"
    if not file.exists():
        file.write_text("The 1 2\ncat 3 4\nHello 5 6\n")
    return WordVectorVectorizer(file, tokenizer="pretokenized").fit_transform(X)


def store_of(X: list, model: Path) -> np.ndarray:
    vectorizer = ElmoVectorizer(model, tokenizer="pretokenized")
    vectorizer.set_params(cache=EmbeddingStore(model / "store"))
    return vectorizer.fit_transform(X)


TAKERS: dict[str, Callable[[list, Path], object]] = {
    "ElmoVectorizer": lambda X, model: ElmoVectorizer(
        model, tokenizer="pretokenized"
    ).fit_transform(X),
    "idf": lambda X, model: ElmoVectorizer(
        model, tokenizer="pretokenized", pooling="idf"
    ).fit_transform(X),
    "ElmoTokenVectorizer": lambda X, model: ElmoTokenVectorizer(
        model, tokenizer="pretokenized"
    ).fit_transform(X),
    "tokenize": lambda X, model: [
        list(map(hash, tokens))
        for tokens in ElmoTokenVectorizer(model, tokenizer="pretokenized").tokenize(X)
    ],
    "ElmoTagger": tag,
    "WordVectorVectorizer": word_vectors,
    "EmbeddingStore": store_of,
    "batch_to_ids": lambda X, model: batch_to_ids(X).numpy(),
    "Elmo": lambda X, model: Elmo(model, dropout=0)(batch_to_ids(X))[
        "elmo_representations"
    ][0].detach(),
    "ElmoEmbedder": lambda X, model: ElmoEmbedder(model).embed_batch(X),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("kind", ["lists", "documents"])
def test_tokens_with_a_text_count_as_their_text(
    make_model, taker: str, kind: str
) -> None:
    model = make_model(seed=2)
    X = token_lists() if kind == "lists" else [Doc(words) for words in BATCH]
    found, expected = TAKERS[taker](X, model), TAKERS[taker](BATCH, model)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tokenizers_may_return_tokens_with_a_text(tiny_model: Path) -> None:
    def tokenize(text: str) -> list[Token]:
        return [Token(word) for word in text.split()]

    texts = [" ".join(words) for words in BATCH]
    found = ElmoVectorizer(tiny_model, tokenizer=tokenize).fit_transform(texts)
    plain = ElmoVectorizer(tiny_model, tokenizer="whitespace").fit_transform(texts)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("text", [None, 3, b"a"])
def test_tokens_whose_text_is_no_str_are_named(tiny_model: Path, text: object) -> None:
    vectorizer = ElmoVectorizer(tiny_model, tokenizer="pretokenized")
    tokens = [Token("a"), Token("b")]
    tokens[1].text = text  # type: ignore[assignment]
    with pytest.raises(TextTypeError, match=r"Token 1 of row 1 .*Token \("):
        vectorizer.fit_transform([["a"], tokens])


def test_documents_are_no_texts_without_pretokenized(tiny_model: Path) -> None:
    with pytest.raises(TextTypeError, match="needs str"):
        ElmoVectorizer(tiny_model).fit_transform([Doc(["a"])])
