"""Checks of the estimators' parameters: what is refused, and in which words."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.errors import InvalidParameterError, SklearnElmoError
from sklearn_elmo.parameters import (
    CONSTRAINTS,
    check_vectorizer_parameters,
    resolve_layers,
)
from sklearn_elmo.store import EmbeddingStore

WRONG = [
    ("model", 3),
    ("model", None),
    ("model", ""),
    ("model", b"default"),
    ("model", ("options.json",)),
    ("model", ("options.json", 3)),
    ("model", {"options": 1}),
    ("layers", "bottom"),
    ("layers", None),
    ("layers", 1.0),
    ("layers", True),
    ("layers", [True, False]),
    ("layers", []),
    ("layers", [0, 1.5]),
    ("layers", ["0"]),
    ("layers", {0, 1}),
    ("layers", {0: 1}),
    ("layers", b"all"),
    ("layers", [[0, 1]]),
    ("layers", np.array([0.0, 1.0])),
    ("layers", np.array([[0, 1]])),
    ("layers", np.array([True, False])),
    ("layer_mix", "mean"),
    ("layer_mix", None),
    ("layer_mix", 1.0),
    ("layer_mix", []),
    ("layer_mix", ["a", "b", "c"]),
    ("layer_mix", [1.0, float("nan"), 1.0]),
    ("layer_mix", [1.0, float("inf"), 1.0]),
    ("layer_mix", [True, False, True]),
    ("layer_mix", np.ones((3, 1))),
    ("layer_mix", {0: 1.0, 1: 1.0, 2: 1.0}),
    ("layer_mix", {0.1, 0.2, 0.3}),
    ("pooling", "average"),
    ("pooling", None),
    ("pooling", []),
    ("pooling", ["mean", "average"]),
    ("pooling", ["mean", None]),
    ("pooling", [["mean"]]),
    ("pooling", {"mean", "max"}),
    ("pooling", 0),
    ("tokenizer", "nltk"),
    ("tokenizer", None),
    ("tokenizer", 1),
    ("tokenizer", ["words"]),
    ("state", "carry"),
    ("state", None),
    ("state", 0),
    ("state", ["zero"]),
    ("missing", "drop"),
    ("missing", None),
    ("normalize", "yes"),
    ("normalize", None),
    ("normalize", 1),
    ("normalize", "l2"),
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_tokens", 2.5),
    ("max_tokens", 10.0),
    ("max_tokens", True),
    ("max_tokens", "10"),
    ("cache", 3),
    ("cache", ""),
    ("cache", b"folder"),
    ("cache", ["folder"]),
    ("device", "gpu"),
    ("device", "cuda:"),
    ("device", "cuda:-1"),
    ("device", "cuda:x"),
    ("device", "CPU"),
    ("device", "cpu\n"),
    ("device", None),
    ("device", 0),
    ("precision", "float16"),
    ("precision", None),
    ("precision", np.float32),
    ("batch_tokens", 0),
    ("batch_tokens", -5),
    ("batch_tokens", "big"),
    ("batch_tokens", 10.0),
    ("batch_tokens", None),
    ("batch_tokens", True),
    ("verbose", -1),
    ("verbose", None),
    ("split", "paragraphs"),
    ("split", True),
    ("verbose", "yes"),
]


def name_case(case):
    return f"{case[0]}={case[1]!r}".replace("\n", "")


@pytest.mark.parametrize("case", WRONG, ids=name_case)
def test_wrong_value_is_refused_at_fit_in_scikit_learns_words(case, tiny_model):
    name, value = case
    # Neither __init__ nor set_params look at values.
    vectorizer = ElmoVectorizer(**({"model": str(tiny_model)} | {name: value}))
    vectorizer.set_params(**{name: value})
    with pytest.raises(InvalidParameterError) as caught:
        vectorizer.fit(["a text"])
    error = caught.value
    assert isinstance(error, ValueError)
    assert isinstance(error, TypeError)
    assert isinstance(error, SklearnElmoError)
    pattern = rf"The '{name}' parameter of ElmoVectorizer must be .+\. Got .+ instead\."
    assert re.fullmatch(pattern, str(error), re.DOTALL)
    assert repr(value)[:30] in str(error)


@pytest.mark.parametrize(
    "case", [c for c in WRONG if c[0] not in ("pooling", "normalize")], ids=name_case
)
def test_token_vectorizer_refuses_the_same(case, tiny_model):
    name, value = case
    vectorizer = ElmoTokenVectorizer(**({"model": str(tiny_model)} | {name: value}))
    with pytest.raises(InvalidParameterError, match=f"'{name}' .*ElmoTokenVectorizer"):
        vectorizer.fit(["a text"])


@pytest.mark.parametrize("case", WRONG, ids=name_case)
def test_wrong_value_set_after_fit_is_refused_at_transform(case, tiny_model):
    name, value = case
    vectorizer = ElmoVectorizer(str(tiny_model)).fit(["a text"])
    vectorizer.set_params(**{name: value})
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        vectorizer.transform(["a text"])


RIGHT = [
    ("layers", "all"),
    ("layers", "top"),
    ("layers", 0),
    ("layers", -1),
    ("layers", np.int64(2)),
    ("layers", [2, 0]),
    ("layers", (0, -1)),
    ("layers", range(3)),
    ("layers", np.array([0, 1])),
    ("layer_mix", [1, 2, 3]),
    ("layer_mix", (0.5, np.float32(0.5), 0)),
    ("layer_mix", np.array([0.2, 0.3, 0.5])),
    ("layer_mix", np.array([1, 2, 3])),
    ("layer_mix", "concat"),
    ("pooling", ["mean", "max"]),
    ("pooling", ("final",)),
    ("pooling", np.array(["mean", "max"])),
    ("tokenizer", str.split),
    ("tokenizer", "whitespace"),
    ("normalize", np.True_),
    ("max_tokens", np.int32(3)),
    ("max_tokens", 10**30),
    ("device", "cpu"),
    ("precision", "bfloat16"),
    ("batch_tokens", np.int64(9)),
    ("batch_tokens", 10**30),
    ("verbose", False),
    ("verbose", 2),
    ("cache", False),
    ("device", torch.device("cpu")),
    ("split", None),
    ("missing", "error"),
    ("state", "warm"),
]


@pytest.mark.parametrize("case", RIGHT, ids=name_case)
def test_right_value_works_and_survives_clone(case, tiny_model):
    name, value = case
    vectorizer = clone(ElmoVectorizer(str(tiny_model), **{name: value}))
    rows = vectorizer.fit_transform(["a text", "b"])
    assert rows.shape == (2, vectorizer.n_features_out_)
    assert np.isfinite(rows).all()
    assert len(set(vectorizer.get_feature_names_out())) == rows.shape[1]
    np.testing.assert_array_equal(vectorizer.transform(["a text", "b"]), rows)
    assert repr(vectorizer).startswith("ElmoVectorizer(")


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_max_tokens_may_be_huge_with_split(tokenizer, tiny_model):
    vectorizer = ElmoVectorizer(str(tiny_model), split="sentences", tokenizer=tokenizer)
    texts = ["One sentence. And another.", ""]
    expected = vectorizer.fit_transform(texts)
    vectorizer.set_params(max_tokens=10**30)
    np.testing.assert_array_equal(vectorizer.fit_transform(texts), expected)


@pytest.mark.parametrize("kind", ["str", "Path", "store"])
def test_cache_may_be_a_path_or_a_store(kind, tiny_model, tmp_path):
    cache = {
        "str": str(tmp_path),
        "Path": Path(tmp_path),
        "store": EmbeddingStore(tmp_path),
    }[kind]
    vectorizer = clone(ElmoVectorizer(str(tiny_model), cache=cache))
    first = vectorizer.fit_transform(["a text"])
    np.testing.assert_array_equal(vectorizer.transform(["a text"]), first)
    assert EmbeddingStore(tmp_path).info()["entries"] == 1


@pytest.mark.parametrize("kind", ["str", "Path", "pair", "list"])
def test_model_may_be_a_folder_or_a_pair(kind, tiny_model):
    pair = (tiny_model / "options.json", str(tiny_model / "weights.hdf5"))
    model = {
        "str": str(tiny_model),
        "Path": tiny_model,
        "pair": pair,
        "list": list(pair),
    }[kind]
    rows = clone(ElmoVectorizer(model)).fit_transform(["a text"])
    expected = ElmoVectorizer(str(tiny_model)).fit_transform(["a text"])
    np.testing.assert_array_equal(rows, expected)


def test_every_parameter_has_a_constraint():
    names = {*ElmoVectorizer().get_params(), *ElmoTokenVectorizer().get_params()}
    assert names == CONSTRAINTS.keys()


def test_defaults_are_accepted():
    check_vectorizer_parameters("ElmoVectorizer", ElmoVectorizer().get_params())
    check_vectorizer_parameters(
        "ElmoTokenVectorizer", ElmoTokenVectorizer().get_params()
    )


def test_message_about_a_huge_value_is_short():
    value = ["mean"] * 100_000
    with pytest.raises(InvalidParameterError) as caught:
        ElmoVectorizer(pooling=value).fit(["a"])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", (0, 1, 2)),
        ("top", (2,)),
        (0, (0,)),
        (-1, (2,)),
        (-3, (0,)),
        (np.int8(-2), (1,)),
        ([2, 0, 1], (2, 0, 1)),
        ((-1, 0), (2, 0)),
        (np.array([1]), (1,)),
        (range(2), (0, 1)),
    ],
)
def test_resolve_layers_counts_from_zero(layers, expected):
    resolved = resolve_layers(layers, 2, "E")
    assert resolved == expected
    assert all(type(layer) is int for layer in resolved)


@pytest.mark.parametrize("layers", [3, -4, [0, 3], [-4], 10**40, [0, -(10**40)]])
def test_layer_outside_the_model_names_the_models_layers(layers, tiny_model):
    with pytest.raises(ValueError, match=r"layers 0, 1, 2") as caught:
        ElmoVectorizer(str(tiny_model), layers=layers).fit(["a"])
    assert "-3" in str(caught.value)  # the lowest that counts from the top


@pytest.mark.parametrize("layers", [[0, 0], [2, -1]])
def test_layer_named_twice_is_refused(layers, tiny_model):
    with pytest.raises(InvalidParameterError, match="layers"):
        ElmoVectorizer(str(tiny_model), layers=layers).fit(["a"])


@pytest.mark.parametrize(
    ("layers", "weights"),
    [("all", [1.0]), ("all", [1, 2, 3, 4]), (0, [1, 2]), ([0, 1], np.ones(3))],
)
@pytest.mark.parametrize("kind", [ElmoVectorizer, ElmoTokenVectorizer])
def test_wrong_number_of_layer_weights_names_both_numbers(
    kind, layers, weights, tiny_model
):
    vectorizer = kind(str(tiny_model), layers=layers, layer_mix=weights)
    n_layers = {"all": 3, "0": 1}.get(str(layers), 2)
    with pytest.raises(InvalidParameterError) as caught:
        vectorizer.fit(["a"])
    assert f"{len(weights)} weight" in str(caught.value)
    assert f"{n_layers} layer" in str(caught.value)


@pytest.mark.parametrize("device", ["cuda:99", "mps"])
def test_device_that_is_not_there_is_refused(device, tiny_model):
    import torch

    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ValueError, match="'device' parameter") as caught:
        ElmoVectorizer(str(tiny_model), device=device).fit(["a"])
    assert isinstance(caught.value, TypeError)
    assert device in str(caught.value)
