"""The costly parts, whose gradients are written out, against the plain modules."""

import math

import numpy as np
import pytest
import torch

from sklearn_elmo.bilm.characters import tokens_to_character_ids
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.pretraining import char_cnn_autograd, objective
from sklearn_elmo.pretraining.network import LanguageModel, States, initialize
from sklearn_elmo.pretraining.objective import (
    full_softmax,
    log_uniform_sample,
    sampled_softmax,
)
from sklearn_elmo.pretraining.presets import PRESETS, resolve_size
from sklearn_elmo.pretraining.settings import Budget, learning_rate_factor


@pytest.fixture(autouse=True, params=[1, 2])
def small_blocks(request, monkeypatch):
    """Have several blocks for one core, and for two of them."""
    monkeypatch.setattr(char_cnn_autograd, "_WORDS_AT_ONCE", 2)
    monkeypatch.setattr(objective, "_ROWS_IN_CACHE", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def tiny_options(**changes):
    options = {
        "char_dim": 5,
        "filters": ((1, 4), (2, 6), (4, 8)),
        "n_highway": 1,
        "activation": "relu",
        "max_characters": 50,
        "n_characters": 262,
        "n_layers": 2,
        "cell_dim": 12,
        "projection_dim": 6,
        "cell_clip": 0.4,
        "proj_clip": 0.3,
        "use_skip_connections": True,
    }
    return BiLmOptions(**(options | changes))


def make_model(options, n_words=30):
    model = LanguageModel(BiLm(options), n_words)
    initialize(model, torch.ones(n_words), torch.Generator().manual_seed(0))
    return model


def assert_same_gradients(ours, theirs, parameters):
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in ours
    ]
    found, expected = (
        torch.autograd.grad(
            sum((a * b).sum() for a, b in zip(parts, weights, strict=True)),
            parameters,
            allow_unused=True,
        )
        for parts in (ours, theirs)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n_highway", [0, 2])
def test_token_vectors_and_their_gradients(activation, n_highway):
    options = tiny_options(activation=activation, n_highway=n_highway)
    model = make_model(options)
    words = ["a", "the", "<S>", "x" * 44, "y" * 45, "z" * 60, "Zürich", "", "house"]
    ids = torch.from_numpy(tokens_to_character_ids(words))
    embedder = model.bilm._token_embedder
    ours, theirs = model.token_vectors(ids), embedder(ids)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert_same_gradients([ours], [theirs], list(embedder.parameters()))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cell_clip": None, "proj_clip": None},
        {"use_skip_connections": False, "n_layers": 3},
        {"n_layers": 1},
    ],
)
def test_layers_and_their_gradients(changes):
    model = make_model(tiny_options(**changes))
    inputs = torch.randn(2, 7, 3, 6, generator=torch.Generator().manual_seed(3)) * 3
    inputs.requires_grad_(True)
    start = States.zeros(model.options, 3, torch.device("cpu"))
    ours, states = model.contextualize(inputs, start)
    halves = [
        model.bilm._elmo_lstm.run_direction(inputs[k], direction)
        for k, direction in enumerate(("forward", "backward"))
    ]
    theirs = [torch.stack(pair) for pair in zip(*(h[0] for h in halves), strict=True)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    for k, (_, last) in enumerate(halves):
        torch.testing.assert_close(states.h[:, k], torch.stack([s[0] for s in last]))
        torch.testing.assert_close(states.c[:, k], torch.stack([s[1] for s in last]))
    parameters = [inputs, *model.bilm._elmo_lstm.parameters()]
    assert_same_gradients(ours, theirs, parameters)


def test_layers_without_an_output_projection():
    options = tiny_options(cell_dim=6, proj_clip=None)
    model = LanguageModel(BiLm(options, has_output_projection=False), 10)
    initialize(model, torch.ones(10), torch.Generator().manual_seed(0))
    inputs = torch.randn(2, 4, 2, 6, generator=torch.Generator().manual_seed(3))
    start = States.zeros(options, 2, torch.device("cpu"))
    ours, _ = model.contextualize(inputs, start)
    theirs, _ = model.bilm._elmo_lstm.run_direction(inputs[1], "backward")
    torch.testing.assert_close(ours[-1][1], theirs[-1], atol=1e-6, rtol=1e-5)


def test_dropout_is_repeatable_and_keeps_the_mean():
    inputs = torch.ones(100, 100)
    dropped = [
        LanguageModel.apply_dropout(inputs, 0.25, torch.Generator().manual_seed(5))
        for _ in range(2)
    ]
    assert torch.equal(*dropped)
    assert dropped[0].mean() == pytest.approx(1, abs=0.02)
    assert (dropped[0] == 0).float().mean() == pytest.approx(0.25, abs=0.02)


def softmax_case(n_rows=300, n_words=50):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n_rows, 6, generator=generator).requires_grad_()
    weight = torch.randn(n_words, 6, generator=generator).requires_grad_()
    bias = torch.randn(n_words, generator=generator).requires_grad_()
    targets = torch.randint(n_words, (n_rows,), generator=generator)
    weights = torch.rand(n_rows, generator=generator)
    return hidden, weight, bias, targets, weights


def test_the_full_softmax_is_cross_entropy():
    hidden, weight, bias, targets, weights = softmax_case()
    ours = full_softmax(hidden, weight, bias, targets, weights)
    losses = torch.nn.functional.cross_entropy(
        hidden @ weight.t() + bias, targets, reduction="none"
    )
    theirs = (losses * weights).sum()
    torch.testing.assert_close(ours, theirs)
    assert_same_gradients([ours], [theirs], [hidden, weight, bias])


def expected_count(word, n_words, n_tries):
    probability = math.log((word + 2) / (word + 1)) / math.log(n_words + 1)
    return 1 - (1 - probability) ** n_tries


def test_the_sampled_softmax_is_its_formula():
    hidden, weight, bias, targets, weights = softmax_case()
    drawn, n_tries = log_uniform_sample(50, 20, np.random.default_rng(0))
    samples = torch.from_numpy(drawn)
    ours = sampled_softmax(hidden, weight, bias, targets, weights, samples, n_tries)
    logits = hidden @ weight.t() + bias
    logits = logits - torch.tensor(
        [math.log(expected_count(word, 50, n_tries)) for word in range(50)]
    )
    true = logits.gather(1, targets[:, None])
    negatives = logits[:, samples].masked_fill(targets[:, None] == samples, -math.inf)
    total = torch.cat([true, negatives], dim=1).logsumexp(dim=1)
    theirs = ((total - true.squeeze(1)) * weights).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    assert_same_gradients([ours], [theirs], [hidden, weight, bias])


def test_all_words_drawn_make_the_sampled_softmax_the_full_one():
    case = softmax_case()
    samples = torch.arange(50)
    sampled = sampled_softmax(*case, samples, n_tries=10**9)
    torch.testing.assert_close(sampled, full_softmax(*case))


def test_draws_are_different_words_at_their_expected_rates():
    generator = np.random.default_rng(0)
    n_draws = 2000
    counts = np.zeros(100)
    expected = np.zeros(100)
    for _ in range(n_draws):
        drawn, n_tries = log_uniform_sample(100, 15, generator)
        assert len(set(drawn.tolist())) == 15
        counts[drawn] += 1
        expected += [expected_count(word, 100, n_tries) for word in range(100)]
    np.testing.assert_allclose(counts[:20], expected[:20], rtol=0.12)


def test_more_samples_than_words_are_all_words():
    drawn, _ = log_uniform_sample(10, 99, np.random.default_rng(0))
    assert sorted(drawn) == list(range(10))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_official_shapes(name):
    options = resolve_size(name, source="size")
    assert (options.cell_dim, options.projection_dim) == {
        "default": (512, 256),
        "small": (1024, 128),
        "medium": (2048, 256),
        "original": (4096, 512),
    }[name]


def test_the_rate_rises_and_falls_to_a_fiftieth():
    rates = [learning_rate_factor(share) for share in (0.0, 0.03, 0.5, 1.0)]
    assert rates[0] < 0.05
    assert rates[1] > 0.95
    assert rates[2] == pytest.approx(0.51)
    assert rates[3] == pytest.approx(0.02)


def test_the_first_limit_counts():
    budget = Budget(max_minutes=1, max_tokens=1000, epochs=None)
    assert budget.share_used(seconds=30, tokens=100, epochs=9) == pytest.approx(0.5)
    assert budget.share_used(seconds=30, tokens=1000, epochs=9) == pytest.approx(1)
