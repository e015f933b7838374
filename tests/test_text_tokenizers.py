"""Tokens are pieces of their text, sentence ends are found, errors name the row."""

# ruff: noqa: RUF001 - typographic quotes are what is tested here

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sklearn_elmo.errors import InvalidParameterError, TextTypeError
from sklearn_elmo.text import tokenizers
from sklearn_elmo.text.tokenizers import (
    TOKENIZERS,
    resolve_tokenizer,
    tokenize_texts,
    words,
)

NAME = "ElmoVectorizer"

# Expected tokens are written with a bar between them.
WORDS = [
    ("", ""),
    (" \t\n\u00a0\u2003", ""),
    ("a", "a"),
    (".", "."),
    ("...", "..."),
    ("I ate. He ran.", "I|ate|.|He|ran|."),
    ("i ate. he ran. 5 left.", "i|ate|.|he|ran|.|5|left|."),
    ("I ate.\n\nHe ran", "I|ate|.|He|ran"),
    ('"I ate." He ran.', '"|I|ate|.|"|He|ran|.'),
    ("(I ate.) “He ran.” No.", "(|I|ate|.|)|“|He|ran|.|”|No|."),
    ("Really? Yes! Well... no.", "Really|?|Yes|!|Well|...|no|."),
    ("So do I. He too.", "So|do|I|.|He|too|."),
    ("Mr. Fox met Dr. J. R. Hen.", "Mr.|Fox|met|Dr.|J.|R.|Hen|."),
    ("He left the U.S. in Jan. 5 p.m. or so", "He|left|the|U.S.|in|Jan.|5|p.m.|or|so"),
    ("Cats, dogs, etc. eat, e.g. fish.", "Cats|,|dogs|,|etc.|eat|,|e.g.|fish|."),
    ("She has a Ph.D.", "She|has|a|Ph.D."),
    ("See No. 5. I said no. He left.", "See|No.|5|.|I|said|no|.|He|left|."),
    ("It has vitamin C.", "It|has|vitamin|C|."),
    ("done.--He, done.[1]", "done|.|--|He|,|done|.|[|1|]"),
    ("$3.88, 3,300 and x.com", "$|3.88|,|3,300|and|x.com"),
    ("don't can't it's dogs' cannot", "do|n't|ca|n't|it|'s|dogs|'|can|not"),
    ("don’t can’t it’s dogs’ l’eau", "do|n’t|ca|n’t|it|’s|dogs|’|l’eau"),
    ("it‘s O’Brien’s", "it|‘s|O’Brien|’s"),
    ("‘Hi’ ’tis", "‘|Hi|’|’|tis"),
    ('say "hi" ``there\'\' "', 'say|"|hi|"|``|there|\'\'|"'),
    ("('' x", "(|''|x"),
    ("``\"''", "``|\"|''"),
    ("do n't ( 5 / 7 ) it 's .", "do|n't|(|5|/|7|)|it|'s|."),
    ("it ’s n’t", "it|’s|n’t"),
    ("\ud800. \udfff", "\ud800|.|\udfff"),
    ("a\x1cb.\x1cC", "a|b|.|C"),
    ("x x", "x|x"),
]


@pytest.mark.parametrize(("text", "tokens"), WORDS)
def test_words_of(text: str, tokens: str) -> None:
    assert words(text) == (tokens.split("|") if tokens else [])


@pytest.mark.parametrize("text", [text for text, _ in WORDS if '"' not in text])
def test_words_of_tokenised_text_stay(text: str) -> None:
    tokens = words(text)
    assert words(" ".join(tokens)) == tokens


ODD_TEXT = st.text(
    st.one_of(
        st.sampled_from("aAI1.,:;'\"`’‘“”() \n\t-?$&\ud800\u2028"),
        st.characters(codec=None),
    ),
    max_size=60,
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(text=ODD_TEXT)
@example(text="''\"``'''\"\"'")
@example(text='"\'".\'"`` ".')
def test_words_lose_nothing_but_white_space(text: str) -> None:
    tokens = words(text)
    assert "".join(tokens) == "".join(text.split())
    assert all(token and not any(map(str.isspace, token)) for token in tokens)


PIECES = [
    "Mr.",
    "Fox",
    "U.S.",
    "ate",
    "don't",
    "it's",
    '"',
    ".",
    "I.",
    "no.",
    "5",
    "(x)",
]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_words_of_pieces_are_pieces_and_stay(pieces: list[str]) -> None:
    tokens = words(" ".join(pieces))
    assert "".join(tokens) == "".join(pieces)
    assert words(" ".join(tokens)) == tokens


def test_words_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'Mr. Fox ate. "It isn\'t No. 5," I said. He left the U.S. in May. ' * 20
    whole = words(text)
    for length in (1, 7, 50, 333):
        monkeypatch.setattr(tokenizers, "CHUNK_LENGTH", length)
        assert words(text) == whole


def test_words_cut_a_run_without_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "CHUNK_LENGTH", 10)
    monkeypatch.setattr(tokenizers, "LONGEST_WORD", 20)
    assert words("a" * 25) == ["a" * 25]
    assert words("a" * 70) == ["a" * 30, "a" * 30, "a" * 10]


@pytest.mark.parametrize("unit", ["a", '"', "'", "`", ".", '."', ".'", "’", ",", "a. "])
def test_words_take_linear_time_on_a_long_odd_text(unit: str) -> None:
    words("warm up")
    text = (unit * 100_000)[:100_000]
    start = time.perf_counter()
    tokens = words(text)
    assert time.perf_counter() - start < 10  # 0.6 s at most where it was written
    assert "".join(tokens) == "".join(text.split())


def test_tokenizers_module_does_not_import_nltk_before_use() -> None:
    code = (
        "import sys; from sklearn_elmo.text import resolve_tokenizer; "
        "resolve_tokenizer('words', estimator='E'); "
        "assert not {'nltk', 'pandas', 'polars', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whitespace_splits_as_str_does() -> None:
    tokenize = resolve_tokenizer("whitespace", estimator=NAME)
    assert tokenize(" It's \u00a0fine.\n") == ["It's", "fine."]


def test_every_name_resolves_and_callables_stay() -> None:
    assert TOKENIZERS == ("words", "whitespace", "pretokenized")
    for name in TOKENIZERS:
        assert callable(resolve_tokenizer(name, estimator=NAME))
    assert resolve_tokenizer(str.split, estimator=NAME) == str.split


@pytest.mark.parametrize("value", ["word", "", None, 3, ["words"]])
def test_unknown_tokenizer_is_named_as_scikit_learn_does(value: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="The 'tokenizer' parameter of ElmoVectorizer must be a str among "
        r"\{'words', 'whitespace', 'pretokenized'\} or a callable\. Got .* instead\.",
    ):
        resolve_tokenizer(value, estimator=NAME)


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", str.split])
def test_tokenize_texts_passes_missing_and_empty_texts(tokenizer: Any) -> None:
    tokens = tokenize_texts(["a cat", None, "", " \n"], tokenizer, estimator=NAME)
    assert tokens == [["a", "cat"], None, [], []]


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", str.split])
@pytest.mark.parametrize("max_tokens", [1, 2, 9])
def test_tokenize_texts_cuts_to_max_tokens(tokenizer: Any, max_tokens: int) -> None:
    tokens = tokenize_texts(
        ["a b c", None, "d"], tokenizer, estimator=NAME, max_tokens=max_tokens
    )
    assert tokens == [["a", "b", "c"][:max_tokens], None, ["d"]]


def test_tokenize_texts_pretokenized_keeps_tokens_and_the_callers_lists() -> None:
    values = [["a", "", " "], None, []]
    assert tokenize_texts(values, "pretokenized", estimator=NAME) == values
    cut = tokenize_texts(values, "pretokenized", estimator=NAME, max_tokens=1)
    assert cut == [["a"], None, []]
    assert values == [["a", "", " "], None, []]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_callable_may_return_any_list_of_str(kind: Any) -> None:
    (tokens,) = tokenize_texts(
        ["a cat"], lambda text: kind(text.split()), estimator=NAME
    )
    assert tokens == ["a", "cat"]
    assert [type(token) for token in tokens] == [str, str]


@pytest.mark.parametrize(
    ("result", "parts"),
    [
        ("a cat", ["returned str ('a cat') for row 1", "list of str"]),
        (None, ["returned NoneType (None) for row 1", "[]"]),
        (3, ["returned int (3) for row 1"]),
        (iter(["a"]), ["returned list_iterator", "for row 1"]),
        ({"a"}, ["returned set ({'a'}) for row 1"]),
        (["a", 3], ["Token 1 of row 1", "int (3)", "str(...)"]),
        ([b"a"], ["Token 0 of row 1", "bytes", "decode"]),
        (["a", None], ["Token 1 of row 1", "NoneType"]),
    ],
)
def test_callable_with_a_wrong_result_is_named(result: Any, parts: list[str]) -> None:
    def tokenize(text: str) -> Any:
        return result if text == "bad" else [text]

    with pytest.raises(TextTypeError) as caught:
        tokenize_texts(["good", "bad"], tokenize, estimator=NAME)
    message = str(caught.value)
    assert NAME in message
    assert "tokenizer" in message
    for part in parts:
        assert part in message


def test_error_of_a_callable_passes_through_with_the_row() -> None:
    def tokenize(text: str) -> list[str]:
        return [text[5]]

    with pytest.raises(IndexError) as caught:
        tokenize_texts(["long enough", "short", "no"], tokenize, estimator=NAME)
    assert any("row 1" in note for note in caught.value.__notes__)
