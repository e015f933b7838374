"""ElmoVectorizer: numbers, independence of rows, containers, errors, pickles."""

import json
import math
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import permutations
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from reference_numpy import ReferenceElmo, RowState
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_pooling import pool_plainly

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import (
    InvalidParameterError,
    LongTokenWarning,
    ModelMismatchError,
    TextTypeError,
    TextValueError,
    UnusedParameterWarning,
)
from sklearn_elmo.models import open_model
from sklearn_elmo.pooling import POOLINGS

# Tokens of many lengths are on purpose; test_long_tokens_* look at the warning.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn_elmo.errors.LongTokenWarning")

ATOL = 5e-6  # what the contract promises for float32

# fmt: off
WORDS = [
    "the", "a", "cat", "dog", "sat", "on", "mat", ".", ",", "!", "Zürich", "naïve",
    "1,250.50", "n't", "WHY", "don't", "river", "froze", "«", "Bonjour", "»", "of",
    "supercalifragilisticexpialidocious-antidisestablishment", "日本語", "\U0001f600",
    "<S>", "and", "to", "x",
]
# fmt: on


def make_texts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, n)) for n in lengths]


LENGTHS = [5, 1, 200, 2, 31, 1, 64, 3, 128, 17, 2, 9]
TEXTS = make_texts(LENGTHS)


@pytest.fixture(scope="module")
def make(tiny_model):
    """Make an ElmoVectorizer of the tiny model that splits at white space."""

    def make_vectorizer(**parameters):
        parameters = {"tokenizer": "whitespace"} | parameters
        return ElmoVectorizer(str(tiny_model), **parameters)

    return make_vectorizer


@pytest.fixture(scope="module")
def embed(tiny_model):
    """Give a text's layers (L + 1, T, D) as the slow reference computes them."""
    reference = ReferenceElmo.from_folder(tiny_model)
    known = {}

    def embed_text(text, state=None):
        key = text if state is None else (text, state.h.tobytes())
        if key not in known:
            known[key] = reference.embed(text.split(), state)
        return known[key]

    return embed_text


# ----------------------------------------------------------------- numbers


def compute_idf(texts):
    counts = Counter(token for text in texts for token in set(text.split()))
    n = len(texts)
    idf = {token: math.log((1 + n) / (1 + df)) + 1 for token, df in counts.items()}
    return idf, math.log(1 + n) + 1


MIXES = ["average", "concat", [0.2, -1.0, 3.0]]


@pytest.mark.parametrize("mix", MIXES, ids=str)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_rows_are_those_of_the_reference(pooling, mix, make, embed):
    seen, unseen = TEXTS[:6], [*TEXTS, "never seen cat", "never"]
    vectorizer = make(pooling=pooling, layer_mix=mix).fit(seen)
    rows = vectorizer.transform(unseen)
    assert rows.dtype == np.float32
    idf, rare = compute_idf(seen)
    assert any(token not in idf for text in unseen for token in text.split())
    for text, row in zip(unseen, rows, strict=True):
        weights = [idf.get(token, rare) for token in text.split()]
        pooled = pool_plainly(pooling, embed(text), weights)  # (L, D)
        if mix == "concat":
            expected = pooled.ravel()
        else:
            factors = [1 / 3] * 3 if mix == "average" else mix
            expected = np.tensordot(factors, pooled, axes=1)
        size = max(1.0, np.abs(pooled).max())  # sums grow with the text
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=ATOL * size)


@pytest.mark.parametrize("mix", MIXES, ids=str)
def test_several_poolings_stand_side_by_side_in_the_given_order(mix, make):
    names = ["max", "idf", "final", "mean"]
    rows = make(pooling=names, layer_mix=mix).fit_transform(TEXTS)
    parts = [make(pooling=name, layer_mix=mix).fit_transform(TEXTS) for name in names]
    np.testing.assert_allclose(rows, np.hstack(parts), atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", [0, 1, 2]),
        ("top", [2]),
        (0, [0]),
        (1, [1]),
        (-1, [2]),
        (-3, [0]),
        ([2, 0], [2, 0]),
        ([1, 2, 0], [1, 2, 0]),
        ((-1, -2), [2, 1]),
        (np.int32(1), [1]),
        (np.array([2, 1]), [2, 1]),
        (range(0, 3, 2), [0, 2]),
    ],
    ids=str,
)
def test_layers_in_every_form_and_order(layers, expected, make, embed):
    vectorizer = make(layers=layers, layer_mix="concat").fit(TEXTS[:1])
    assert vectorizer.layers_ == tuple(expected)
    rows = vectorizer.transform(TEXTS[:4])
    for text, row in zip(TEXTS, rows, strict=False):
        np.testing.assert_allclose(
            row, embed(text).mean(axis=1)[expected].ravel(), atol=ATOL
        )


def test_weights_belong_to_the_layers_in_the_order_named(make, embed):
    for order in permutations(range(3)):
        vectorizer = make(layers=list(order), layer_mix=[1.0, 10.0, 100.0])
        row = vectorizer.fit_transform(TEXTS[:1])[0]
        means = embed(TEXTS[0]).mean(axis=1)
        expected = means[order[0]] + 10 * means[order[1]] + 100 * means[order[2]]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", ["max", "idf"], "final"], ids=str)
@pytest.mark.parametrize("layers", ["all", [2, 0]], ids=str)
def test_learned_mix_is_scale_times_weights(pooling, layers, make):
    y = np.arange(len(TEXTS)) % 3
    vectorizer = make(pooling=pooling, layers=layers, layer_mix="learned")
    rows = vectorizer.fit_transform(TEXTS, y)
    assert vectorizer.layer_weights_.shape == (3 if layers == "all" else 2,)
    assert vectorizer.layer_weights_.sum() == pytest.approx(1)
    plain = make(
        pooling=pooling,
        layers=layers,
        layer_mix=vectorizer.layer_weights_.tolist(),
    ).fit_transform(TEXTS)
    np.testing.assert_allclose(rows, vectorizer.layer_scale_ * plain, atol=1e-5)
    np.testing.assert_allclose(vectorizer.transform(TEXTS), rows, atol=ATOL)
    again = clone(vectorizer).fit(TEXTS, y)
    np.testing.assert_array_equal(again.layer_weights_, vectorizer.layer_weights_)


def test_learned_mix_finds_the_layers_that_know_the_answer(make):
    """Of equal words in different texts, the context-free layer knows nothing."""
    texts = [f"the {text}" for text in make_texts([3] * 400, seed=9)]
    top = make(layers="top", pooling="first").fit_transform(texts)
    y = top[:, 8] > np.median(top[:, 8])  # the backward half has read the text
    weights = make(layer_mix="learned", pooling="first").fit(texts, y).layer_weights_
    assert weights[0] < 0.2
    assert np.argmax(weights) == 2


@pytest.mark.parametrize("y", [None, [0, 1], [0] * 12], ids=["none", "two", "same"])
def test_learned_mix_without_useful_labels_is_refused(y, make):
    with pytest.raises(ValueError, match=r"\by\b"):
        make(layer_mix="learned").fit(TEXTS, y)


def test_learned_mix_with_labels_in_a_series_of_odd_index(make):
    y = pd.Series(np.arange(12) % 2, index=np.arange(12)[::-1] * 7)
    weights = make(layer_mix="learned").fit(TEXTS, y).layer_weights_
    expected = make(layer_mix="learned").fit(TEXTS, y.tolist()).layer_weights_
    np.testing.assert_allclose(weights, expected)


def test_learned_mix_with_empty_and_missing_texts(make):
    texts = [*TEXTS, "", None]
    vectorizer = make(layer_mix="learned")
    rows = vectorizer.fit_transform(texts, np.arange(14) % 2)
    assert not rows[-2:].any()
    assert np.isfinite(vectorizer.layer_weights_).all()


def test_normalized_rows_have_unit_length_and_the_same_direction(make):
    texts = [*TEXTS, ""]
    for parameters in ({}, {"pooling": ["sum", "max"]}, {"layer_mix": "concat"}):
        plain = make(**parameters).fit_transform(texts)
        rows = make(normalize=True, **parameters).fit_transform(texts)
        assert not rows[-1].any()
        lengths = np.linalg.norm(plain, axis=1, keepdims=True)
        lengths[-1] = 1
        np.testing.assert_allclose(rows, plain / lengths, atol=1e-6)


def test_learned_and_normalized_together(make):
    y = np.arange(12) % 2
    rows = make(layer_mix="learned", normalize=True).fit_transform(TEXTS, y)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_warm_state_is_the_reference_begun_from_that_state(make, embed, tiny_model):
    h, c = open_model(tiny_model).encoder("cpu", "float32").warm_state()
    state = RowState(h=h.double().numpy(), c=c.double().numpy())
    rows = make(state="warm", layer_mix="concat").fit_transform(TEXTS[:6])
    for text, row in zip(TEXTS, rows, strict=False):
        expected = embed(text, state).mean(axis=1).ravel()
        np.testing.assert_allclose(row, expected, atol=ATOL)
    cold = make(layer_mix="concat").fit_transform(TEXTS[:6])
    assert np.abs(rows - cold).max() > 1e-3
    np.testing.assert_array_equal(rows[:, :16], cold[:, :16])  # layer 0 has no state


@pytest.mark.parametrize(
    ("precision", "mean_error", "largest_error"),
    [("bfloat16", 0.01, 0.1), ("int8", 0.02, 0.15)],
)
@pytest.mark.parametrize("state", ["zero", "warm"])
def test_lower_precision_is_near_float32(
    precision, mean_error, largest_error, state, make
):
    exact = make(layer_mix="concat", state=state).fit_transform(TEXTS)
    rows = make(layer_mix="concat", state=state, precision=precision)
    rows = rows.fit_transform(TEXTS)
    assert rows.dtype == np.float32
    error = np.abs(rows - exact)
    assert error.mean() < mean_error
    assert error.max() < largest_error
    assert error[:, 16:].max() > 0  # it does something


# -------------------------------------------- a row depends on its text alone

ROW_PARAMETERS = [
    {},
    {"pooling": list(POOLINGS), "layer_mix": "concat"},
    {"state": "warm"},
    {"layer_mix": "learned", "pooling": ["final", "idf"]},
    {"precision": "bfloat16"},
    {"precision": "int8"},
    {"max_tokens": 7},
]


def tolerance(vectorizer, rows):
    """Say how far rows may move.

    Sums of 200 tokens are as much larger than a mean; and where a lower precision
    rounds a product of another height to the other side, the next steps see it.
    """
    if vectorizer.precision == "float32":
        return ATOL * max(1.0, float(np.abs(rows).max()))
    return 0.02


@pytest.mark.parametrize("parameters", ROW_PARAMETERS, ids=str)
def test_rows_do_not_depend_on_batch_mates_or_order(parameters, make):
    lengths = [*range(1, 201, 13), 1, 1, 200]
    texts = make_texts(lengths, seed=4)
    vectorizer = make(**parameters).fit(texts, np.arange(len(texts)) % 2)
    rows = vectorizer.transform(texts)
    atol = tolerance(vectorizer, rows)
    alone = np.vstack([vectorizer.transform([text]) for text in texts])
    np.testing.assert_allclose(alone, rows, rtol=0, atol=atol)
    order = np.random.default_rng(1).permutation(len(texts))
    shuffled = vectorizer.transform([texts[i] for i in order])
    np.testing.assert_allclose(shuffled, rows[order], rtol=0, atol=atol)
    some = vectorizer.transform(texts[3:9])
    np.testing.assert_allclose(some, rows[3:9], rtol=0, atol=atol)


@pytest.mark.parametrize("parameters", ROW_PARAMETERS, ids=str)
@pytest.mark.parametrize("batch_tokens", [1, 7, 1000])
def test_rows_do_not_depend_on_batch_tokens(batch_tokens, parameters, make):
    y = np.arange(len(TEXTS)) % 2
    vectorizer = make(**parameters).fit(TEXTS, y)
    rows = vectorizer.transform(TEXTS)
    other = vectorizer.set_params(batch_tokens=batch_tokens).transform(TEXTS)
    atol = tolerance(vectorizer, rows)
    np.testing.assert_allclose(other, rows, rtol=0, atol=atol)


def test_rows_of_many_texts_are_those_of_each_alone(make):
    """More rows than stand side by side."""
    texts = make_texts(np.random.default_rng(2).integers(1, 9, 700), seed=5)
    vectorizer = make().fit(texts)
    rows = vectorizer.transform(texts)
    for i in range(0, 700, 50):
        alone = vectorizer.transform([texts[i]])[0]
        np.testing.assert_allclose(alone, rows[i], rtol=0, atol=ATOL)


def test_rows_of_several_chunks_are_those_of_each_alone(make, monkeypatch):
    vectorizer = make(pooling=["mean", "idf"]).fit(TEXTS)
    rows = vectorizer.transform(TEXTS + TEXTS[::-1])
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 5)
    chunked = vectorizer.transform(TEXTS + TEXTS[::-1])
    np.testing.assert_allclose(chunked, rows, rtol=0, atol=ATOL)
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_CHARACTERS", 100)
    chunked = vectorizer.transform(TEXTS + TEXTS[::-1])
    np.testing.assert_allclose(chunked, rows, rtol=0, atol=ATOL)


def test_idf_of_several_chunks_is_that_of_all_texts(make, monkeypatch):
    expected = make(pooling="idf").fit(TEXTS)
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 5)
    vectorizer = make(pooling="idf").fit(TEXTS)
    assert vectorizer.idf_ == expected.idf_
    assert vectorizer.idf_unseen_ == expected.idf_unseen_


def test_rows_do_not_depend_on_the_number_of_threads(make):
    vectorizer = make(layer_mix="concat").fit(TEXTS)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = vectorizer.transform(TEXTS)
        torch.set_num_threads(2)
        two = vectorizer.transform(TEXTS)
        assert torch.get_num_threads() == 2  # left as the user has set it
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(two, one, rtol=0, atol=ATOL)


@pytest.mark.parametrize("cache", [False, True])
def test_several_python_threads_may_use_one_vectorizer(cache, make, tmp_path):
    texts = make_texts(np.random.default_rng(3).integers(1, 30, 60), seed=6)
    vectorizer = make(pooling=["mean", "idf"], cache=tmp_path if cache else None)
    vectorizer.fit(texts)
    expected = clone(vectorizer).set_params(cache=None).fit(texts).transform(texts)
    parts = [slice(i, i + 30) for i in range(0, 31, 5)] * 3
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda part: vectorizer.transform(texts[part]), parts))
    for part, rows in zip(parts, found, strict=True):
        np.testing.assert_allclose(rows, expected[part], rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)
def test_rows_do_not_depend_on_joblibs_workers(backend, make):
    vectorizer = make(layer_mix="concat", state="warm").fit(TEXTS)
    expected = vectorizer.transform(TEXTS)
    parts = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(vectorizer.transform)(TEXTS[i::3]) for i in range(3)
    )
    for i, rows in enumerate(parts):
        np.testing.assert_allclose(rows, expected[i::3], rtol=0, atol=ATOL)


def test_equal_texts_have_equal_rows(make):
    texts = [TEXTS[2], TEXTS[0], TEXTS[2], *TEXTS, TEXTS[2]]
    rows = make(layer_mix="concat").fit_transform(texts)
    for i in (2, 5, -1):
        np.testing.assert_array_equal(rows[i], rows[0])


def test_texts_that_differ_where_tokens_are_joined_are_kept_apart(make):
    vectorizer = make(tokenizer="pretokenized")
    rows = vectorizer.fit_transform([["a b"], ["a", "b"], ["ab"], ["a", "", "b"]])
    assert len(np.unique(rows, axis=0)) == 4


def test_transform_is_that_of_fit_transform(make):
    for parameters in ROW_PARAMETERS[:4]:
        vectorizer = make(**parameters)
        y = np.arange(len(TEXTS)) % 2
        rows = vectorizer.fit_transform(TEXTS, y)
        np.testing.assert_allclose(
            vectorizer.transform(TEXTS), rows, rtol=0, atol=tolerance(vectorizer, rows)
        )


def test_fit_on_other_texts_changes_nothing_without_idf_or_labels(make):
    first = make(pooling=["mean", "final"]).fit(TEXTS[:2]).transform(TEXTS)
    second = make(pooling=["mean", "final"]).fit(["else"]).transform(TEXTS)
    np.testing.assert_array_equal(first, second)


def test_transform_changes_neither_the_estimator_nor_the_texts(make):
    vectorizer = make(pooling=["mean", "idf"]).fit(TEXTS)
    before = pickle.dumps(vectorizer)
    texts = pd.Series([*TEXTS, None, ""])
    copy = texts.copy(deep=True)
    vectorizer.transform(texts)
    assert pickle.dumps(vectorizer) == before
    pd.testing.assert_series_equal(texts, copy)


def test_rows_are_of_the_callers_own(make):
    vectorizer = make().fit(TEXTS)
    rows = vectorizer.transform(TEXTS)
    expected = rows.copy()
    rows[:] = 0
    np.testing.assert_array_equal(vectorizer.transform(TEXTS), expected)
    assert rows.flags.writeable
    assert rows.flags.c_contiguous


# ------------------------------------------------------------ tokens and cuts


def test_max_tokens_cuts_the_rest(make):
    cut = [" ".join(text.split()[:4]) for text in TEXTS]
    names = ["mean", "last", "final", "idf"]
    rows = make(max_tokens=4, pooling=names).fit_transform(TEXTS)
    np.testing.assert_allclose(
        rows, make(pooling=names).fit_transform(cut), rtol=0, atol=ATOL
    )


@pytest.mark.parametrize(
    ("tokenizer", "texts"),
    [
        ("words", ["The cat, it sat."]),
        ("whitespace", ["The cat , it sat ."]),
        ("pretokenized", [["The", "cat", ",", "it", "sat", "."]]),
        (lambda text: text.split("|"), ["The|cat|,|it|sat|."]),
        (lambda text: tuple(text.split("|")), ["The|cat|,|it|sat|."]),
    ],
    ids=["words", "whitespace", "pretokenized", "callable", "tuple"],
)
def test_tokenizers_lead_to_the_same_row(tokenizer, texts, make, embed):
    row = make(tokenizer=tokenizer).fit_transform(texts)[0]
    expected = embed("The cat , it sat .").mean(axis=(0, 1))
    np.testing.assert_allclose(row, expected, atol=ATOL)


def test_error_of_a_tokenizer_names_the_row(make):
    def tokenize(text):
        return text.split() if text != "bad" else 3

    with pytest.raises(TypeError, match=r"tokenizer.*row 2") as caught:
        make(tokenizer=tokenize).fit_transform(["a", "b", "bad"])
    assert isinstance(caught.value, TextTypeError)


def test_error_of_a_tokenizer_names_the_row_of_a_later_chunk(make, monkeypatch):
    monkeypatch.setattr("sklearn_elmo.base._CHUNK_TEXTS", 2)
    tokenize = {"a": ["a"], "b": ["b"], "c": 3}.get
    with pytest.raises(TypeError, match="row 4"):
        make(tokenizer=tokenize).fit_transform(["a", "b", "a", "b", "c"])


# ----------------------------------------------------------------- containers


class Color(StrEnum):
    RED = "red cat"


T3 = ["a cat", "sat on", "the mat !"]
CONTAINERS = {
    "tuple": tuple,
    "object": lambda t: np.array(t, dtype=object),
    "U": np.array,
    "object of np.str_": lambda t: np.array([np.str_(x) for x in t], dtype=object),
    "read-only": lambda t: _read_only(np.array(t, dtype=object)),
    "column": lambda t: np.array(t, dtype=object)[:, None],
    "column of U": lambda t: np.array(t)[:, None],
    "strided": lambda t: np.array([x for text in t for x in (text, "no")])[::2],
    "Series": pd.Series,
    "Series object": lambda t: pd.Series(t, dtype=object),
    "Series string": lambda t: pd.Series(t, dtype="string"),
    "Series pyarrow": lambda t: pd.Series(t, dtype="string[pyarrow]"),
    "Series category": lambda t: pd.Series(t, dtype="category"),
    "Series same index": lambda t: pd.Series(t, index=[1] * len(t)),
    "Index": pd.Index,
    "frame": lambda t: pd.DataFrame({"text": t}),
    "polars": pl.Series,
    "polars category": lambda t: pl.Series(t, dtype=pl.Categorical),
    "polars enum": lambda t: pl.Series(t, dtype=pl.Enum(sorted(set(t)))),
    "polars frame": lambda t: pl.DataFrame({"text": t}),
    "pyarrow": pa.array,
    "pyarrow chunked": lambda t: pa.chunked_array([t]),
    "generator": lambda t: (text for text in t),
    "iterator": iter,
    "map": lambda t: map(str, t),
    "dict values": lambda t: dict(enumerate(t)).values(),
}
if hasattr(np.dtypes, "StringDType"):  # from NumPy 2 on
    CONTAINERS["StringDType"] = lambda t: np.array(t, dtype=np.dtypes.StringDType())


def _read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("kind", CONTAINERS)
def test_container_makes_no_difference(kind, make):
    convert = CONTAINERS[kind]
    expected = make().fit_transform(T3)
    vectorizer = make(pooling=["mean", "idf"], layer_mix="learned")
    y = [0, 1, 1]
    reference = clone(vectorizer).fit(T3, y)
    np.testing.assert_allclose(make().fit_transform(convert(T3)), expected, atol=ATOL)
    fitted = clone(vectorizer).fit(convert(T3), y)
    np.testing.assert_allclose(fitted.layer_weights_, reference.layer_weights_)
    assert fitted.idf_ == reference.idf_
    rows = fitted.transform(convert(T3))
    np.testing.assert_allclose(rows, reference.transform(T3), atol=ATOL)
    rows = clone(vectorizer).fit_transform(convert(T3), y)
    np.testing.assert_allclose(rows, reference.transform(T3), atol=ATOL)


def test_subclass_of_str_is_its_text(make):
    rows = make().fit_transform([Color.RED, np.str_("red cat"), "red cat"])
    np.testing.assert_array_equal(rows[0], rows[2])
    np.testing.assert_array_equal(rows[1], rows[2])


MISSING = {
    "None": ["a", None],
    "nan": ["a", float("nan")],
    "numpy nan": ["a", np.float32("nan")],
    "NA": ["a", pd.NA],
    "NaT": ["a", pd.NaT],
    "object": np.array(["a", None], dtype=object),
    "Series str": pd.Series(["a", None]),
    "Series object": pd.Series(["a", None], dtype=object),
    "Series string": pd.Series(["a", None], dtype="string"),
    "Series category": pd.Series(["a", None], dtype="category"),
    "frame": pd.DataFrame({"text": ["a", None]}),
    "polars": pl.Series(["a", None]),
    "polars category": pl.Series(["a", None], dtype=pl.Categorical),
    "pyarrow": pa.array(["a", None]),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_text_is_a_zero_row_or_an_error(kind, make):
    texts = MISSING[kind]
    rows = make(pooling=list(POOLINGS)).fit_transform(texts)
    assert rows[0].any()
    assert not rows[1].any()
    strict = make(missing="error")
    with pytest.raises(ValueError, match=r"Row 1 .*missing.*missing='zero'") as caught:
        strict.fit(texts)
    assert isinstance(caught.value, TextValueError)
    with pytest.raises(ValueError, match="Row 1 "):
        strict.fit(["a"]).transform(texts)


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000\xa0", "\x1f"])
@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_white_space_is_a_zero_row(text, tokenizer, make):
    vectorizer = make(
        tokenizer=tokenizer, pooling=list(POOLINGS), normalize=True, missing="error"
    )
    rows = vectorizer.fit_transform(["a", text])
    assert rows[0].any()
    assert not rows[1].any()


def test_nothing_but_zero_rows(make):
    vectorizer = make(pooling=list(POOLINGS), layer_mix="concat")
    rows = vectorizer.fit_transform(["", None, " "])
    assert rows.shape == (3, 8 * 3 * 16)
    assert not rows.any()
    assert vectorizer.transform(["a"]).any()


def test_texts_of_no_tokens_are_zero_rows(make):
    rows = make(tokenizer="pretokenized").fit_transform([[], ["a"], None])
    assert not rows[0].any()
    assert rows[1].any()
    assert not rows[2].any()


@pytest.mark.parametrize(
    "empty",
    [
        [],
        (),
        np.array([], dtype=object),
        np.array([]),
        np.array([], dtype=str),
        np.empty((0, 1), dtype=object),
        pd.Series([], dtype=object),
        pd.Series([], dtype="string"),
        pd.DataFrame({"text": []}),
        pl.Series([], dtype=pl.String),
        iter(()),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
@pytest.mark.parametrize("mix", ["average", "concat"])
def test_no_texts_give_no_rows(empty, mix, make):
    names = ["mean", "idf"]
    vectorizer = make(pooling=names, layer_mix=mix).fit(["a"])
    n_features = vectorizer.n_features_out_
    rows = vectorizer.transform(empty)
    assert rows.shape == (0, n_features)
    assert rows.dtype == np.float32
    rows = make(pooling=names, layer_mix=mix).fit_transform(empty)
    assert rows.shape == (0, n_features)
    unseen = make(pooling=names, layer_mix=mix).fit(empty).transform(["a"])
    assert unseen.any()


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_no_texts_give_an_empty_frame(frame, make):
    vectorizer = make().set_output(transform=frame)
    table = vectorizer.fit(["a"]).transform([])
    assert table.shape == (0, 16)
    assert list(table.columns) == list(vectorizer.get_feature_names_out())


def test_one_text_is_enough_to_fit(make):
    rows = make(pooling="idf", normalize=True).fit_transform(["a cat"])
    assert rows.shape == (1, 16)
    assert np.isfinite(rows).all()


# ------------------------------------------------------------------ bad input

BAD_INPUT = [
    ("a bare text", ValueError, r"bare str.*\[text\]"),
    (np.str_("a bare text"), ValueError, r"\[text\]"),
    (b"bytes", TypeError, "bytes.*decode"),
    (bytearray(b"bytes"), TypeError, "bytearray.*decode"),
    ({"text": "a"}, TypeError, "dict"),
    ({"a", "b"}, TypeError, "set"),
    (frozenset({"a"}), TypeError, "frozenset"),
    (None, TypeError, "NoneType"),
    (3, TypeError, "int"),
    (2.5, TypeError, "float"),
    (np.array("a"), ValueError, r"0-d.*\[text\]"),
    (["a", b"caf\xc3"], TypeError, r"Row 1 .*bytes \(b'caf.*\.decode"),
    (["a", "b", 3], TypeError, r"Row 2 .*int \(3\).*str"),
    ([True, "a"], TypeError, r"Row 0 .*bool \(True\)"),
    (["a", 2.5], TypeError, r"Row 1 .*float \(2\.5\)"),
    (["a", float("inf")], TypeError, r"Row 1 .*float \(inf\)"),
    (["a", np.int64(7)], TypeError, r"Row 1 .*int64 .*7"),
    (["a", ["b", "c"]], TypeError, r"Row 1 .*list .*pretokenized"),
    (["a", ("b", "c")], TypeError, r"Row 1 .*tuple .*pretokenized"),
    (["a", {"b": 1}], TypeError, r"Row 1 .*dict"),
    (["a", object()], TypeError, r"Row 1 .*object"),
    ([["a", "b"], ["c", "d"]], TypeError, r"Row 0 .*list .*pretokenized"),
    (np.array([1, 2]), TypeError, r"Row 0 .*int .*1"),
    (np.array([b"a", b"b"]), TypeError, r"Row 0 .*bytes .*decode"),
    (pd.Series([1, 2]), TypeError, r"Row 0 .*int .*1"),
    (pd.Series(["a", 2], index=[5, 6]), TypeError, r"Row 1 .*int .*2"),
    (pl.Series([1, 2]), TypeError, r"Row 0 .*int .*1"),
    (pd.to_datetime(pd.Series(["2020-01-01"])), TypeError, r"Row 0 .*Timestamp"),
    (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, r"\(1, 2\).*ColumnTransf"),
    (pl.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, r"\(1, 2\).*ColumnTransf"),
    (np.array([["x", "y"]]), ValueError, r"\(1, 2\).*ColumnTransformer"),
    (np.array([["x", "y"]], dtype=object), ValueError, "ColumnTransformer"),
    (pd.DataFrame(index=[0, 1]), ValueError, r"\(2, 0\)"),
    (pl.LazyFrame({"a": ["x"]}), TypeError, "LazyFrame.*collect"),
]


def name_input(value):
    return re.sub(r"\W+", " ", f"{value!r}")[:25] if not callable(value) else "lazy"


@pytest.mark.parametrize("how", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize(("bad", "error", "words"), BAD_INPUT, ids=name_input)
def test_bad_input_says_where_what_and_how_to_mend_it(bad, error, words, how, make):
    vectorizer = make()
    if how == "transform":
        vectorizer.fit(["a"])
    with pytest.raises(error, match=words) as caught:
        getattr(vectorizer, how)(bad)
    assert isinstance(caught.value, TextTypeError | TextValueError)
    assert "ElmoVectorizer" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_message_cuts_quoted_text(make):
    with pytest.raises(TypeError) as caught:
        make().fit([b"secret " * 100])
    assert str(caught.value).count("secret") < 7


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (["a cat"], TypeError, r"Row 0 .*str \('a cat'\).*pretokenized"),
        ("a cat", ValueError, "bare str"),
        ([["a", 1]], TypeError, r"Token 1 of row 0 .*int \(1\)"),
        ([["a"], ["b", None]], TypeError, r"Token 1 of row 1 .*NoneType"),
        ([["a"], [b"b"]], TypeError, r"Token 0 of row 1 .*bytes.*decode"),
        ([["a"], [["b"]]], TypeError, r"Token 0 of row 1 .*list"),
        ([["a"], 3], TypeError, r"Row 1 .*int \(3\)"),
        ([{"a": 1}], TypeError, r"Row 0 .*dict"),
    ],
    ids=name_input,
)
def test_bad_token_lists_say_where(bad, error, words, make):
    with pytest.raises(error, match=words):
        make(tokenizer="pretokenized").fit(bad)


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        pd.Series,
        lambda t: pl.Series(t),
        lambda t: (x for x in t),
        lambda t: [np.array(x) for x in t],
        lambda t: pd.DataFrame({"tokens": t}),
        lambda t: _fill(np.empty(len(t), dtype=object), t),
    ],
)
def test_token_lists_come_in_any_container(convert, make):
    tokens = [["a", "cat"], ["on"], ["the", "mat"]]
    expected = make().fit_transform([" ".join(x) for x in tokens])
    rows = make(tokenizer="pretokenized").fit_transform(convert(tokens))
    np.testing.assert_allclose(rows, expected, atol=ATOL)


def _fill(array, values):
    array[:] = values
    return array


def test_bad_parameter_comes_before_bad_input(make):
    """What is asked at fit is refused before a generator is read."""
    read = []
    texts = (read.append(text) or text for text in T3)
    with pytest.raises(InvalidParameterError):
        make(pooling="average").fit(texts)
    assert read == []


def test_failed_fit_leaves_the_old_fit_or_none(make):
    vectorizer = make(layer_mix="learned", pooling=["mean", "idf"])
    vectorizer.fit(TEXTS, np.arange(12) % 2)
    before = vectorizer.transform(TEXTS)
    with pytest.raises(ValueError, match="y"):
        vectorizer.fit(["quite", "other"], [1])
    try:
        after = vectorizer.transform(TEXTS)
    except NotFittedError:
        return
    np.testing.assert_array_equal(after, before)


def test_refit_forgets_what_it_no_longer_learns(make):
    vectorizer = make(layer_mix="learned", pooling="idf")
    vectorizer.fit(TEXTS, np.arange(12) % 2)
    vectorizer.set_params(layer_mix="average", pooling="mean").fit(TEXTS)
    learned = {name for name in vars(vectorizer) if name.endswith("_")}
    assert learned == {name for name in vars(make().fit(TEXTS)) if name.endswith("_")}


# ---------------------------------------------------------------- fitted state


@pytest.mark.parametrize("call", ["transform", "get_feature_names_out"])
def test_before_fit_it_is_not_fitted(call, make):
    arguments = [T3] if call == "transform" else []
    with pytest.raises(NotFittedError):
        getattr(make(), call)(*arguments)


def test_not_fitted_comes_before_bad_input(make):
    with pytest.raises(NotFittedError):
        make().transform("bare")


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 0},
        {"layers": [2, 1, 0]},
        {"layer_mix": "concat"},
        {"layer_mix": [1, 2, 3]},
        {"layer_mix": "learned"},
        {"pooling": "max"},
        {"pooling": ["mean", "max"]},
        {"pooling": "idf"},
    ],
    ids=str,
)
def test_features_changed_after_fit_are_refused(change, make):
    vectorizer = make().fit(T3)
    vectorizer.set_params(**change)
    with pytest.raises(ValueError, match=r"since it was fitted.*Fit again"):
        vectorizer.transform(T3)
    names = vectorizer.fit(T3, [0, 1, 1]).get_feature_names_out()
    assert vectorizer.transform(T3).shape == (3, len(names))


@pytest.mark.parametrize(
    "change",
    [
        {"batch_tokens": 3},
        {"verbose": True},
        {"device": "cpu"},
        {"layers": [0, 1, 2]},
        {"layers": range(-3, 0)},
        {"pooling": ["mean"]},
    ],
    ids=str,
)
def test_change_after_fit_that_means_the_same_is_fine(change, make, capsys):
    vectorizer = make().fit(T3)
    expected = vectorizer.transform(T3)
    rows = vectorizer.set_params(**change).transform(T3)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=ATOL)


def test_other_weights_under_the_same_name_are_refused(
    tiny_model, make_model, tmp_path
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    vectorizer = ElmoVectorizer(str(folder)).fit(T3)
    expected = vectorizer.transform(T3)
    assert re.fullmatch(r"[0-9a-f]{64}", vectorizer.model_digest_)
    kept = pickle.dumps(vectorizer)
    shutil.copy(make_model(seed=8) / "weights.hdf5", folder / "weights.hdf5")
    for fitted in (vectorizer, pickle.loads(kept)):
        with pytest.raises(ModelMismatchError, match=r"model.*[Ff]it") as caught:
            fitted.transform(T3)
        assert isinstance(caught.value, ValueError)
        assert fitted.model_digest_[:8] in str(caught.value)
    shutil.copy(tiny_model / "weights.hdf5", folder / "weights.hdf5")
    np.testing.assert_array_equal(vectorizer.transform(T3), expected)


def test_other_options_under_the_same_name_are_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    vectorizer = ElmoVectorizer(str(folder)).fit(T3)
    path = folder / "options.json"
    options = json.loads(path.read_text("utf-8"))
    options["lstm"]["cell_clip"] = 0.01
    path.write_text(json.dumps(options), "utf-8")
    with pytest.raises(ModelMismatchError):
        vectorizer.transform(T3)


def test_the_same_model_elsewhere_is_accepted(tiny_model, tmp_path):
    vectorizer = ElmoVectorizer(str(tiny_model)).fit(T3)
    expected = vectorizer.transform(T3)
    folder = shutil.copytree(tiny_model, tmp_path / "elsewhere")
    rows = vectorizer.set_params(model=str(folder)).transform(T3)
    np.testing.assert_array_equal(rows, expected)


def test_damaged_weights_are_a_value_error(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "weights.hdf5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"weights\.hdf5"):
        ElmoVectorizer(str(folder)).fit(T3)


NAMES = [
    ({}, "elmo_layers0-1-2_average_mean_0"),
    ({"layers": "top"}, "elmo_layer2_mean_0"),
    ({"layers": -3, "pooling": "max"}, "elmo_layer0_max_0"),
    ({"layer_mix": "concat"}, "elmo_layer0_mean_0"),
    ({"layer_mix": "concat", "layers": [2, 0]}, "elmo_layer2_mean_0"),
]


@pytest.mark.parametrize(("parameters", "first"), NAMES, ids=str)
def test_feature_names_say_layer_pooling_and_index(parameters, first, make):
    names = make(**parameters).fit(T3).get_feature_names_out()
    assert names[0] == first


@pytest.mark.parametrize("mix", ["average", "concat", "learned", "weights"])
@pytest.mark.parametrize("layers", ["all", "top", 0, [2, 0]], ids=str)
@pytest.mark.parametrize(
    "pooling", ["mean", ["idf"], ["max", "mean"], list(POOLINGS)], ids=str
)
def test_feature_names_are_unique_and_right_in_number(mix, layers, pooling, make):
    n_layers = {"all": 3, "[2, 0]": 2}.get(str(layers), 1)
    vectorizer = make(
        layers=layers,
        pooling=pooling,
        layer_mix=[1.0] * n_layers if mix == "weights" else mix,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedParameterWarning)
        rows = vectorizer.fit_transform(T3, [0, 1, 1])
    names = vectorizer.get_feature_names_out()
    assert isinstance(names, np.ndarray)
    assert names.dtype == object
    assert all(type(name) is str for name in names)
    n_poolings = 1 if isinstance(pooling, str) else len(pooling)
    n_blocks = n_poolings * (n_layers if mix == "concat" else 1)
    assert len(names) == len(set(names)) == 16 * n_blocks
    assert rows.shape == (3, vectorizer.n_features_out_) == (3, len(names))
    for name in [pooling] if isinstance(pooling, str) else pooling:
        assert sum(f"_{name}_" in feature for feature in names) == len(names) / (
            n_poolings
        )


def test_feature_name_tells_what_its_column_holds(make):
    """Block by block: layer and pooling in the name are those of the numbers."""
    vectorizer = make(layers=[2, 0], layer_mix="concat", pooling=["max", "last"])
    rows = vectorizer.set_output(transform="pandas").fit_transform(T3)
    for layer in (0, 2):
        for pooling in ("max", "last"):
            alone = make(layers=layer, pooling=pooling).fit_transform(T3)
            columns = [f"elmo_layer{layer}_{pooling}_{i}" for i in range(16)]
            np.testing.assert_allclose(rows[columns], alone, atol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {"layers": 0, "state": "warm"},
        {"layers": 1, "layer_mix": "learned"},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["fit", "fit_transform"])
def test_parameter_without_effect_warns_where_the_user_calls(parameters, call, make):
    with pytest.warns(UnusedParameterWarning) as caught:
        getattr(make(**parameters), call)(T3, [0, 1, 1])
    assert [warning.filename for warning in caught] == [__file__]


def test_no_warning_and_no_output_in_ordinary_use(make, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", LongTokenWarning)
        make(layer_mix="learned", pooling=list(POOLINGS), state="warm").fit_transform(
            TEXTS, np.arange(12) % 2
        )
    assert capfd.readouterr() == ("", "")


def test_verbose_shows_progress_on_stderr_alone(make, capfd):
    make(verbose=True).fit_transform([*TEXTS, *TEXTS, "", None])
    out, err = capfd.readouterr()
    assert out == ""
    assert "26/26" in err


# -------------------------------------------------------------------- pickles


def run_fresh(code: str, *arguments: str) -> str:
    """Run code in a new process and return its last line of output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("fitted", [False, True])
def test_pickles_carry_no_weights(fitted, make_model, tmp_path):
    big = make_model(seed=1, cell_dim=128, projection_dim=64)
    assert (big / "weights.hdf5").stat().st_size > 1_000_000
    vectorizer = ElmoVectorizer(str(big), layer_mix="learned", cache=tmp_path / "c")
    if fitted:
        vectorizer.fit(T3, [0, 1, 1])
        vectorizer.transform(T3)
    assert len(pickle.dumps(vectorizer)) < 100_000
    joblib.dump(vectorizer, tmp_path / "vectorizer.joblib")
    assert (tmp_path / "vectorizer.joblib").stat().st_size < 100_000
    assert len(pickle.dumps(clone(vectorizer))) < 100_000
    assert not any(isinstance(v, torch.Tensor) for v in vars(vectorizer).values())


@pytest.mark.slow
def test_pickle_works_in_a_fresh_process(make, tmp_path):
    vectorizer = make(pooling=["mean", "idf"], layer_mix="learned", state="warm")
    expected = vectorizer.fit_transform(TEXTS, np.arange(12) % 2)
    vectorizer.set_output(transform="pandas")
    joblib.dump(vectorizer, tmp_path / "vectorizer.joblib")
    code = (
        "import sys, json, joblib, warnings\n"
        "warnings.simplefilter('ignore')  # long tokens\n"
        "v = joblib.load(sys.argv[1])\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps(v.transform(json.loads(sys.argv[2])).values.tolist()))"
    )
    rows = run_fresh(code, str(tmp_path / "vectorizer.joblib"), json.dumps(TEXTS))
    np.testing.assert_allclose(json.loads(rows), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_unpickled_gives_the_same_rows(protocol, make):
    vectorizer = make(pooling=["mean", "idf"]).fit(TEXTS)
    copy = pickle.loads(pickle.dumps(vectorizer, protocol))
    np.testing.assert_array_equal(copy.transform(TEXTS), vectorizer.transform(TEXTS))
    assert copy.get_params() == vectorizer.get_params()


def test_clone_of_a_fitted_vectorizer_is_unfitted_and_equal(make):
    vectorizer = make(layers=[0, 2], pooling=("mean", "max")).fit(T3)
    copy = clone(vectorizer)
    assert copy.get_params() == vectorizer.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(T3)


def test_positional_arguments_are_limited_to_the_model(tiny_model):
    assert ElmoVectorizer("small").model == "small"
    with pytest.raises(TypeError):
        ElmoVectorizer(str(tiny_model), "all")


def test_signature_is_that_of_the_contract():
    assert ElmoVectorizer().get_params() == {
        "model": "default",
        "layers": "all",
        "layer_mix": "average",
        "pooling": "mean",
        "tokenizer": "words",
        "state": "zero",
        "missing": "zero",
        "normalize": False,
        "max_tokens": None,
        "cache": None,
        "device": "auto",
        "precision": "float32",
        "batch_tokens": "auto",
        "split": None,
        "verbose": False,
    }
