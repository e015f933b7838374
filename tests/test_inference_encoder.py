"""The fast way of reading texts: against plain numpy, and against itself."""

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeModel
from reference_numpy import ReferenceElmo, RowState, read_arrays

from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.inference import encoder as encoder_module
from sklearn_elmo.inference import linear, token_cache
from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.inference.linear import make_linear
from sklearn_elmo.inference.precision import PRECISIONS
from sklearn_elmo.inference.reductions import reduce_texts, token_layers

TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}
BATCH_TOLERANCE = {"atol": 5e-6, "rtol": 0.0}

SHAPES: dict[str, dict[str, Any]] = {
    "usual": {},
    "no highway, three layers": {"n_highway": 0, "n_layers": 3},
    "three highways, one layer": {"n_highway": 3, "n_layers": 1},
    "no skip, no clips": {
        "use_skip_connections": False,
        "cell_clip": None,
        "proj_clip": None,
    },
    "tight clips": {"cell_clip": 0.4, "proj_clip": 0.25, "scale": 1.5},
    "cell clip alone, tanh": {
        "cell_clip": 0.3,
        "proj_clip": None,
        "activation": "tanh",
    },
    "no W_P_0, tight clips": {
        "cell_dim": 8,
        "with_projection": False,
        "cell_clip": 0.3,
        "proj_clip": 0.1,
    },
    "no projection at all": {
        "filters": ((1, 2), (4, 6)),
        "n_highway": 0,
        "with_cnn_projection": False,
        "cell_dim": 8,
        "with_projection": False,
        "n_characters": 261,
    },
    "12 characters, filter as wide": {
        "max_characters": 12,
        "filters": ((12, 9), (11, 4), (1, 2)),
    },
    "60 characters": {"max_characters": 60, "filters": ((2, 4), (7, 8))},
    "wide": {
        "char_dim": 16,
        "filters": ((1, 8), (2, 8), (3, 16), (7, 32)),
        "projection_dim": 24,
        "cell_dim": 64,
    },
}

Texts = list[list[str]]


def load(folder: Path) -> BiLm:
    files = read_model(folder)
    return BiLm.from_arrays(files.options, files.arrays)


def embed(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    *,
    layers: Sequence[int] | None = None,
    state: str = "zero",
    window_tokens: int = 300,
) -> list[np.ndarray]:
    """Give the (L + 1, n, 2P) layers of texts in any order."""
    if layers is None:
        layers = range(1 + encoder_layers(encoder))
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    found = token_layers(
        encoder,
        [list(texts[i]) for i in order],
        layers=list(layers),
        state=state,
        window_tokens=window_tokens,
    )
    rows: dict[int, np.ndarray] = dict(zip(order, found, strict=True))
    return [rows[i].transpose(1, 0, 2) for i in range(len(texts))]


def encoder_layers(encoder: Encoder) -> int:
    return int(encoder.warm_state()[0].shape[0])


def warm_row(encoder: Encoder) -> RowState:
    h, c = encoder.warm_state()
    return RowState(h=h.double().numpy(), c=c.double().numpy())


def assert_rows(found: Sequence[Any], expected: Sequence[Any], **tolerance: float):
    for i, (row, right) in enumerate(zip(found, expected, strict=True)):
        assert row.dtype == np.float32
        assert row.shape == right.shape
        np.testing.assert_allclose(row, right, **tolerance, err_msg=f"text {i}")


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Encoder:
    return Encoder(load(tiny_model))


@pytest.fixture(scope="module")
def tiny_reference(tiny_model: Path) -> ReferenceElmo:
    return ReferenceElmo.from_folder(tiny_model)


@pytest.fixture(scope="module")
def ragged(real_sentences: Texts) -> Texts:
    """Texts of 1 to 200 tokens, in no order of length, one of them twice."""
    stream = itertools.cycle(token for text in real_sentences for token in text)
    lengths = [3, 200, 1, 57, 1, 2, 90, 14, 14, 8, 131, 30, 5, 21, 2, 40]
    texts = [list(itertools.islice(stream, length)) for length in lengths]
    return [*texts, texts[7]]


@pytest.fixture(scope="module")
def ragged_layers(
    tiny: Encoder, tiny_reference: ReferenceElmo, ragged: Texts
) -> dict[str, list[np.ndarray]]:
    """What plain numpy says of the ragged texts, for each start state."""
    starts = {"zero": None, "warm": warm_row(tiny)}
    return {
        state: [tiny_reference.embed(tokens, start) for tokens in ragged]
        for state, start in starts.items()
    }


# Against plain numpy


@pytest.mark.parametrize("window_tokens", [1, 7, 64, 100_000])
@pytest.mark.parametrize("state", ["zero", "warm"])
def test_ragged_texts_and_windows(
    tiny: Encoder,
    ragged: Texts,
    ragged_layers: dict[str, list[np.ndarray]],
    state: str,
    window_tokens: int,
) -> None:
    found = embed(tiny, ragged, state=state, window_tokens=window_tokens)
    assert_rows(found, ragged_layers[state], **TOLERANCE)


@pytest.mark.parametrize("state", ["zero", "warm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape(
    shape: str, state: str, make_model: MakeModel, real_sentences: Texts
) -> None:
    folder = make_model(seed=50, **SHAPES[shape])
    reference, encoder = (
        ReferenceElmo.from_folder(folder),
        Encoder(load(folder)),
    )
    start = warm_row(encoder) if state == "warm" else None
    texts = [*real_sentences[::7], ["<S>", "</S>", "<UNK>", ""], [""]]
    expected = [reference.embed(tokens, start) for tokens in texts]
    found = embed(encoder, texts, state=state, window_tokens=50)
    assert_rows(found, expected, **TOLERANCE)


@pytest.mark.parametrize(
    "shape", ["usual", "12 characters, filter as wide", "60 characters", "wide"]
)
def test_tokens_of_every_length(shape: str, make_model: MakeModel) -> None:
    folder = make_model(seed=4, **SHAPES[shape])
    reference, encoder = (
        ReferenceElmo.from_folder(folder),
        Encoder(load(folder)),
    )
    tokens = [("abcdefghij" * 8)[:n] for n in range(71)]
    tokens += ["é" * n for n in range(1, 40)] + ["\ud800", "<S>", "</S>", "\x00"]
    expected = np.stack([reference.token_vector(t) for t in tokens])
    np.random.default_rng(0).shuffle(order := list(range(len(tokens))))
    (found,) = embed(encoder, [[tokens[i] for i in order]], layers=[0])
    np.testing.assert_allclose(found[0], np.tile(expected[order], 2), **TOLERANCE)


def test_outputs_of_allennlp(reference_files: Path) -> None:
    place = reference_files
    raw = (place / "reference_sentences.json").read_text("utf-8")
    sentences = json.loads(raw)
    for options, weight_file, outputs in [
        ("options.json", "lm_weights.hdf5", "reference_outputs.hdf5"),
        ("model_b/options.json", "model_b/weights.hdf5", "model_b/outputs.hdf5"),
        (
            "model_b/options_noskip.json",
            "model_b/weights.hdf5",
            "model_b/outputs_noskip.hdf5",
        ),
    ]:
        files = read_model((place / options, place / weight_file))
        encoder = Encoder(BiLm.from_arrays(files.options, files.arrays))
        expected = read_arrays(place / outputs)
        found = embed(encoder, sentences, window_tokens=40)
        assert_rows(found, [expected[str(i)] for i in range(14)], **TOLERANCE)


# A row is a function of its text


@pytest.mark.parametrize("state", ["zero", "warm"])
def test_row_does_not_depend_on_its_mates(
    tiny: Encoder, ragged: Texts, state: str
) -> None:
    alone = [embed(tiny, [tokens], state=state)[0] for tokens in ragged]
    together = embed(tiny, ragged, state=state)
    backwards = embed(tiny, ragged[::-1], state=state)[::-1]
    windows = embed(tiny, ragged, state=state, window_tokens=11)
    pairs = [embed(tiny, [tokens, tokens], state=state)[1] for tokens in ragged]
    for found in (together, backwards, windows, pairs):
        assert_rows(found, alone, **BATCH_TOLERANCE)


def test_same_text_twice_in_a_batch_is_the_same(tiny: Encoder, ragged: Texts) -> None:
    found = embed(tiny, ragged)
    np.testing.assert_allclose(found[7], found[-1], **BATCH_TOLERANCE)


def test_repeated_calls_give_the_same(tiny: Encoder, ragged: Texts) -> None:
    first = embed(tiny, ragged)
    embed(tiny, [["quite", "other", "words"]], state="warm")
    embed(tiny, ragged[:4], window_tokens=5)
    assert_rows(embed(tiny, ragged), first, atol=0.0, rtol=0.0)


@pytest.mark.parametrize("state", ["zero", "warm"])
def test_fresh_encoder_gives_the_same_as_a_used_one(
    tiny: Encoder, tiny_model: Path, ragged: Texts, state: str
) -> None:
    used = embed(tiny, ragged[:6], state=state)
    fresh = embed(Encoder(load(tiny_model)), ragged[:6], state=state)
    assert_rows(fresh, used, **BATCH_TOLERANCE)


def test_number_of_threads_does_not_matter(tiny: Encoder, ragged: Texts) -> None:
    before = torch.get_num_threads()
    expected = embed(tiny, ragged)
    try:
        torch.set_num_threads(3)
        found = embed(tiny, ragged)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert_rows(found, expected, **BATCH_TOLERANCE)


def test_several_threads_may_read_at_once(tiny_model: Path, ragged: Texts) -> None:
    encoder = Encoder(load(tiny_model))
    expected = embed(Encoder(load(tiny_model)), ragged)

    def read(turn: int) -> list[np.ndarray]:
        texts = [*ragged[turn:], *ragged[:turn]]
        found = embed(encoder, texts, window_tokens=20 + turn)
        cut = len(ragged) - turn
        return [*found[cut:], *found[:cut]]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(read, range(12)):
            assert_rows(found, expected, **BATCH_TOLERANCE)


@pytest.mark.parametrize("n_kept", [0, 31, 100])
def test_more_distinct_tokens_than_are_kept(
    tiny_model: Path,
    tiny_reference: ReferenceElmo,
    monkeypatch: pytest.MonkeyPatch,
    n_kept: int,
) -> None:
    """Whatever the bound of the kept token vectors, the numbers are the same."""
    monkeypatch.setattr(token_cache, "_TABLE_BYTES", n_kept * 4 * 8)
    encoder = Encoder(load(tiny_model))
    texts = [
        [token for k in range(20) for token in ("the", f"{i}-{k}")] for i in range(5)
    ]
    expected = [tiny_reference.embed(tokens) for tokens in texts]
    for window_tokens in (30, 7, 30):
        found = embed(encoder, texts, window_tokens=window_tokens)
        assert_rows(found, expected, **TOLERANCE)
    (again,) = embed(encoder, [["the", "0-1", "the", "4-19"]], window_tokens=2)
    right = tiny_reference.embed(["the", "0-1", "the", "4-19"])
    np.testing.assert_allclose(again, right, **TOLERANCE)


# What the start is


def test_warm_state_depends_on_the_model_alone(
    tiny: Encoder, tiny_model: Path, ragged: Texts
) -> None:
    first = [part.clone() for part in tiny.warm_state()]
    embed(tiny, ragged, state="warm")
    other = Encoder(load(tiny_model))
    embed(other, ragged[:3])
    for again in (tiny.warm_state(), other.warm_state()):
        for part, right in zip(again, first, strict=True):
            assert part.dtype == torch.float32
            torch.testing.assert_close(part, right, atol=5e-6, rtol=0)
    h, c = first
    assert h.shape == (2, 16)
    assert c.shape == (2, 32)
    assert (h.abs().amax(dim=1) > 1e-3).all()


def test_warm_state_is_that_after_the_passage(
    tiny: Encoder, tiny_reference: ReferenceElmo
) -> None:
    """As AllenNLP carries it, sentence after sentence, in both directions."""
    state = tiny_reference.zero_state()
    for sentence in encoder_module._WARM_UP_PASSAGE:
        state = tiny_reference.embed_with_boundaries(sentence.split(), state)[1]
    h, c = tiny.warm_state()
    np.testing.assert_allclose(h, state.h, **TOLERANCE)
    np.testing.assert_allclose(c, state.c, **TOLERANCE)


def test_warm_state_respects_the_clips(make_model: MakeModel) -> None:
    folder = make_model(seed=1, cell_clip=0.4, proj_clip=0.25, scale=1.5)
    h, c = Encoder(load(folder)).warm_state()
    assert h.abs().max() == pytest.approx(0.25)
    assert c.abs().max() == pytest.approx(0.4)


def test_warm_state_cannot_be_spoilt_by_its_user(tiny_model: Path) -> None:
    encoder = Encoder(load(tiny_model))
    text = [["some", "words"]]
    expected = embed(encoder, text, state="warm")
    for part in encoder.warm_state():
        part.clone().zero_()
    assert_rows(embed(encoder, text, state="warm"), expected, **BATCH_TOLERANCE)


def test_warm_and_zero_differ_most_at_the_borders(tiny: Encoder) -> None:
    text = [["word"] * 30]
    zero, warm = (embed(tiny, text, state=state)[0] for state in ("zero", "warm"))
    difference = np.abs(zero - warm).max(axis=-1)  # (L + 1, n)
    assert (difference[0] == 0).all()
    assert difference[1:, [0, -1]].min() > 1e-3
    assert difference[1:, 12:18].max() < difference[1:, [0, -1]].max()


# Only what was asked for


@pytest.mark.parametrize("layers", [[0], [1], [2], [0, 2], [2, 0], [1, 2], [2, 1, 0]])
def test_layers_come_in_the_order_asked_for(
    tiny: Encoder, ragged: Texts, layers: list[int]
) -> None:
    everything = embed(tiny, ragged[:5])
    found = embed(tiny, ragged[:5], layers=layers)
    assert_rows(found, [rows[layers] for rows in everything], **BATCH_TOLERANCE)


def test_windows_have_at_most_the_tokens_asked_for(
    tiny: Encoder, ragged: Texts
) -> None:
    texts = sorted(ragged, key=len, reverse=True)
    for direction, bound in itertools.product(["forward", "backward"], [1, 50, 10**6]):
        steps = 0
        for window in tiny.windows(
            texts, direction, n_layers=2, state="zero", window_tokens=bound
        ):
            assert window.first_step == steps
            assert window.n_tokens == sum(window.active_rows)
            assert window.n_tokens <= max(bound, window.active_rows[0])
            steps += len(window.active_rows)
            for layer, rows in window.layers.items():
                assert rows.shape == (window.n_tokens, 8)
                assert not rows.requires_grad
                assert layer in (0, 1, 2)
            assert (0 in window.layers) is (direction == "forward")
        assert steps == 200


def test_no_text_gives_nothing(tiny: Encoder) -> None:
    assert embed(tiny, []) == []


def test_encoder_leaves_model_and_torch_alone(tiny_model: Path, ragged: Texts) -> None:
    model = load(tiny_model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = (torch.get_num_threads(), torch.is_grad_enabled())
    texts = [list(text) for text in ragged]
    embed(Encoder(model), texts, state="warm")
    assert texts == ragged
    assert settings == (torch.get_num_threads(), torch.is_grad_enabled())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_model_may_change_after_the_encoder_was_made(tiny_model: Path) -> None:
    """What an encoder keeps of token vectors belongs to the weights it was made of."""
    model = load(tiny_model)
    encoder = Encoder(model)
    text = [["some", "words"]]
    expected = embed(encoder, text)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
    changed = embed(Encoder(model), text)
    assert np.abs(changed[0] - expected[0]).max() > 1e-2


# Reductions


@pytest.mark.parametrize("window_tokens", [1, 25, 100_000])
@pytest.mark.parametrize("layers", [[0, 1, 2], [2, 0], [1]])
def test_reductions_of_plain_numpy(
    tiny: Encoder,
    ragged: Texts,
    ragged_layers: dict[str, list[np.ndarray]],
    layers: list[int],
    window_tokens: int,
) -> None:
    texts = sorted(ragged, key=len, reverse=True)
    everything = sorted(ragged_layers["zero"], key=lambda x: x.shape[1], reverse=True)
    rng = np.random.default_rng(0)
    token_weights = [rng.random(len(text)).tolist() for text in texts]
    names = ["sum", "max", "min", "first", "last", "weighted_sum"]
    found = reduce_texts(
        tiny,
        texts,
        layers=layers,
        reductions=names,
        state="zero",
        window_tokens=window_tokens,
        token_weights=token_weights,
    )
    assert found.keys() == set(names)
    for i, (text, weight) in enumerate(zip(texts, token_weights, strict=True)):
        right = everything[i][layers]  # (n_layers, n, D)
        expected = {
            "sum": right.sum(axis=1),
            "max": right.max(axis=1),
            "min": right.min(axis=1),
            "first": right[:, 0],
            "last": right[:, -1],
            "weighted_sum": (right * np.array(weight)[:, None]).sum(axis=1),
        }
        for name in names:
            atol = 1e-5 * (len(text) if "sum" in name else 1)
            np.testing.assert_allclose(
                found[name][i], expected[name], atol=atol, rtol=1e-4, err_msg=name
            )
    for name in names:
        assert found[name].dtype == np.float32
        assert found[name].shape == (len(texts), len(layers), 16)


@pytest.mark.parametrize("name", ["sum", "max", "min", "first", "last"])
def test_reduction_alone_is_the_same_as_with_others(
    tiny: Encoder, ragged: Texts, name: str
) -> None:
    texts = sorted(ragged, key=len, reverse=True)
    how: dict[str, Any] = {"layers": [0, 2], "state": "warm", "window_tokens": 40}
    everything = reduce_texts(
        tiny, texts, reductions=["sum", "max", "min", "first", "last"], **how
    )
    alone = reduce_texts(tiny, texts, reductions=[name], **how)
    assert alone.keys() == {name}
    np.testing.assert_array_equal(alone[name], everything[name])


def test_mean_does_not_depend_on_mates_and_windows(
    tiny: Encoder, ragged: Texts
) -> None:
    texts = sorted(ragged, key=len, reverse=True)
    lengths = np.array([len(text) for text in texts])[:, None, None]
    how: dict[str, Any] = {
        "layers": [0, 1, 2],
        "reductions": ["sum"],
        "state": "zero",
    }
    together = reduce_texts(tiny, texts, window_tokens=10_000, **how)["sum"] / lengths
    small = reduce_texts(tiny, texts, window_tokens=9, **how)["sum"] / lengths
    np.testing.assert_allclose(small, together, **BATCH_TOLERANCE)
    for i, text in enumerate(texts):
        alone = reduce_texts(tiny, [text], window_tokens=70, **how)["sum"] / len(text)
        np.testing.assert_allclose(together[i], alone[0], **BATCH_TOLERANCE)


@pytest.mark.parametrize("window_tokens", [1, 40, 100_000])
def test_sums_of_long_texts_do_not_depend_on_windows(
    make_model: MakeModel, window_tokens: int
) -> None:
    """One token 3,000 times: with float32 sums, errors of the same sign add up."""
    encoder = Encoder(load(make_model(seed=8, scale=2.0)))
    text = ["the"] * 3000
    weights = [0.1] * len(text)
    how: dict[str, Any] = {
        "layers": [0, 1, 2],
        "state": "zero",
        "window_tokens": window_tokens,
    }
    (rows,) = token_layers(encoder, [text], **how)
    found = reduce_texts(
        encoder,
        [text],
        reductions=["sum", "weighted_sum"],
        token_weights=[weights],
        **how,
    )
    mean = rows.astype(np.float64).mean(axis=0)
    assert np.abs(mean).max() > 1
    for name, total in (("sum", 3000), ("weighted_sum", 300)):
        np.testing.assert_allclose(found[name][0] / total, mean, rtol=0, atol=5e-6)


# Lower precision


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_lower_precision_is_near(
    make_model: MakeModel, real_sentences: Texts, precision: Any
) -> None:
    model = load(make_model(seed=2, cell_dim=64, projection_dim=16))
    exact = embed(Encoder(model), real_sentences[:30])
    rough = embed(Encoder(model, precision), real_sentences[:30])
    errors = [np.abs(row - right) for row, right in zip(rough, exact, strict=True)]
    assert {row.dtype for row in rough} == {np.dtype(np.float32)}
    assert max(error.max() for error in errors) < 0.3
    mean = np.mean([error.mean() for error in errors])
    assert 1e-4 < mean < 0.02


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_product_of_any_height(precision: Any, with_bias: bool) -> None:
    rng = np.random.default_rng(0)
    bounds = {"float32": 1e-5, "bfloat16": 2e-2, "int8": 4e-2}
    for n_in, n_out in [(16, 64), (5, 3), (1, 1), (33, 20)]:
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32)
        bias = rng.normal(size=n_out).astype(np.float32)
        product = make_linear(
            torch.from_numpy(weight),
            torch.from_numpy(bias) if with_bias else None,
            precision,
        )
        inputs = rng.normal(size=(40, n_in)).astype(np.float32)
        inputs[7] = 0.0
        inputs[8] *= 1000.0
        exact = inputs.astype(np.float64) @ weight.T + (bias if with_bias else 0.0)
        scale = np.abs(inputs) @ np.abs(weight.T) + 1.0
        for height in (1, 2, 17, 18, 40):
            found = product(torch.from_numpy(inputs[:height])).numpy()
            assert found.dtype == np.float32
            error = np.abs(found - exact[:height]) / scale[:height]
            assert error.max() < bounds[precision]
        one_by_one = [product(torch.from_numpy(row[None])).numpy() for row in inputs]
        together = product(torch.from_numpy(inputs)).numpy()
        error = np.abs(np.concatenate(one_by_one) - together) / scale
        assert error.max() < 1e-6


@pytest.mark.parametrize("kind", [linear._Bfloat16Linear, linear._RoundedLinear])
def test_bfloat16_rounds_factors_whatever_multiplies_them(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(linear, "_fastest_bfloat16_kind", lambda: kind)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 40, generator=generator)
    inputs = torch.randn(9, 40, generator=generator)
    bias = torch.randn(24, generator=generator)
    factors = (part.to(torch.bfloat16).double() for part in (inputs, weight.t()))
    expected = next(factors) @ next(factors) + bias
    found = make_linear(weight, bias, "bfloat16")(inputs)
    # The true product's result may be rounded to bfloat16 before the bias.
    torch.testing.assert_close(
        found.double(),
        expected,
        rtol=0.0,
        atol=0.1 if kind is linear._Bfloat16Linear else 1e-5,
    )
    assert not torch.allclose(
        found.double(), (inputs @ weight.t() + bias).double(), rtol=0.0, atol=1e-4
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_come_in_few_heights_whatever_the_lengths_of_texts(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    """oneDNN keeps compiled code for each shape; memory grew with new lengths."""
    monkeypatch.setattr(linear, "_packing_is_faster", lambda: True)
    heights: dict[int, set[int]] = {}
    multiply = {
        kind: kind._multiply for kind in (linear._PackedLinear, linear._Int8Linear)
    }
    for kind in multiply:

        def count(self, inputs, addend, kind=kind):
            heights.setdefault(id(self), set()).add(len(inputs))
            return multiply[kind](self, inputs, addend)

        monkeypatch.setattr(kind, "_multiply", count)
    encoder = Encoder(load(tiny_model), precision)
    rng = np.random.default_rng(0)
    for _ in range(60):
        lengths = rng.integers(1, 60, size=rng.integers(1, 150))
        texts = [[f"w{k}" for k in rng.integers(3000, size=n)] for n in lengths]
        embed(encoder, texts, window_tokens=100_000)
    # Eight per power of two.
    assert max(map(len, heights.values())) <= 8 * 10


@pytest.mark.parametrize("n_rows", [*range(70), 100, 129, 256, 257, 5000])
def test_padded_heights_are_near(n_rows: int) -> None:
    weight = torch.ones(3, 2)
    padded = linear._Int8Linear(weight, None).padded_rows(n_rows)
    assert n_rows <= padded <= n_rows + max(7, n_rows / 8)
    assert linear._PlainLinear(weight, None).padded_rows(n_rows) == n_rows
