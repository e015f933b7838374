"""Pooling tokens and mixing layers, against the plainest numpy."""

import numpy as np
import pytest

from sklearn_elmo.pooling import (
    POOLINGS,
    mix_layers,
    needed_reductions,
    pool,
    scale_to_unit_length,
)


def pool_plainly(name, layers, idf=None):
    """Pool ``(L, T, D)`` vectors of one text the way the contract words it."""
    if name == "final":
        half = layers.shape[2] // 2
        return np.concatenate([layers[:, -1, :half], layers[:, 0, half:]], axis=1)
    if name == "idf":
        weights = np.asarray(idf)
        return np.einsum("ltd,t->ld", layers, weights) / weights.sum()
    return {
        "mean": lambda: layers.mean(axis=1),
        "max": lambda: layers.max(axis=1),
        "min": lambda: layers.min(axis=1),
        "sum": lambda: layers.sum(axis=1),
        "first": lambda: layers[:, 0],
        "last": lambda: layers[:, -1],
    }[name]()


def reduce_plainly(layers, weights):
    return {
        "sum": layers.sum(axis=1),
        "max": layers.max(axis=1),
        "min": layers.min(axis=1),
        "first": layers[:, 0],
        "last": layers[:, -1],
        "weighted_sum": np.einsum("ltd,t->ld", layers, weights),
    }


@pytest.fixture(scope="module")
def ragged():
    """Layers (3, T, 6) and token weights (T,) of five texts."""
    rng = np.random.default_rng(3)
    lengths = [1, 2, 7, 40, 200]
    layers = [rng.normal(size=(3, n, 6)).astype(np.float32) for n in lengths]
    return layers, [rng.uniform(1, 5, size=n) for n in lengths]


def test_poolings_are_those_of_the_contract():
    expected = {"mean", "max", "min", "sum", "first", "last", "final", "idf"}
    assert set(POOLINGS) == expected


@pytest.mark.parametrize("name", POOLINGS)
def test_pool_does_what_its_name_says(name, ragged):
    layers, weights = ragged
    parts = [reduce_plainly(*pair) for pair in zip(layers, weights, strict=True)]
    needed = needed_reductions([name])
    reductions = {
        key: np.stack([part[key] for part in parts]).astype(np.float32)
        for key in needed
    }
    lengths = np.array([text.shape[1] for text in layers])
    totals = np.array([w.sum() for w in weights])
    pooled = pool(name, reductions, lengths, totals)
    assert pooled.dtype == np.float32
    assert pooled.shape == (5, 3, 6)
    for row, text, weight in zip(pooled, layers, weights, strict=True):
        np.testing.assert_allclose(
            row, pool_plainly(name, text, weight), rtol=1e-5, atol=1e-6
        )


def test_pool_idf_without_weights_is_refused():
    reductions = {"weighted_sum": np.ones((1, 1, 2), np.float32)}
    with pytest.raises(TypeError, match="idf"):
        pool("idf", reductions, np.array([1]))


def test_pool_does_not_write_into_its_reductions(ragged):
    layers, weights = ragged
    reductions = {
        key: value[None].astype(np.float32)
        for key, value in reduce_plainly(layers[2], weights[2]).items()
    }
    for value in reductions.values():
        value.flags.writeable = False
    for name in POOLINGS:
        pool(name, reductions, np.array([7]), np.array([1.0]))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ()),
        (["mean", "sum"], ("sum",)),
        (["final", "last", "first"], ("first", "last")),
        (["idf"], ("weighted_sum",)),
    ],
)
def test_needed_reductions_are_named_once(names, expected):
    assert needed_reductions(names) == expected


def test_mix_layers_is_a_weighted_sum():
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(4, 3, 5)).astype(np.float32)
    weights = [0.5, -2.0, 0.0]
    mixed = mix_layers(pooled, weights)
    assert mixed.dtype == np.float32
    expected = sum(w * pooled[:, i] for i, w in enumerate(weights))
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-6)


def test_mix_layers_without_weights_puts_layers_side_by_side():
    pooled = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mixed = mix_layers(pooled, None)
    np.testing.assert_array_equal(mixed[1], np.arange(12, 24))
    assert mixed.shape == (2, 12)


@pytest.mark.parametrize("weights", [None, [0.5, 0.5]])
def test_mix_layers_of_no_rows(weights):
    n_features = 8 if weights is None else 4
    mixed = mix_layers(np.zeros((0, 2, 4), np.float32), weights)
    assert mixed.shape == (0, n_features)
    assert mixed.dtype == np.float32


@pytest.mark.parametrize("size", [1.0, 1e5, 1e25, 1e-5, 1e-25, 1e-30])
def test_scale_to_unit_length_whatever_the_size(size):
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(3, 8))
    rows = (size * directions).astype(np.float32)
    scaled = scale_to_unit_length(rows)
    assert scaled.dtype == np.float32
    expected = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)


def test_scale_to_unit_length_leaves_zero_rows():
    rows = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    scaled = scale_to_unit_length(rows)
    np.testing.assert_allclose(scaled, [[0, 0], [0.6, 0.8]], atol=1e-7)
    assert rows[1, 0] == 3.0  # the caller's rows are left alone
