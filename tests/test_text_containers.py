"""Every container of texts, and every row of the table of bad input."""

import enum
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from sklearn_elmo.errors import SklearnElmoError, TextTypeError, TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.text.containers import as_texts, is_missing

TEXTS = ["a cat", "", "the dog"]
TOKENS = [["a", "cat"], [], ["the", "dog"]]
NAME = "ElmoVectorizer"


class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum has another __str__
    RED = "red"


class Named(str):
    def __str__(self) -> str:
        return "not the text"


def object_array(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


CONTAINERS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "iterator": iter,
    "dict values": lambda texts: dict(enumerate(texts)).values(),
    "object array": object_array,
    "U array": np.array,
    "masked array": lambda t: np.ma.array(t, mask=[False] * len(t)),
    "(n, 1) array": lambda texts: np.array(texts).reshape(-1, 1),
    "(n, 1) object array": lambda texts: object_array(texts).reshape(-1, 1),
    "strided array": lambda texts: np.repeat(np.array(texts), 2)[::2],
    "pandas object": lambda texts: pd.Series(texts, dtype=object, index=[7, 7, 1]),
    "pandas str": lambda texts: pd.Series(texts, dtype="str"),
    "pandas string": lambda texts: pd.Series(texts, dtype="string"),
    "pandas category": lambda texts: pd.Series(texts, dtype="category"),
    "pandas arrow": lambda t: pd.Series(t, dtype=pd.ArrowDtype(pa.string())),
    "pandas index": lambda texts: pd.Index(texts),
    "pandas frame": lambda texts: pd.DataFrame({"text": texts}),
    "polars": lambda texts: pl.Series(texts),
    "polars category": lambda texts: pl.Series(texts, dtype=pl.Categorical),
    "polars frame": lambda texts: pl.DataFrame({"text": texts}),
    "arrow": pa.array,
    "arrow chunks": lambda texts: pa.chunked_array([texts[:1], texts[1:]]),
    "arrow table": lambda texts: pa.table({"text": texts}),
}

WITH_MISSING = {
    "None": ["a", None],
    "nan": ["a", float("nan")],
    "numpy nan": ["a", np.float64("nan")],
    "float32 nan": ["a", np.float32("nan")],
    "pd.NA": ["a", pd.NA],
    "pd.NaT": ["a", pd.NaT],
    "object array": np.array(["a", np.nan], dtype=object),
    "masked array": np.ma.array(["a", "b"], mask=[False, True]),
    "pandas object": pd.Series(["a", None], dtype=object),
    "pandas str": pd.Series(["a", None], dtype="str"),
    "pandas string": pd.Series(["a", None], dtype="string"),
    "pandas category": pd.Series(["a", None], dtype="category"),
    "pandas arrow": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "polars": pl.Series(["a", None]),
    "polars category": pl.Series(["a", None], dtype=pl.Categorical),
    "arrow": pa.array(["a", None]),
}

if hasattr(np.dtypes, "StringDType"):  # from NumPy 2 on
    CONTAINERS["StringDType array"] = lambda texts: np.array(
        texts, dtype=np.dtypes.StringDType()
    )
    WITH_MISSING["StringDType"] = np.array(
        ["a", np.nan], dtype=np.dtypes.StringDType(na_object=np.nan)
    )


@pytest.mark.parametrize("kind", CONTAINERS)
def test_as_texts_lists_every_container(kind: str) -> None:
    texts = as_texts(CONTAINERS[kind](TEXTS), estimator=NAME)
    assert texts == TEXTS
    assert {type(text) for text in texts} == {str}


@pytest.mark.parametrize("kind", sorted(CONTAINERS.keys() - {"pandas object"}))
def test_as_texts_of_nothing_is_empty(kind: str) -> None:
    assert as_texts(CONTAINERS[kind]([]), estimator=NAME) == []


@pytest.mark.parametrize("kind", WITH_MISSING)
def test_missing_texts_become_none(kind: str) -> None:
    assert as_texts(WITH_MISSING[kind], estimator=NAME) == ["a", None]


def test_all_texts_missing() -> None:
    assert as_texts(np.full(2, np.nan), estimator=NAME) == [None, None]
    assert as_texts(pl.Series([None, None]), estimator=NAME) == [None, None]


@pytest.mark.parametrize("text", [np.str_("red"), Colour.RED])
def test_str_subclasses_come_out_plain(text: str) -> None:
    (plain,) = as_texts([text], estimator=NAME)
    assert plain == "red"
    assert type(plain) is str


def test_str_subclass_with_own_str_keeps_its_text() -> None:
    assert as_texts([Named("text")], estimator=NAME) == ["text"]


def test_generator_is_read_once() -> None:
    read = []

    def texts() -> Any:
        for text in TEXTS:
            read.append(text)
            yield text

    assert as_texts(texts(), estimator=NAME) == TEXTS
    assert read == TEXTS


def test_texts_are_not_copied_and_the_list_is_new() -> None:
    texts = ["long text" * 10, None]
    listed = as_texts(texts, estimator=NAME)
    assert listed is not texts
    assert listed[0] is texts[0]


@pytest.mark.parametrize("kind", ["pandas object", "pandas frame", "object array"])
def test_callers_data_stays_as_it_was(kind: str) -> None:
    values = CONTAINERS[kind](["a", None, "b"])
    before = values.copy()
    as_texts(values, estimator=NAME)
    if isinstance(values, np.ndarray):
        np.testing.assert_array_equal(values, before)
    else:
        assert values.equals(before)


@pytest.mark.parametrize(
    ("value", "kind", "shown", "mend"),
    [
        (b"caf\xc3\xa9", "bytes", "b'caf", "decode"),
        (bytearray(b"cat"), "bytearray", "bytearray", "decode"),
        (3, "int", "3", "astype(str)"),
        (2.5, "float", "2.5", "astype(str)"),
        (float("inf"), "float", "inf", "astype(str)"),
        (True, "bool", "True", "astype(str)"),
        (np.int64(3), "numpy.int64", "3", "astype(str)"),
        (["a", "cat"], "list", "['a', 'cat']", 'tokenizer="pretokenized"'),
        (("a", "cat"), "tuple", "('a', 'cat')", 'tokenizer="pretokenized"'),
        (np.array(["a"]), "numpy.ndarray", "array", 'tokenizer="pretokenized"'),
        ({"a": 1}, "dict", "{'a': 1}", "str(...)"),
    ],
)
def test_element_that_is_no_text_is_named(
    value: Any, kind: str, shown: str, mend: str
) -> None:
    with pytest.raises(TextTypeError) as caught:
        as_texts(["a", "b", None, value], estimator=NAME)
    message = str(caught.value)
    assert message.startswith(f"Row 3 of the input is {kind} (")
    assert f"{NAME} needs str" in message
    assert shown in message
    assert mend in message
    assert isinstance(caught.value, (TypeError, SklearnElmoError))


@pytest.mark.parametrize(
    "X",
    [
        pd.Series([1, 2]),
        pd.Series([1, 2], dtype="category"),
        pl.Series([1, 2]),
        np.arange(3),
        np.array([b"a"]),
        [[]],
    ],
)
def test_column_of_other_things_raises_type_error_at_row_0(X: Any) -> None:
    with pytest.raises(TextTypeError, match="Row 0"):
        as_texts(X, estimator=NAME)


def test_messages_do_not_show_long_texts() -> None:
    with pytest.raises(TextTypeError) as caught:
        as_texts([b"secret " * 1000], estimator=NAME)
    assert len(str(caught.value)) < 200
    assert quote(["a" * 100] * 100) == quote(["a" * 100] * 1000)
    assert len(quote("\n" * 100)) == 40


@pytest.mark.parametrize("pretokenized", [False, True])
@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ("a cat", TextValueError, ["bare str", "'a cat'", "[text]"]),
        (np.str_("a cat"), TextValueError, ["bare str", "[text]"]),
        (b"a cat", TextTypeError, ["bytes", "decode", "[text]"]),
        (np.array("a cat"), TextValueError, ["0-d array", "[text]"]),
        (np.array(None), TextValueError, ["0-d array"]),
        ({"a": "b"}, TextTypeError, ["dict", "list"]),
        (OrderedDict(a="b"), TextTypeError, ["OrderedDict", "list"]),
        ({"a"}, TextTypeError, ["set", "order"]),
        (frozenset("a"), TextTypeError, ["frozenset", "order"]),
        ({"a": "b"}.keys(), TextTypeError, ["dict_keys", "order"]),
        (scipy.sparse.eye(3, format="csr"), TextTypeError, ["sparse", "(3, 3)"]),
        (scipy.sparse.coo_array(np.eye(3)), TextTypeError, ["sparse"]),
        (None, TextTypeError, ["NoneType", "iterable"]),
        (3, TextTypeError, ["int (3)", "iterable"]),
        (object(), TextTypeError, ["object", "iterable"]),
        (pl.LazyFrame({"text": ["a"]}), TextTypeError, ["LazyFrame", "collect"]),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), TextValueError, ["(1, 2)"]),
        (pd.DataFrame(), TextValueError, ["(0, 0)"]),
        (pl.DataFrame({"a": ["x"], "b": ["y"]}), TextValueError, ["(1, 2)"]),
        (pa.table({"a": ["x"], "b": ["y"]}), TextValueError, ["(1, 2)"]),
        (np.zeros((3, 2)), TextValueError, ["(3, 2)"]),
        (np.array([["x", "y"]]), TextValueError, ["(1, 2)"]),
        (np.zeros((3, 1, 1)), TextValueError, ["(3, 1, 1)"]),
    ],
)
def test_container_that_is_no_column_raises(
    X: Any, error: type[Exception], words: list[str], pretokenized: bool
) -> None:
    with pytest.raises(error) as caught:
        as_texts(X, estimator=NAME, pretokenized=pretokenized)
    message = str(caught.value)
    assert NAME in message
    for word in words:
        assert word in message
    if isinstance(X, (pd.DataFrame, pl.DataFrame, pa.Table)) or (
        isinstance(X, np.ndarray) and X.ndim > 1
    ):
        assert "ColumnTransformer" in message


TOKEN_CONTAINERS: dict[str, Any] = {
    "list": TOKENS,
    "tuples": tuple(tuple(tokens) for tokens in TOKENS),
    "generator": "made in the test",
    "arrays": [np.array(tokens, dtype=object) for tokens in TOKENS],
    "U arrays": [np.array(tokens, dtype=str) for tokens in TOKENS],
    "series in a list": [pd.Series(tokens, dtype=object) for tokens in TOKENS],
    "object array": object_array(TOKENS),
    "(n, 1) array": object_array(TOKENS).reshape(-1, 1),
    "pandas": pd.Series(TOKENS),
    "pandas frame": pd.DataFrame({"tokens": TOKENS}),
    "pandas arrow": pd.Series(TOKENS, dtype=pd.ArrowDtype(pa.list_(pa.string()))),
    "polars": pl.Series(TOKENS),
    "polars frame": pl.DataFrame({"tokens": TOKENS}),
    "arrow": pa.array(TOKENS),
}


@pytest.mark.parametrize("kind", TOKEN_CONTAINERS)
def test_pretokenized_lists_every_container(kind: str) -> None:
    X = TOKEN_CONTAINERS[kind]
    if kind == "generator":
        X = (tokens for tokens in TOKENS)
    texts = as_texts(X, estimator=NAME, pretokenized=True)
    assert texts == TOKENS
    for tokens in texts:
        assert type(tokens) is list
        assert {type(token) for token in tokens} <= {str}


def test_pretokenized_lists_of_equal_length_are_texts() -> None:
    X = [["a", "cat"], ["the", "dog"]]
    assert as_texts(X, estimator=NAME, pretokenized=True) == X


def test_pretokenized_keeps_empty_and_white_tokens_and_missing_texts() -> None:
    X = [["", " "], None, float("nan"), pd.NA, []]
    texts = as_texts(X, estimator=NAME, pretokenized=True)
    assert texts == [["", " "], None, None, None, []]


def test_pretokenized_str_subclasses_come_out_plain() -> None:
    ((first, second),) = as_texts(
        [[np.str_("a"), Colour.RED]], estimator=NAME, pretokenized=True
    )
    assert (first, second) == ("a", "red")
    assert type(first) is type(second) is str


@pytest.mark.parametrize(
    ("X", "parts"),
    [
        ([["a"], "a cat"], ["Row 1", "str ('a cat')", ".split()", "[tokens]"]),
        (["a", "cat"], ["Row 0", "str ('a')", "[tokens]"]),
        ([["a"], 3], ["Row 1", "int (3)", "list of str"]),
        ([["a"], b"x"], ["Row 1", "bytes", "list of str"]),
        ([["a"], {"b"}], ["Row 1", "set", "list of tokens"]),
        ([["a"], np.array([["b"]])], ["Row 1", "numpy.ndarray"]),
        ([["a"], ["b", 3]], ["Token 1 of row 1", "int (3)", "str(...)"]),
        ([["a", None]], ["Token 1 of row 0", "NoneType", "Drop it"]),
        ([[b"a"]], ["Token 0 of row 0", "bytes (b'a')", "decode"]),
        ([["a", ["b"]]], ["Token 1 of row 0", "list (['b'])", "flat"]),
        (np.array([["a"], ["b"]]), ["Row 0", "str ('a')"]),
    ],
)
def test_pretokenized_bad_element_is_named(X: Any, parts: list[str]) -> None:
    with pytest.raises(TextTypeError) as caught:
        as_texts(X, estimator=NAME, pretokenized=True)
    message = str(caught.value)
    assert NAME in message
    for part in parts:
        assert part in message


def test_pretokenized_wide_array_of_str_is_ambiguous() -> None:
    X = np.array([["a", "cat"], ["the", "dog"]])
    with pytest.raises(TextValueError, match=r"X\.tolist\(\).*ColumnTransformer"):
        as_texts(X, estimator=NAME, pretokenized=True)
    assert as_texts(X.tolist(), estimator=NAME, pretokenized=True) == X.tolist()


@pytest.mark.parametrize("value", ["", "nan", 0, 0.0, [], np.array([np.nan]), False])
def test_is_missing_is_false_for_values(value: Any) -> None:
    assert not is_missing(value)
