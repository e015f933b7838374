"""`Elmo`, `ElmoTokenEmbedder` and their mixes."""

import copy
import functools
import http.server
import io
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import reference_numpy
import torch

from sklearn_elmo.allennlp import Elmo, ElmoTokenEmbedder, ScalarMix, batch_to_ids
from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelMismatchError,
    SklearnElmoWarning,
    UnusedParameterWarning,
)
from sklearn_elmo.inference.encoder import Encoder

BATCH = [["The", "cat", "sat", "."], ["Naïve", "café"], ["</S>", "x" * 60, "a"]]
WORDS = ["@@PADDING@@", "The", "cat", "café", "sat"]


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "options.json", folder / "weights.hdf5"


def make_elmo(folder: Path, *arguments: object, **keywords: object) -> Elmo:
    keywords = {"dropout": 0.0, "state": "zero"} | keywords
    return Elmo(*files(folder), *arguments, **keywords)


def embed(elmo: Elmo, batch: list[list[str]] = BATCH, **keywords: object) -> np.ndarray:
    ids = batch_to_ids(batch)
    return elmo(ids, **keywords)["elmo_representations"][0].detach().numpy()


def pad(arrays: list[np.ndarray]) -> np.ndarray:
    """Stack (n_i, D) arrays to (B, T, D)."""
    longest = max(map(len, arrays))
    return np.stack([np.pad(a, ((0, longest - len(a)), (0, 0))) for a in arrays])


def word_inputs(batch: list[list[str]], outside: int) -> torch.Tensor:
    rows = [[WORDS.index(w) if w in WORDS else outside for w in s] for s in batch]
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def test_untrained_elmo_gives_the_mean_of_layers(tiny_model: Path) -> None:
    output = make_elmo(tiny_model, 2)(batch_to_ids(BATCH))
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    expected = pad([reference.embed(tokens).mean(axis=0) for tokens in BATCH])
    assert len(output["elmo_representations"]) == 2
    for representation in output["elmo_representations"]:
        assert representation.dtype == torch.float32
        np.testing.assert_allclose(representation.detach(), expected, atol=2e-6)
    assert output["mask"].dtype == torch.int64
    assert output["mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]


def test_elmo_mixes_with_softmax_weights_and_gamma(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model)
    with torch.no_grad():
        for number, value in enumerate([0.5, -1.0, 2.0]):
            elmo.scalar_mix_0.scalar_parameters[number].fill_(value)
        elmo.scalar_mix_0.gamma.fill_(1.7)
    weights = np.exp([0.5, -1.0, 2.0])
    weights = 1.7 * weights / weights.sum()
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    expected = pad([np.tensordot(weights, reference.embed(s), axes=1) for s in BATCH])
    np.testing.assert_allclose(embed(elmo), expected, atol=5e-6)


def test_elmo_keeps_boundaries_when_asked(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, keep_sentence_boundaries=True)
    output = elmo(batch_to_ids(BATCH))
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    expected = pad(
        [reference.embed_with_boundaries(tokens)[0].mean(axis=0) for tokens in BATCH]
    )
    found = output["elmo_representations"][0].detach()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert output["mask"].sum(dim=1).tolist() == [6, 4, 5]


@pytest.mark.parametrize("keep", [False, True])
def test_layer_norm_is_over_the_whole_batch_with_boundaries(
    tiny_model: Path, keep: bool
) -> None:
    elmo = make_elmo(tiny_model, do_layer_norm=True, keep_sentence_boundaries=keep)
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    sentences = [reference.embed_with_boundaries(tokens)[0] for tokens in BATCH]
    tokens = np.concatenate(sentences, axis=1)  # (L + 1, all tokens, D)
    mean = tokens.mean(axis=(1, 2), keepdims=True)
    scale = np.sqrt(tokens.var(axis=(1, 2), keepdims=True) + 1e-12)
    expected = [((s - mean) / scale).mean(axis=0) for s in sentences]
    padding = (-mean / scale).mean()
    found = embed(elmo)
    for row, vectors in zip(found, expected, strict=True):
        if keep:  # AllenNLP leaves the padding shifted and scaled
            np.testing.assert_allclose(row[: len(vectors)], vectors, atol=1e-5)
            np.testing.assert_allclose(row[len(vectors) :], padding, atol=1e-5)
        else:
            n_tokens = len(vectors) - 2
            np.testing.assert_allclose(row[:n_tokens], vectors[1:-1], atol=1e-5)
            assert not row[n_tokens:].any()


def test_elmo_takes_more_axes_and_gives_them_back(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model)
    flat = elmo(batch_to_ids([*BATCH, ["Hi"]]))
    ids = batch_to_ids([*BATCH, ["Hi"]]).reshape(2, 2, 4, 50)
    output = elmo(ids)
    assert output["elmo_representations"][0].shape == (2, 2, 4, 16)
    assert output["mask"].shape == (2, 2, 4)
    torch.testing.assert_close(
        output["elmo_representations"][0].flatten(0, 1), flat["elmo_representations"][0]
    )


def test_empty_sentence_in_a_batch_is_a_row_of_zeros(tiny_model: Path) -> None:
    output = make_elmo(tiny_model)(batch_to_ids([[], ["a", "b"]]))
    assert not output["elmo_representations"][0][0].any()
    assert output["mask"].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("batch", [[[]], [[], []], []])
def test_batches_without_tokens_give_empty_results(
    tiny_model: Path, batch: list[list[str]]
) -> None:
    output = make_elmo(tiny_model)(batch_to_ids(batch))
    assert output["elmo_representations"][0].shape == (len(batch), 0, 16)


def test_new_module_drops_out_until_eval(tiny_model: Path) -> None:
    elmo = Elmo(*files(tiny_model))
    assert 0.3 < (embed(elmo, [["many", "tokens"] * 10]) == 0).mean() < 0.7
    assert (embed(elmo.eval(), [["many", "tokens"] * 10]) == 0).mean() < 0.01


def test_cached_words_change_no_number(tiny_model: Path) -> None:
    plain = make_elmo(tiny_model)
    cached = make_elmo(tiny_model, vocab_to_cache=WORDS)
    known = [["The", "cat", "sat"], ["café"]]
    np.testing.assert_allclose(
        embed(cached, known, word_inputs=word_inputs(known, 99)),
        embed(plain, known),
        atol=1e-6,
    )


@pytest.mark.parametrize("outside", [len(WORDS), 10_000, -1])
def test_words_outside_the_cache_are_read_by_their_characters(
    tiny_model: Path, outside: int
) -> None:
    plain = make_elmo(tiny_model)
    cached = make_elmo(tiny_model, vocab_to_cache=WORDS)
    found = embed(cached, word_inputs=word_inputs(BATCH, outside))
    np.testing.assert_allclose(found, embed(plain), atol=1e-6)


def test_cache_reads_no_characters_of_cached_words(tiny_model: Path) -> None:
    cached = make_elmo(tiny_model, vocab_to_cache=WORDS)
    other = batch_to_ids([["dog", "The"]])
    found = cached(other, torch.tensor([[2, 1]]))["elmo_representations"][0]
    expected = embed(make_elmo(tiny_model), [["cat", "The"]])
    np.testing.assert_allclose(found.detach(), expected, atol=1e-6)


def test_cached_words_need_no_characters(tiny_model: Path) -> None:
    cached = make_elmo(tiny_model, vocab_to_cache=WORDS)
    none = torch.zeros(1, 2, 50, dtype=torch.int64)
    found = cached(none, torch.tensor([[1, 2]]))["elmo_representations"][0]
    expected = embed(make_elmo(tiny_model), [["The", "cat"]])
    np.testing.assert_allclose(found.detach(), expected, atol=1e-6)


def test_word_inputs_without_a_cache_warn(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model)
    with pytest.warns(UnusedParameterWarning, match="vocab_to_cache"):
        found = embed(elmo, word_inputs=word_inputs(BATCH, 1))
    np.testing.assert_array_equal(found, embed(elmo))


def test_state_is_carried_row_by_row(tiny_model: Path) -> None:
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    elmo = make_elmo(tiny_model, state="carry")
    batches = [
        [["one", "two"], ["three"]],
        [["a"]],  # row 1's state is kept for later
        [["b", "c"], ["d"], ["new", "row"]],
    ]
    states: list = [None, None, None]
    for batch in batches:
        found = embed(elmo, batch)
        for row, tokens in enumerate(batch):
            layers, states[row] = reference.embed_with_boundaries(tokens, states[row])
            expected = layers[:, 1:-1].mean(axis=0)
            np.testing.assert_allclose(found[row, : len(tokens)], expected, atol=5e-6)


def test_reset_states_forgets_all_rows_or_some(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, state="carry")
    cold = embed(elmo)
    warm = embed(elmo)
    assert np.abs(cold - warm).max() > 1e-3
    elmo.reset_states()
    np.testing.assert_array_equal(embed(elmo), cold)
    elmo.reset_states(torch.tensor([1, 0, 1]))
    mixed = embed(elmo)
    np.testing.assert_array_equal(mixed[[0, 2]], cold[[0, 2]])
    np.testing.assert_array_equal(mixed[1], warm[1])
    with pytest.raises(ValueError, match="3 rows"):
        elmo.reset_states(torch.tensor([1, 0]))


def test_state_is_turned_off_in_the_way_of_old_code(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, state="carry")
    elmo._elmo_lstm._elmo_lstm.stateful = False
    first = embed(elmo)
    np.testing.assert_array_equal(embed(elmo), first)


def test_warm_state_is_the_encoder_s_and_the_same_for_every_call(
    tiny_model: Path,
) -> None:
    elmo = make_elmo(tiny_model, state="warm")
    first = embed(elmo)
    np.testing.assert_array_equal(embed(elmo), first)
    h, c = Encoder(elmo._elmo_lstm).warm_state()
    start = (h[:, None].repeat(1, 3, 1).clone(), c[:, None].repeat(1, 3, 1).clone())
    plain = ElmoBiLm(*files(tiny_model))
    plain._elmo_lstm._states = start
    expected = sum(plain(batch_to_ids(BATCH))["activations"])[:, 1:-1] / 3
    np.testing.assert_allclose(first[0], expected[0].detach(), atol=2e-6)
    np.testing.assert_allclose(first, embed(make_elmo(tiny_model)), atol=5.0)
    assert np.abs(first - embed(make_elmo(tiny_model))).max() > 1e-3


def test_state_after_inference_mode_can_be_trained_on(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, state="carry", requires_grad=True)
    with torch.inference_mode():
        embed(elmo)
    elmo(batch_to_ids(BATCH))["elmo_representations"][0].sum().backward()
    assert elmo._elmo_lstm._token_embedder._char_embedding_weights.grad is not None


def test_carried_state_keeps_no_graph(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, state="carry", requires_grad=True)
    for _ in range(2):
        elmo(batch_to_ids(BATCH))["elmo_representations"][0].sum().backward()


def test_parameter_names_are_allennlp_s(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, 2)
    cnn, lstm = "_elmo_lstm._token_embedder", "_elmo_lstm._elmo_lstm"
    expected = {
        f"{cnn}._char_embedding_weights",
        *(
            f"{cnn}.{part}.{kind}"
            for part in (
                "char_conv_0",
                "char_conv_1",
                "char_conv_2",
                "_highways._layers.0",
                "_projection",
            )
            for kind in ("weight", "bias")
        ),
        *(
            f"{lstm}.{direction}_layer_{layer}.{name}"
            for direction in ("forward", "backward")
            for layer in (0, 1)
            for name in (
                "input_linearity.weight",
                "state_linearity.weight",
                "state_linearity.bias",
                "state_projection.weight",
            )
        ),
        *(
            f"scalar_mix_{mix}.{name}"
            for mix in (0, 1)
            for name in (
                "gamma",
                "scalar_parameters.0",
                "scalar_parameters.1",
                "scalar_parameters.2",
            )
        ),
    }
    assert set(elmo.state_dict()) == expected
    assert elmo.scalar_mix_0.gamma.shape == (1,)
    assert elmo.scalar_mix_1.scalar_parameters[2].shape == (1,)


def test_only_the_mixes_train_by_default(tiny_model: Path) -> None:
    trained = [
        n for n, p in make_elmo(tiny_model).named_parameters() if p.requires_grad
    ]
    assert all(name.startswith("scalar_mix_0.") for name in trained)
    assert len(trained) == 4


def test_given_scalar_parameters_are_used_and_frozen(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, 2, scalar_mix_parameters=[-9e10, 1, -9e10])
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    expected = pad([reference.embed(tokens)[1] for tokens in BATCH])
    np.testing.assert_allclose(embed(elmo), expected, atol=2e-6)
    assert not any(parameter.requires_grad for parameter in elmo.parameters())
    with pytest.raises(ValueError, match="2 scalar parameters"):
        make_elmo(tiny_model, scalar_mix_parameters=[0.0, 1.0])


@pytest.mark.parametrize("state", ["zero", "carry", "warm"])
def test_gradients_of_every_weight_are_those_of_small_steps(
    make_model, state: str
) -> None:
    folder = make_model(seed=3, filters=[[1, 3], [2, 4]], cell_dim=5, projection_dim=3)
    elmo = make_elmo(folder, requires_grad=True, state=state).double()
    ids = batch_to_ids([["ab", "c"], ["d"]])
    if state == "carry":
        elmo(ids)
    direction = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 2, 6, generator=direction, dtype=torch.float64)
    start = elmo._elmo_lstm._elmo_lstm._states
    fixed = elmo._elmo_lstm._fixed_warm_state() if state == "warm" else None

    def loss() -> torch.Tensor:
        elmo._elmo_lstm._elmo_lstm._states = start
        if fixed is not None:  # the state itself is a constant to the gradient
            elmo._elmo_lstm._fixed_warm_state = lambda: fixed  # type: ignore
        return (elmo(ids)["elmo_representations"][0] * weights).sum()

    loss().backward()
    for name, parameter in elmo.named_parameters():
        assert parameter.grad is not None, name
        step = torch.randn(parameter.shape, generator=direction, dtype=torch.float64)
        expected = (parameter.grad * step).sum().item()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(step, alpha=sign * 1e-6)
                values.append(loss().item())
                parameter.sub_(step, alpha=sign * 1e-6)
        found = (values[0] - values[1]) / 2e-6
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_fine_tuning_lowers_a_loss(tiny_model: Path) -> None:
    torch.manual_seed(0)
    elmo = make_elmo(tiny_model, requires_grad=True)
    optimizer = torch.optim.SGD(elmo.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        loss = (elmo(batch_to_ids(BATCH))["elmo_representations"][0] - 1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


def test_own_module_takes_the_bilm_s_place(tiny_model: Path) -> None:
    elmo = Elmo(module=ElmoBiLm(*files(tiny_model), state="zero"), dropout=0)
    np.testing.assert_array_equal(embed(elmo), embed(make_elmo(tiny_model)))
    with pytest.raises(ValueError, match="Leave out the files"):
        Elmo(*files(tiny_model), module=ElmoBiLm(*files(tiny_model)))


def test_state_dict_round_trip(tiny_model: Path, make_model) -> None:
    elmo = make_elmo(tiny_model)
    with torch.no_grad():
        elmo.scalar_mix_0.scalar_parameters[1].fill_(2.0)
    buffer = io.BytesIO()
    torch.save(elmo.state_dict(), buffer)
    buffer.seek(0)
    other = make_elmo(make_model(seed=99))
    other.load_state_dict(torch.load(buffer, weights_only=True))
    np.testing.assert_array_equal(embed(other), embed(elmo))


def save(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_saved_weights_trained_leaves_the_frozen_weights_out(
    tiny_model: Path, make_model
) -> None:
    small = make_elmo(tiny_model, saved_weights="trained")
    with torch.no_grad():
        small.scalar_mix_0.gamma.fill_(3.0)
    saved = small.state_dict()
    assert len(saved) == 5
    assert len(save(saved)) < 0.5 * len(save(make_elmo(tiny_model).state_dict()))
    again = make_elmo(tiny_model)
    again.load_state_dict(torch.load(io.BytesIO(save(saved)), weights_only=True))
    np.testing.assert_array_equal(embed(again), embed(small))
    with pytest.raises(ModelMismatchError, match="digest"):
        make_elmo(make_model(seed=98)).load_state_dict(saved)
    pickled = pickle.dumps(small)
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(embed(pickle.loads(pickled)), embed(small))
    copied = copy.deepcopy(small)
    np.testing.assert_array_equal(embed(copied), embed(small))


def test_saved_weights_trained_keeps_a_trained_bilm_whole(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, saved_weights="trained", requires_grad=True)
    assert "_elmo_lstm._token_embedder._char_embedding_weights" in elmo.state_dict()


def test_weights_that_were_trained_and_frozen_again_are_saved(
    tiny_model: Path,
) -> None:
    elmo = make_elmo(tiny_model, saved_weights="trained")
    small = elmo.state_dict()
    with torch.no_grad():
        elmo._elmo_lstm._elmo_lstm.forward_layer_0.state_linearity.bias.add_(0.5)
    trained = embed(elmo)
    again = make_elmo(tiny_model)
    again.load_state_dict(elmo.state_dict())
    np.testing.assert_array_equal(embed(again), trained)
    np.testing.assert_array_equal(embed(pickle.loads(pickle.dumps(elmo))), trained)
    again.load_state_dict(small)  # the file's weights, not those that are there
    np.testing.assert_array_equal(embed(again), embed(make_elmo(tiny_model)))


def test_elmo_inside_a_bigger_module_saves_small(tiny_model: Path) -> None:
    def build() -> torch.nn.Sequential:
        embedder = ElmoTokenEmbedder(
            *files(tiny_model), dropout=0, state="zero", saved_weights="trained"
        )
        return torch.nn.Sequential(embedder, torch.nn.Linear(16, 2))

    model = build()
    saved = torch.load(io.BytesIO(save(model.state_dict())), weights_only=True)
    assert "0._elmo._elmo_lstm.frozen_weights_digest" in saved
    other = build()
    other.load_state_dict(saved)
    torch.testing.assert_close(other(batch_to_ids(BATCH)), model(batch_to_ids(BATCH)))


def test_deep_copy_carries_on_by_itself(tiny_model: Path) -> None:
    elmo = make_elmo(tiny_model, state="carry")
    embed(elmo)
    other = copy.deepcopy(elmo)
    second = embed(elmo)
    np.testing.assert_array_equal(embed(other), second)
    embed(other, [["else"]])
    third = embed(elmo)
    assert np.abs(embed(other) - third).max() > 0


@pytest.mark.parametrize("saved_weights", ["all", "trained"])
def test_pickle_carries_the_state_on_as_allennlp_s(
    tiny_model: Path, saved_weights: str
) -> None:
    elmo = make_elmo(tiny_model, state="carry", saved_weights=saved_weights)
    cold = embed(elmo)
    again = pickle.loads(pickle.dumps(elmo))
    second = embed(elmo)
    assert np.abs(second - cold).max() > 1e-3
    np.testing.assert_array_equal(embed(again), second)


@pytest.mark.parametrize("state", ["carry", "zero", "warm"])
def test_replicas_of_data_parallel_run_and_leave_the_module_alone(
    tiny_model: Path, state: str
) -> None:
    """What torch.nn.DataParallel does on every GPU, without the GPUs."""
    elmo = make_elmo(tiny_model, state=state, vocab_to_cache=WORDS)
    expected = embed(elmo, word_inputs=word_inputs(BATCH, 99))
    elmo.reset_states()

    def replicate(module: torch.nn.Module) -> torch.nn.Module:
        replica = module._replicate_for_data_parallel()
        for name, parameter in module._parameters.items():
            value = None if parameter is None else parameter.detach().clone()
            object.__setattr__(replica, name, value)
        for name, child in module._modules.items():
            replica._modules[name] = None if child is None else replicate(child)
        return replica

    found = embed(replicate(elmo), word_inputs=word_inputs(BATCH, 99))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert elmo._elmo_lstm._elmo_lstm._states is None


def test_token_embedder_is_one_mix(tiny_model: Path) -> None:
    embedder = ElmoTokenEmbedder(*files(tiny_model), dropout=0, state="zero")
    assert embedder.get_output_dim() == 16
    found = embedder(batch_to_ids(BATCH)).detach()
    np.testing.assert_array_equal(found, embed(make_elmo(tiny_model)))


def test_token_embedder_projects_after_the_mix(tiny_model: Path) -> None:
    embedder = ElmoTokenEmbedder.from_config(
        {
            "type": "elmo_token_embedder",
            "options_file": str(tiny_model / "options.json"),
            "weight_file": str(tiny_model / "weights.hdf5"),
            "projection_dim": 5,
            "dropout": 0.0,
            "namespace_to_cache": "tokens",
        },
        vocabulary=WORDS,
    )
    assert embedder.get_output_dim() == 5
    found = embedder(batch_to_ids(BATCH), word_inputs(BATCH, 99))
    plain = torch.from_numpy(embed(make_elmo(tiny_model)))
    torch.testing.assert_close(found, embedder._projection(plain))


def test_token_embedder_config_names_an_unknown_key(tiny_model: Path) -> None:
    with pytest.raises(InvalidParameterError, match="droput"):
        ElmoTokenEmbedder.from_config({"droput": 0.1})


@pytest.mark.parametrize(
    ("keywords", "match"),
    [
        ({"num_output_representations": 0}, "at least 1"),
        ({"state": "hot"}, "'state' parameter"),
        ({"saved_weights": "some"}, "'saved_weights' parameter"),
    ],
)
def test_elmo_refuses_wrong_parameters(
    tiny_model: Path, keywords: dict[str, object], match: str
) -> None:
    with pytest.raises(InvalidParameterError, match=match):
        Elmo(*files(tiny_model), **keywords)


def test_elmo_refuses_weights_alone(tiny_model: Path) -> None:
    with pytest.raises(InvalidParameterError, match="without an options file"):
        Elmo(weight_file=tiny_model / "weights.hdf5")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 40)])
def test_elmo_refuses_ids_of_another_shape(
    tiny_model: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="batch_to_ids"):
        make_elmo(tiny_model)(torch.ones(shape, dtype=torch.int64))


def test_elmo_takes_a_folder(tiny_model: Path) -> None:
    elmo = Elmo(tiny_model, dropout=0, state="zero")
    np.testing.assert_array_equal(embed(elmo), embed(make_elmo(tiny_model)))


def test_fine_tuning_beside_a_cache_warns(tiny_model: Path) -> None:
    with pytest.warns(SklearnElmoWarning, match="trained independently"):
        make_elmo(tiny_model, requires_grad=True, vocab_to_cache=WORDS)


def test_scalar_mix_refuses_another_number_of_layers() -> None:
    with pytest.raises(ValueError, match="1 layers"):
        ScalarMix(2)([torch.zeros(1, 1, 3)])


def test_scalar_mix_of_a_fully_masked_batch_is_finite() -> None:
    mix = ScalarMix(2, do_layer_norm=True)
    layers = [torch.zeros(1, 2, 3)] * 2
    assert torch.isfinite(mix(layers, torch.zeros(1, 2))).all()
    assert mix.layer_weights().tolist() == [0.5, 0.5]
    torch.testing.assert_close(
        mix([torch.randn(4, 2, 3)] * 2).std(unbiased=False), torch.tensor(1.0)
    )


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def test_files_may_be_urls_and_are_fetched_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN_ELMO_HOME", str(tmp_path))
    handler = functools.partial(QuietHandler, directory=str(tiny_model))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        urls = f"{url}/options.json", f"{url}/weights.hdf5"
        first = Elmo(*urls, 1, dropout=0, state="zero")
        server.shutdown()
        thread.join()
    again = Elmo(*urls, 1, dropout=0, state="zero")
    for elmo in (first, again):
        np.testing.assert_array_equal(embed(elmo), embed(make_elmo(tiny_model)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("state", ["carry", "zero", "warm"])
def test_elmo_moves_to_the_gpu_and_back(tiny_model: Path, state: str) -> None:
    here = make_elmo(tiny_model, state=state, vocab_to_cache=WORDS)
    there = copy.deepcopy(here).to("cuda")
    ids, words = batch_to_ids(BATCH), word_inputs(BATCH, 99)
    for _ in range(2):
        expected = here(ids, words)["elmo_representations"][0]
        found = there(ids.to("cuda"), words.to("cuda"))["elmo_representations"][0]
        torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-4)
    there(ids.to("cuda"), words.to("cuda"))
    here(ids, words)
    there.to("cpu")
    torch.testing.assert_close(
        there(ids, words)["elmo_representations"][0],
        here(ids, words)["elmo_representations"][0],
        atol=1e-4,
        rtol=1e-4,
    )
