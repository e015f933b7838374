"""Layer weights learned from labels."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import check_grad, minimize
from scipy.sparse import csr_array
from scipy.special import softmax

from sklearn_elmo import learned_mix
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.learned_mix import learn_layer_weights

N_TEXTS, N_LAYERS, N_FEATURES = 90, 3, 5


def make_pooled(seed=0, n_texts=N_TEXTS):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_texts, N_LAYERS, N_FEATURES)).astype(np.float32)


def make_target(kind, values):
    """Make a target of a kind from what one layer holds, ``(N, F)``."""
    return {
        "binary": lambda: values[:, 0] > 0,
        "multiclass": lambda: values[:, :3].argmax(axis=1),
        "strings": lambda: np.array(["ham", "spam"])[(values[:, 0] > 0).astype(int)],
        "multilabel": lambda: (values[:, :2] > 0).astype(int),
        "regression": lambda: values[:, 0] * 100.5 + 3000.25,
        "multi-output": lambda: values[:, :2] * [1.5, 1000] + 0.25,
    }[kind]()


KINDS = ["binary", "multiclass", "strings", "multilabel", "regression", "multi-output"]


@pytest.mark.parametrize("informative", range(N_LAYERS))
@pytest.mark.parametrize("kind", KINDS)
def test_informative_layer_gets_most_of_the_weight(kind, informative):
    pooled = make_pooled()
    learned = learn_layer_weights(pooled, make_target(kind, pooled[:, informative]))
    assert learned.weights.shape == (N_LAYERS,)
    assert (learned.weights > 0).all()
    assert learned.weights.sum() == pytest.approx(1)
    assert np.argmax(learned.weights) == informative
    assert learned.weights[informative] > 0.7
    assert isinstance(learned.scale, float)
    assert learned.scale > 0


def test_two_informative_layers_share_the_weight():
    pooled = make_pooled(n_texts=300)
    y = pooled[:, 0, 0] + pooled[:, 2, 0] > 0
    weights = learn_layer_weights(pooled, y).weights
    assert weights[1] < 0.2
    assert weights[0] == pytest.approx(weights[2], abs=0.15)


def test_labels_that_say_nothing_leave_the_weights_near_equal():
    rng = np.random.default_rng(5)
    pooled = make_pooled(n_texts=600)
    weights = learn_layer_weights(pooled, rng.integers(0, 2, 600)).weights
    assert weights.min() > 0.1


def test_a_layer_far_larger_than_the_others_does_not_win_by_size():
    pooled = make_pooled()
    y = make_target("binary", pooled[:, 0])
    pooled[:, 2] += 1000.0  # a constant says nothing
    assert np.argmax(learn_layer_weights(pooled, y).weights) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_the_objective(kind, monkeypatch):
    seen = {}

    def spy(function, start, **options):
        seen["function"], seen["start"] = function, start
        return minimize(function, start, **options)

    monkeypatch.setattr(learned_mix, "minimize", spy)
    pooled = make_pooled(n_texts=20)
    learn_layer_weights(pooled, make_target(kind, pooled[:, 1]))
    function, start = seen["function"], seen["start"]
    rng = np.random.default_rng(1)
    for point in (start, start + rng.normal(0, 0.5, start.shape)):
        _, gradient = function(point)
        error = check_grad(lambda p: function(p)[0], lambda p: function(p)[1], point)
        assert error < 1e-5 * max(1, np.linalg.norm(gradient))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_vanishes_where_it_stops(kind, monkeypatch):
    found = []

    def spy(*arguments, **options):
        found.append(minimize(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(learned_mix, "minimize", spy)
    pooled = make_pooled()
    learn_layer_weights(pooled, make_target(kind, pooled[:, 1]))
    assert np.abs(found[0].jac).max() < 1e-2


def test_learning_is_not_caught_in_a_poor_optimum(monkeypatch):
    """Beginning at a layer must not lead to a lower loss than was found."""
    seen = []

    def spy(function, start, **options):
        found = minimize(function, start, **options)
        seen.append((function, found))
        return found

    monkeypatch.setattr(learned_mix, "minimize", spy)
    for seed in range(4):
        # Layers hold much the same, each in coordinates of its own, and the lowest
        # is the largest; the labels are made from the top.
        rng = np.random.default_rng(seed)
        layers = rng.normal(size=(200, 1, 6)) + 0.4 * rng.normal(
            size=(200, N_LAYERS, 6)
        )
        for layer in (0, 1):
            rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
            layers[:, layer] = layers[:, layer] @ rotation
        layers[:, 0] *= 1.5
        pooled = layers.astype(np.float32)
        seen.clear()
        learned = learn_layer_weights(pooled, pooled[:, 2, 0] > 0)
        function = seen[0][0]
        n_parameters = len(seen[0][1].x)
        # What was returned: the run that led to these weights.
        loss = next(
            found.fun
            for _, found in seen
            if np.allclose(softmax(found.x[:N_LAYERS]), learned.weights)
        )
        for layer in range(N_LAYERS):
            start = np.zeros(n_parameters)
            start[layer], start[N_LAYERS] = 3.0, 1.0
            other = minimize(function, start, jac=True, method="L-BFGS-B")
            assert loss < other.fun + 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_learning_is_deterministic_and_leaves_its_input_alone(kind):
    pooled = make_pooled()
    y = make_target(kind, pooled[:, 1])
    pooled.flags.writeable = False
    y.flags.writeable = False
    first, second = learn_layer_weights(pooled, y), learn_layer_weights(pooled, y)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.scale == second.scale


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    pooled = make_pooled()
    learn_layer_weights(pooled, make_target("binary", pooled[:, 1]))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        np.asarray,
        lambda y: np.asarray(y, dtype=object),
        lambda y: np.asarray(y)[:, None],
        lambda y: pd.Series(y, index=range(1000, 1000 + len(y))),
        lambda y: pd.Series(y, index=[7] * len(y)),
        lambda y: pd.Series(y).astype("category"),
        lambda y: pd.Series(y, dtype="string"),
        lambda y: pd.DataFrame({"label": y}),
        lambda y: pl.Series(y),
    ],
    ids=[
        "list",
        "tuple",
        "array",
        "object",
        "column",
        "odd index",
        "same index",
        "category",
        "string",
        "DataFrame",
        "polars",
    ],
)
def test_labels_come_in_any_container(convert):
    pooled = make_pooled()
    y = make_target("strings", pooled[:, 2]).tolist()
    expected = learn_layer_weights(pooled, np.asarray(y))
    with warnings.catch_warnings():
        # scikit-learn's own remark about a column of labels
        warnings.filterwarnings("ignore", message="A column-vector y")
        learned = learn_layer_weights(pooled, convert(y))
    np.testing.assert_allclose(learned.weights, expected.weights, rtol=1e-9)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
def test_labels_may_be_of_any_number_type(dtype):
    pooled = make_pooled()
    y = make_target("binary", pooled[:, 0]).astype(dtype)
    assert np.argmax(learn_layer_weights(pooled, y).weights) == 0


def test_indicator_matrix_may_be_sparse():
    pooled = make_pooled()
    y = make_target("multilabel", pooled[:, 1])
    expected = learn_layer_weights(pooled, y)
    learned = learn_layer_weights(pooled, csr_array(y))
    np.testing.assert_allclose(learned.weights, expected.weights, rtol=1e-9)


def test_whole_numbers_with_many_values_do_not_warn():
    pooled = make_pooled()
    prices = (make_target("regression", pooled[:, 1])).astype(int)
    assert np.argmax(learn_layer_weights(pooled, prices).weights) == 1


def test_constant_column_of_a_regression_target_does_no_harm():
    pooled = make_pooled()
    y = np.column_stack([pooled[:, 1, 0] + 0.5, np.full(N_TEXTS, 2.5)])
    assert np.argmax(learn_layer_weights(pooled, y).weights) == 1


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_size_of_the_numbers_does_not_matter(scale):
    pooled = make_pooled()
    y = make_target("regression", pooled[:, 1].astype(np.float64)) * scale
    weights = learn_layer_weights((pooled * scale).astype(np.float32), y).weights
    assert np.argmax(weights) == 1


def test_layers_without_any_difference_get_equal_weights():
    pooled = np.ones((10, N_LAYERS, 4), np.float32)
    learned = learn_layer_weights(pooled, np.arange(10) % 2)
    np.testing.assert_allclose(learned.weights, 1 / N_LAYERS, atol=1e-6)


def test_one_layer_has_weight_one():
    pooled = make_pooled()[:, :1]
    learned = learn_layer_weights(pooled, pooled[:, 0, 0] > 0)
    np.testing.assert_allclose(learned.weights, [1.0])


@pytest.mark.parametrize(
    "loss", ["_cross_entropy", "_binary_cross_entropy", "_squared_error"]
)
def test_losses_stand_large_scores_without_a_warning(loss):
    target = np.array([[1.0, 0.0], [0.0, 1.0]])
    value, error = getattr(learned_mix, loss)(
        np.array([[-2000.0, 2000.0], [2000.0, -2000.0]]), target
    )
    assert np.isfinite(value)
    assert np.isfinite(error).all()


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, r"fit\(X, y\)"),
        (np.zeros(N_TEXTS - 1), f"{N_TEXTS - 1} .*{N_TEXTS}"),
        (np.zeros(N_TEXTS + 2), f"{N_TEXTS + 2} .*{N_TEXTS}"),
        (np.zeros(N_TEXTS), "single class|one class"),
        (["same"] * N_TEXTS, "'same'"),
        ([["a", "b"]] * N_TEXTS, "kind|labels"),
        (np.zeros((N_TEXTS, 2, 2)), "y"),
        (np.arange(2 * N_TEXTS).reshape(-1, 2), "multiclass-multioutput"),
        (3, "y"),
        ("spam", "y"),
        ({"a": 1}, "y"),
        ([object() for _ in range(N_TEXTS)], "y"),
        ([None] * N_TEXTS, "y"),
        (["a", None] * (N_TEXTS // 2), "y"),
        ([0.5, float("nan")] * (N_TEXTS // 2), "NaN"),
        ([0.5, float("inf")] * (N_TEXTS // 2), "inf"),
        ([0, float("nan")] * (N_TEXTS // 2), "NaN"),
    ],
    ids=lambda value: f"{value!r}"[:30],
)
def test_strange_target_is_refused_with_a_word_about_y(y, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        learn_layer_weights(make_pooled(), y)
    assert re.search(r"\by\b", str(caught.value))


def test_error_is_one_of_ours():
    with pytest.raises(InvalidParameterError):
        learn_layer_weights(make_pooled(), None)


def test_no_texts_are_refused_in_plain_words():
    pooled = np.zeros((0, N_LAYERS, N_FEATURES), np.float32)
    with pytest.raises(ValueError, match="y"):
        learn_layer_weights(pooled, [])
