"""The numbers of the torch core: against upstream's files and plain numpy."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeModel
from reference_numpy import ReferenceElmo, RowState, read_arrays

from sklearn_elmo.bilm.characters import tokens_to_character_ids
from sklearn_elmo.bilm.model import BiLm, BiLmOutput
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.bilm.weights import read_model

# For float32 against a float64 run of the same formulas, as the reference files'
# authors suggest; measured errors are below 5e-6 at values up to 7.
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}
# What upstream's own tests ask of its top layer.
UPSTREAM_TOLERANCE = {"atol": 1e-6, "rtol": 1e-5}
# Of a row in one batch against the same row in another.
BATCH_TOLERANCE = 5e-6

# Every option off its usual value at least once, and together.
SHAPES: dict[str, dict[str, Any]] = {
    "usual": {},
    "no highway": {"n_highway": 0},
    "three highways": {"n_highway": 3},
    "one layer": {"n_layers": 1},
    "three layers": {"n_layers": 3},
    "four layers without skip": {"n_layers": 4, "use_skip_connections": False},
    "no skip": {"use_skip_connections": False},
    "no clips": {"cell_clip": None, "proj_clip": None},
    "clips of zero": {"cell_clip": 0, "proj_clip": 0},
    "tight clips": {"cell_clip": 0.4, "proj_clip": 0.25, "scale": 1.5},
    "cell clip alone": {"cell_clip": 0.3, "proj_clip": None},
    "output clip alone": {"cell_clip": None, "proj_clip": 0.1},
    "tanh": {"activation": "tanh", "n_highway": 2},
    "no W_P_0": {"cell_dim": 8, "with_projection": False},
    "no W_P_0, tight clips": {
        "cell_dim": 8,
        "with_projection": False,
        "cell_clip": 0.3,
        "proj_clip": 0.1,
        "use_skip_connections": False,
    },
    "square W_P_0": {"cell_dim": 8, "proj_clip": 0.2},
    "no CNN_proj": {
        "filters": ((1, 3), (2, 5)),
        "with_cnn_projection": False,
        "n_highway": 2,
    },
    "square CNN_proj": {"filters": ((1, 3), (2, 5))},
    "no projection at all": {
        "filters": ((1, 2), (4, 6)),
        "n_highway": 0,
        "with_cnn_projection": False,
        "cell_dim": 8,
        "with_projection": False,
        "n_layers": 1,
    },
    "261 characters": {"n_characters": 261},
    "12 characters a token": {"max_characters": 12, "filters": ((1, 4), (7, 8))},
    "60 characters a token": {"max_characters": 60, "filters": ((2, 4), (3, 8))},
    "filter as wide as the token": {
        "max_characters": 12,
        "filters": ((12, 9), (11, 4), (1, 2)),
    },
    "filters in disorder": {"filters": ((5, 6), (1, 3), (5, 2), (3, 7))},
    "odd widths": {
        "char_dim": 1,
        "filters": ((2, 5),),
        "projection_dim": 3,
        "cell_dim": 5,
    },
    "cell narrower than output": {"cell_dim": 4, "projection_dim": 8},
    "wide": {
        "char_dim": 16,
        "filters": ((1, 8), (2, 8), (3, 16), (7, 32)),
        "projection_dim": 24,
        "cell_dim": 64,
    },
}

ODD_TOKENS = [
    ["", "x" * 48, "x" * 49, "x" * 200, "é" * 40, "漢字" * 30, "\ud800", "a\udc80b"],
    ["<S>", "in", "the", "text", "</S>", "<UNK>"],
    [""],
]


def load(source: Any) -> BiLm:
    files = read_model(source)
    return BiLm.from_arrays(files.options, files.arrays)


def to_ids(model: BiLm, sentences: Sequence[Sequence[str]]) -> torch.Tensor:
    length = model.options.max_characters
    longest = max(map(len, sentences))
    ids = np.zeros((len(sentences), longest, length), np.int64)
    for row, tokens in zip(ids, sentences, strict=True):
        row[: len(tokens)] = tokens_to_character_ids(tokens, length)
    return torch.from_numpy(ids)


@torch.no_grad()
def run(model: BiLm, sentences: Sequence[Sequence[str]], state: Any = None) -> Any:
    """Run one batch; returns the output and each row's (L + 1, n + 2, 2P)."""
    output = model(to_ids(model, sentences), state)
    layers = torch.stack(output.layers).numpy()
    return output, [
        layers[:, i, : len(tokens) + 2] for i, tokens in enumerate(sentences)
    ]


def embed(model: BiLm, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Give each row's (L + 1, n, 2P), from one batch."""
    return [rows[:, 1:-1] for rows in run(model, sentences)[1]]


def as_tensors(
    states: Sequence[RowState], dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put the rows' states together, h (L, B, 2P) and c (L, B, 2C)."""
    h = np.stack([state.h for state in states], axis=1)
    c = np.stack([state.c for state in states], axis=1)
    return torch.tensor(h, dtype=dtype), torch.tensor(c, dtype=dtype)


def assert_state(output: BiLmOutput, states: Sequence[RowState], **tolerance: float):
    h, c = as_tensors(states, torch.float64)
    np.testing.assert_allclose(output.state[0], h, **tolerance)
    np.testing.assert_allclose(output.state[1], c, **tolerance)


# Upstream's files


@pytest.mark.parametrize(
    ("options", "weights", "outputs"),
    [
        ("options.json", "lm_weights.hdf5", "reference_outputs.hdf5"),
        ("model_b/options.json", "model_b/weights.hdf5", "model_b/outputs.hdf5"),
        (
            "model_b/options_noskip.json",
            "model_b/weights.hdf5",
            "model_b/outputs_noskip.hdf5",
        ),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_outputs_of_allennlp(
    options: str, weights: str, outputs: str, together: bool, reference_files: Path
) -> None:
    model = load((reference_files / options, reference_files / weights))
    expected = read_arrays(reference_files / outputs)
    raw = (reference_files / "reference_sentences.json").read_text("utf-8")
    sentences = json.loads(raw)
    assert len(expected) == len(sentences) == 14
    if together:
        found = embed(model, sentences)
    else:
        found = [embed(model, [tokens])[0] for tokens in sentences]
    for i, layers in enumerate(found):
        np.testing.assert_allclose(layers, expected[str(i)], **TOLERANCE)


@pytest.mark.parametrize(
    ("folder", "sentences_file"),
    [("", "sentences.json"), ("bilm_tf_noskip", "lm_embeddings_sentences.json")],
)
def test_outputs_of_tensorflow_with_carried_state(
    folder: str, sentences_file: str, reference_files: Path
) -> None:
    place = reference_files / folder
    model = load((place / "options.json", place / "lm_weights.hdf5"))
    sentences = json.loads((place / sentences_file).read_text("utf-8"))
    expected = [read_arrays(place / f"lm_embeddings_{k}.hdf5") for k in range(3)]
    state = None
    for i in range(10):
        batch = [sentences[k][i].split() for k in range(3)]
        output, rows = run(model, batch, state)
        state = output.state
        for k in range(3):
            top = np.concatenate(list(expected[k][str(i)]), axis=-1)
            np.testing.assert_allclose(rows[k][-1, 1:-1], top, **UPSTREAM_TOLERANCE)


def test_stateless_outputs_agree_with_the_first_batch_of_tensorflow_alone(
    reference_files: Path,
) -> None:
    place = reference_files
    model = load((place / "options.json", place / "lm_weights.hdf5"))
    sentences = json.loads((place / "sentences.json").read_text("utf-8"))
    expected = read_arrays(place / "lm_embeddings_0.hdf5")
    found = embed(model, [text.split() for text in sentences[0][:2]])
    tops = [np.concatenate(list(expected[str(i)]), axis=-1) for i in range(2)]
    np.testing.assert_allclose(found[0][-1], tops[0], **UPSTREAM_TOLERANCE)
    assert np.abs(found[1][-1] - tops[1]).max() > 0.5


def test_token_vectors_of_tensorflow(reference_files: Path) -> None:
    place = reference_files
    model = load((place / "options.json", place / "lm_weights.hdf5"))
    tokens = (place / "vocab_test.txt").read_text("utf-8").split("\n")
    expected = read_arrays(place / "elmo_token_embeddings.hdf5")["embedding"]
    with torch.no_grad():
        ids = torch.from_numpy(tokens_to_character_ids(tokens))
        found = model._token_embedder(ids).numpy()
    # Upstream allows 1e-6 + 1e-5 |x|; a float64 run is as much as 1.4e-6 away.
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-5)


# Random models against plain numpy


@pytest.mark.parametrize("shape", SHAPES)
def test_layers_and_state_of_any_shape(
    shape: str, make_model: MakeModel, real_sentences: list[list[str]]
) -> None:
    folder = make_model(seed=len(shape), **SHAPES[shape])
    reference, model = ReferenceElmo.from_folder(folder), load(folder)
    sentences = [*real_sentences[::8], *ODD_TOKENS, []]
    expected, states = zip(
        *(reference.embed_with_boundaries(tokens) for tokens in sentences),
        strict=True,
    )
    output, found = run(model, sentences)
    for layers, right in zip(found, expected, strict=True):
        assert layers.dtype == np.float32
        np.testing.assert_allclose(layers, right, **TOLERANCE)
    assert_state(output, states, **TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
def test_formulas_are_the_same_to_the_last_digits_of_float64(
    shape: str, make_model: MakeModel, real_sentences: list[list[str]]
) -> None:
    folder = make_model(seed=100 + len(shape), **SHAPES[shape])
    reference, model = ReferenceElmo.from_folder(folder), load(folder).double()
    for name, array in reference.arrays.items():
        if name.endswith("/B"):  # float32 rounds when 1 is added to the forget gate's
            gate = slice(len(array) // 2, 3 * len(array) // 4)
            array[gate] = (array[gate] + 1.0).astype(np.float32).astype(np.float64) - 1
    sentences = [real_sentences[9], [], real_sentences[18]]
    before = [reference.run_lstm(np.ones((2, model.options.projection_dim)))[1]] * 3
    output, found = run(model, sentences, as_tensors(before, torch.float64))
    after = []
    for tokens, state, layers in zip(sentences, before, found, strict=True):
        right, end = reference.embed_with_boundaries(tokens, state)
        after.append(end)
        np.testing.assert_allclose(layers, right, atol=1e-11)
    assert_state(output, after, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "at_least"),
    [
        ({"cell_clip": None, "proj_clip": 0.25}, 1e-3),
        ({"cell_clip": 0.4, "proj_clip": None}, 1e-3),
        ({"use_skip_connections": False}, 1e-2),
        ({"activation": "tanh"}, 1e-3),
        ({"n_highway": 1}, 1e-2),
    ],
)
def test_the_comparison_above_would_notice_a_wrong_option(
    change: dict[str, Any], at_least: float, make_model: MakeModel
) -> None:
    tight = {"cell_clip": 0.4, "proj_clip": 0.25, "n_highway": 2, "scale": 1.5}
    folder = make_model(**tight)
    raw = json.loads((folder / "options.json").read_text("utf-8"))
    arrays = read_arrays(folder / "weights.hdf5")
    right = ReferenceElmo(raw, arrays).embed(["Some", "words"])
    for part in raw.values():
        part.update({k: v for k, v in change.items() if k in part})
    wrong = ReferenceElmo(raw, arrays).embed(["Some", "words"])
    assert np.abs(wrong - right).max() > at_least


def test_long_sentence(tiny_model: Path, real_sentences: list[list[str]]) -> None:
    tokens = [token for sentence in real_sentences for token in sentence]
    assert len(tokens) > 800
    reference = ReferenceElmo.from_folder(tiny_model)
    (found,) = embed(load(tiny_model), [tokens])
    np.testing.assert_allclose(found, reference.embed(tokens), **TOLERANCE)


# What a batch looks like


def test_output_has_the_stated_shapes(tiny_model: Path) -> None:
    model = load(tiny_model)
    output, _ = run(model, [["a", "b", "c"], ["d"], []])
    assert [tuple(layer.shape) for layer in output.layers] == [(3, 5, 16)] * 3
    assert {layer.dtype for layer in output.layers} == {torch.float32}
    assert output.mask.dtype == torch.bool
    assert output.mask.int().tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
    ]
    h, c = output.state
    assert h.shape == (2, 3, 16)
    assert c.shape == (2, 3, 32)


def test_padded_positions_are_zero(tiny_model: Path) -> None:
    output, _ = run(load(tiny_model), [["a", "b", "c"], ["d"], []])
    for layer in output.layers:
        assert (layer[~output.mask] == 0).all()
        assert (layer[output.mask] != 0).any(dim=-1).all()


def test_layer_0_is_the_token_vector_twice(tiny_model: Path) -> None:
    model = load(tiny_model)
    (layers,) = embed(model, [["Ada", "wrote", "Ada"]])
    assert (layers[0, :, :8] == layers[0, :, 8:]).all()
    np.testing.assert_allclose(layers[0, 0], layers[0, 2], atol=1e-6)
    with torch.no_grad():
        vectors = model._token_embedder(to_ids(model, [["Ada"]])[0]).numpy()
    np.testing.assert_allclose(layers[0, 0, :8], vectors[0], atol=1e-6)


def test_batch_of_empty_sentences_runs_the_boundaries_alone(tiny_model: Path) -> None:
    reference, model = ReferenceElmo.from_folder(tiny_model), load(tiny_model)
    right, state = reference.embed_with_boundaries([])
    output, found = run(model, [[], []])
    for layers in found:
        np.testing.assert_allclose(layers, right, **TOLERANCE)
    assert_state(output, [state, state], **TOLERANCE)


def test_forward_leaves_its_input_alone(tiny_model: Path) -> None:
    model = load(tiny_model)
    ids = to_ids(model, [["a", "b"], ["c"]])
    state = tuple(torch.randn(2, 2, width) for width in (16, 32))
    before = [t.clone() for t in (ids, *state)]
    with torch.no_grad():
        model(ids, state)
    assert all(torch.equal(x, y) for x, y in zip((ids, *state), before, strict=True))


# A row and its mates


def test_row_does_not_depend_on_its_batch(
    tiny_model: Path, real_sentences: list[list[str]]
) -> None:
    model = load(tiny_model)
    sentences = [*real_sentences, *ODD_TOKENS]
    alone = [embed(model, [tokens])[0] for tokens in sentences]
    together = embed(model, sentences)
    order = np.random.default_rng(0).permutation(len(sentences))
    shuffled = embed(model, [sentences[i] for i in order])
    for i, right in enumerate(alone):
        np.testing.assert_allclose(together[i], right, atol=BATCH_TOLERANCE, rtol=0)
    for i, layers in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(layers, alone[i], atol=BATCH_TOLERANCE, rtol=0)


def test_more_padding_changes_nothing(tiny_model: Path) -> None:
    model = load(tiny_model)
    ids = to_ids(model, [["a", "b", "c"], ["d"]])
    padded = torch.cat([ids, torch.zeros(2, 9, 50, dtype=torch.int64)], dim=1)
    with torch.no_grad():
        right, found = model(ids), model(padded)
    assert not found.mask[:, 5:].any()
    for x, y in zip(right.layers, found.layers, strict=True):
        np.testing.assert_allclose(y[:, :5], x, atol=BATCH_TOLERANCE, rtol=0)
        assert (y[:, 5:] == 0).all()
    for x, y in zip(right.state, found.state, strict=True):
        np.testing.assert_allclose(y, x, atol=BATCH_TOLERANCE, rtol=0)


def test_same_call_again_gives_the_same(tiny_model: Path) -> None:
    model = load(tiny_model)
    sentences = [["I", "ate", "an", "apple"], ["I", "ate"]]
    first, second = run(model, sentences)[1], run(model, sentences)[1]
    for x, y in zip(first, second, strict=True):
        assert (x == y).all()


# The state


def test_carried_state_batch_after_batch(
    tiny_model: Path, real_sentences: list[list[str]]
) -> None:
    reference, model = ReferenceElmo.from_folder(tiny_model), load(tiny_model)
    batches = [real_sentences[i : i + 5] for i in range(0, 40, 5)]
    batches[3] = [["a"], [], ["b", "c"], [], ["</S>"]]
    carried, states = None, [reference.zero_state() for _ in range(5)]
    for batch in batches:
        output, found = run(model, batch, carried)
        carried = output.state
        for row, tokens in enumerate(batch):
            right, states[row] = reference.embed_with_boundaries(tokens, states[row])
            np.testing.assert_allclose(found[row], right, **TOLERANCE)
        assert_state(output, states, **TOLERANCE)


def test_state_of_each_row_is_its_own(tiny_model: Path) -> None:
    reference, model = ReferenceElmo.from_folder(tiny_model), load(tiny_model)
    rng = np.random.default_rng(1)
    states = [
        RowState(h=rng.normal(0, 0.5, (2, 16)), c=rng.normal(0, 1, (2, 32)))
        for _ in range(4)
    ]
    sentences = [["one"], ["two", "three", "four"], [], ["five", "six"]]
    output, found = run(model, sentences, as_tensors(states))
    ends = []
    for tokens, state, layers in zip(sentences, states, found, strict=True):
        right, end = reference.embed_with_boundaries(tokens, state)
        ends.append(end)
        np.testing.assert_allclose(layers, right, **TOLERANCE)
    assert_state(output, ends, **TOLERANCE)


def test_text_in_pieces_is_the_text_in_the_forward_direction(tiny_model: Path) -> None:
    reference, model = ReferenceElmo.from_folder(tiny_model), load(tiny_model)
    vectors = np.random.default_rng(2).normal(size=(30, 8))
    right, end = reference.run_lstm(vectors)
    inputs = torch.tensor(vectors, dtype=torch.float32)[:, None]
    for direction, half in (("forward", slice(0, 8)), ("backward", slice(8, 16))):
        text = inputs if direction == "forward" else inputs.flip(0)
        states, pieces = None, []
        with torch.no_grad():
            for start in range(0, 30, 7):
                piece = text[start : start + 7]
                layers, states = model._elmo_lstm.run_direction(
                    piece, direction, states
                )
                pieces.append(torch.stack(layers))
        found = torch.cat(pieces, dim=1)[:, :, 0]  # (L, T, P)
        if direction == "backward":
            found = found.flip(1)
        np.testing.assert_allclose(found, right[1:, :, half], **TOLERANCE)
        h = np.stack([h[0].numpy() for h, _ in states])
        np.testing.assert_allclose(h, end.h[:, half], **TOLERANCE)


def test_lstm_row_of_no_length_keeps_its_state(tiny_model: Path) -> None:
    model = load(tiny_model)
    state = tuple(torch.randn(2, 3, width) for width in (16, 32))
    inputs = torch.randn(3, 4, 8)
    with torch.no_grad():
        layers, after = model._elmo_lstm(inputs, torch.tensor([4, 0, 2]), state)
    assert all((layer[1] == 0).all() for layer in layers)
    assert all((layer[2, 2:] == 0).all() for layer in layers)
    for x, y in zip(state, after, strict=True):
        assert torch.equal(x[:, 1], y[:, 1])
        assert not torch.equal(x[:, 2], y[:, 2])


# Weights, in and out


@pytest.mark.parametrize("shape", ["usual", "no projection at all", "three highways"])
def test_to_arrays_gives_back_the_file(shape: str, make_model: MakeModel) -> None:
    folder = make_model(seed=5, **SHAPES[shape])
    arrays = read_arrays(folder / "weights.hdf5")
    found = load(folder).to_arrays()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        # The forget gate's bias has had 1 added and taken away.
        atol = 2.5e-7 if name.endswith("/B") else 0.0
        np.testing.assert_allclose(found[name], array, atol=atol, rtol=0)


def test_parameters_have_the_names_and_order_of_allennlp(tiny_model: Path) -> None:
    arrays = read_arrays(tiny_model / "weights.hdf5")
    found = {k: v.numpy() for k, v in load(tiny_model).state_dict().items()}
    expected = {
        "_token_embedder._char_embedding_weights": np.vstack(
            [np.zeros((1, 4)), arrays["char_embed"]]
        ),
        "_token_embedder._highways._layers.0.weight": np.vstack(
            [
                arrays["CNN_high_0/W_transform"].T,
                -arrays["CNN_high_0/W_carry"].T,
            ]
        ),
        "_token_embedder._highways._layers.0.bias": np.concatenate(
            [arrays["CNN_high_0/b_transform"], -arrays["CNN_high_0/b_carry"]]
        ),
        "_token_embedder._projection.weight": arrays["CNN_proj/W_proj"].T,
        "_token_embedder._projection.bias": arrays["CNN_proj/b_proj"],
    }
    for i in range(3):
        kernel = arrays[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)
        expected[f"_token_embedder.char_conv_{i}.weight"] = kernel
        expected[f"_token_embedder.char_conv_{i}.bias"] = arrays[f"CNN/b_cnn_{i}"]
    for d, direction in enumerate(["forward", "backward"]):
        for layer in range(2):
            at = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            to = f"_elmo_lstm.{direction}_layer_{layer}"
            i, j, f, o = np.split(arrays[f"{at}/W_0"].T, 4)
            weight = np.concatenate([i, f, j, o])
            i, j, f, o = np.split(arrays[f"{at}/B"], 4)
            expected[f"{to}.input_linearity.weight"] = weight[:, :8]
            expected[f"{to}.state_linearity.weight"] = weight[:, 8:]
            expected[f"{to}.state_linearity.bias"] = np.concatenate([i, f + 1, j, o])
            expected[f"{to}.state_projection.weight"] = arrays[f"{at}/W_P_0"].T
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-7, err_msg=name)


def test_two_models_of_the_same_arrays_share_nothing(tiny_model: Path) -> None:
    files = read_model(tiny_model)
    before = {name: array.copy() for name, array in files.arrays.items()}
    model = BiLm.from_arrays(files.options, files.arrays)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for name, array in files.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_model_without_files_has_the_shapes_of_its_options() -> None:
    options = BiLmOptions(
        char_dim=3,
        filters=((1, 2), (3, 4)),
        n_highway=2,
        activation="tanh",
        max_characters=10,
        n_characters=262,
        n_layers=3,
        cell_dim=7,
        projection_dim=5,
        cell_clip=None,
        proj_clip=1.0,
        use_skip_connections=True,
    )
    arrays = BiLm(options).to_arrays()
    assert arrays["char_embed"].shape == (261, 3)
    assert arrays["CNN/W_cnn_1"].shape == (1, 3, 3, 4)
    assert arrays["CNN_high_1/W_carry"].shape == (6, 6)
    assert arrays["RNN_1/RNN/MultiRNNCell/Cell2/LSTMCell/W_0"].shape == (10, 28)
    assert arrays["RNN_1/RNN/MultiRNNCell/Cell2/LSTMCell/W_P_0"].shape == (7, 5)
    assert len(arrays) == 1 + 2 * 2 + 2 * 4 + 2 + 2 * 3 * 3


# Learning


@pytest.mark.parametrize("shape", ["usual", "no projection at all", "tight clips"])
def test_gradients_are_those_of_finite_differences(
    shape: str, make_model: MakeModel
) -> None:
    torch.manual_seed(0)
    model = load(make_model(seed=11, **SHAPES[shape])).double()
    model.requires_grad_(True)
    ids = to_ids(model, [["some", "words", "here"], ["one"]])
    weights = [torch.randn(2, 5, 16, dtype=torch.float64) for _ in range(9)]

    def loss() -> torch.Tensor:
        layers = model(ids).layers
        terms = [(x * w).sum() for x, w in zip(layers, weights, strict=False)]
        return torch.stack(terms).sum()

    loss().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        step = 1e-6 * torch.randn_like(parameter)
        if name.endswith("_char_embedding_weights"):
            step[0] = 0.0  # no token: stays zero, whatever its gradient
        slope = (parameter.grad * step).sum()
        with torch.no_grad():
            parameter += step
            above = loss()
            parameter -= 2 * step
            below = loss()
            parameter += step
        found, expected = float(above - below) / 2, float(slope)
        assert found == pytest.approx(expected, rel=2e-3, abs=1e-9), name
