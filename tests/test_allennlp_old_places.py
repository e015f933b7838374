"""Private places of AllenNLP's classes that old code reads and writes."""

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import reference_numpy
import torch

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.allennlp import (
    Elmo,
    ElmoEmbedder,
    ELMoTokenCharactersIndexer,
    ElmoTokenEmbedder,
    ScalarMix,
    batch_to_ids,
)
from sklearn_elmo.allennlp.character_encoder import ElmoCharacterEncoder
from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm
from sklearn_elmo.allennlp.elmo_lstm import ElmoLstm
from sklearn_elmo.allennlp.indexers import TokenIndexer
from sklearn_elmo.errors import InvalidParameterError

BATCH = [["The", "cat", "sat"], ["Hello"]]
WORDS = ["@@PADDING@@", "The", "cat", "sat", "Hello"]


def files(folder: Path) -> tuple[str, str]:
    return str(folder / "options.json"), str(folder / "weights.hdf5")


@pytest.fixture
def elmo(tiny_model: Path) -> Elmo:
    return Elmo(*files(tiny_model), 2, dropout=0)


def embed(elmo: Elmo, *inputs: torch.Tensor) -> np.ndarray:
    inputs = inputs or (batch_to_ids(BATCH),)
    return elmo(*inputs)["elmo_representations"][0].detach().numpy()


# The carried state.


def test_setting_the_states_to_none_forgets_them(elmo: Elmo) -> None:
    lstm = elmo._elmo_lstm._elmo_lstm
    assert lstm._states is None
    cold = embed(elmo)
    assert [tuple(state.shape) for state in lstm._states] == [(2, 2, 16), (2, 2, 32)]
    assert np.abs(embed(elmo) - cold).max() > 1e-3
    lstm._states = None
    np.testing.assert_array_equal(embed(elmo), cold)
    lstm.reset_states()
    np.testing.assert_array_equal(embed(elmo), cold)


def test_states_can_be_a_list_that_is_changed_in_place(elmo: Elmo) -> None:
    """As code does that moves the state from device to device."""
    lstm = elmo._elmo_lstm._elmo_lstm
    cold = embed(elmo)
    lstm._states = [state.to("cpu") for state in lstm._states]
    for number in range(len(lstm._states)):
        lstm._states[number] = torch.zeros_like(lstm._states[number])
    np.testing.assert_array_equal(embed(elmo), cold)


@pytest.mark.parametrize(
    "states",
    [
        (torch.zeros(2, 1, 16),),
        (torch.zeros(2, 1, 16), torch.zeros(2, 1, 16)),
        (torch.zeros(1, 1, 16), torch.zeros(1, 1, 32)),
        (torch.zeros(2, 16), torch.zeros(2, 32)),
    ],
)
def test_states_of_another_shape_are_refused(elmo: Elmo, states: tuple) -> None:
    elmo._elmo_lstm._elmo_lstm._states = states
    with pytest.raises(ValueError, match="Set _states to None"):
        embed(elmo)


def test_stateful_can_be_turned_off_and_on(elmo: Elmo) -> None:
    lstm = elmo._elmo_lstm._elmo_lstm
    assert lstm.stateful
    lstm.stateful = False
    cold = embed(elmo)
    np.testing.assert_array_equal(embed(elmo), cold)
    lstm.stateful = True
    embed(elmo)
    assert np.abs(embed(elmo) - cold).max() > 1e-3


class UnpickledEmbedder:
    """Keeps an ElmoEmbedder and touches its state when it is unpickled."""

    def __init__(self, embedder: ElmoEmbedder) -> None:
        self.ee = embedder

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ = state
        self.ee.cuda_device = -1
        self.ee.elmo_bilm.to(device="cpu")
        lstm = self.ee.elmo_bilm._elmo_lstm
        lstm._states = tuple([part.to("cpu") for part in lstm._states])


def test_pickle_keeps_the_states_that_a_setstate_reads(tiny_model: Path) -> None:
    before = UnpickledEmbedder(ElmoEmbedder(*files(tiny_model)))
    before.ee.embed_sentence(["warm", "up"])
    after = pickle.loads(pickle.dumps(before))
    np.testing.assert_array_equal(
        after.ee.embed_sentence(["a"]), before.ee.embed_sentence(["a"])
    )


# Sizes, options, files.


def test_sizes_are_those_of_the_model(elmo: Elmo) -> None:
    bilm = elmo._elmo_lstm
    lstm = bilm._elmo_lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.cell_size) == (8, 8, 16)
    assert (lstm.num_layers, bilm.num_layers) == (2, 3)
    assert not lstm.requires_grad
    assert not bilm._requires_grad
    assert bilm._token_embedder.get_output_dim() == 8
    assert bilm._token_embedder.output_dim == 8
    assert lstm.forward_layers[1] is lstm.forward_layer_1
    assert lstm.backward_layers[0].state_linearity.weight.shape == (64, 8)
    assert lstm.forward_layer_0.go_forward
    assert not lstm.backward_layer_0.go_forward


def test_clips_of_a_layer_can_be_set(elmo: Elmo) -> None:
    layer = elmo._elmo_lstm._elmo_lstm.forward_layer_0
    assert layer.memory_cell_clip_value == 3.0
    before = embed(elmo)
    elmo.reset_states()
    layer.state_projection_clip_value = 0.01
    assert np.abs(embed(elmo) - before).max() > 1e-3


def test_model_can_be_saved_by_its_options_and_weight_file(
    elmo: Elmo, tmp_path: Path
) -> None:
    encoder = elmo._elmo_lstm._token_embedder
    shutil.copy(encoder._weight_file, tmp_path / "weights.hdf5")
    (tmp_path / "options.json").write_text(json.dumps(encoder._options))
    again = Elmo(*files(tmp_path), 1, dropout=0)
    np.testing.assert_array_equal(embed(again), embed(elmo))


def test_weight_file_of_a_folder_is_found(tiny_model: Path) -> None:
    encoder = ElmoCharacterEncoder(tiny_model)
    assert Path(encoder._weight_file) == tiny_model / "weights.hdf5"


def test_weight_file_in_a_zip_has_no_path(tiny_model: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", tiny_model)
    encoder = ElmoCharacterEncoder(archive)
    with pytest.raises(InvalidParameterError, match="Unpack it"):
        encoder._weight_file  # noqa: B018


# The character encoder.


def test_token_embedder_gives_vectors_with_boundaries(
    elmo: Elmo, tiny_model: Path
) -> None:
    output = elmo._elmo_lstm._token_embedder(batch_to_ids(BATCH))
    assert output["token_embedding"].shape == (2, 5, 8)
    assert output["mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    reference = reference_numpy.ReferenceElmo.from_folder(tiny_model)
    for row, tokens in enumerate(BATCH):
        layers, _ = reference.embed_with_boundaries(tokens)
        np.testing.assert_allclose(
            output["token_embedding"][row, : len(tokens) + 2].detach(),
            layers[0, :, :8],
            atol=2e-6,
        )


def test_parameters_of_the_encoder_alone_have_allennlp_s_names(
    tiny_model: Path,
) -> None:
    names = list(ElmoCharacterEncoder(*files(tiny_model)).state_dict())
    assert names[:2] == ["_char_embedding_weights", "char_conv_0.weight"]
    assert "_highways._layers.0.weight" in names
    assert "_projection.bias" in names


def test_convolutions_and_boundary_ids_are_there(elmo: Elmo) -> None:
    encoder = elmo._elmo_lstm._token_embedder
    assert encoder._convolutions[0] is encoder.char_conv_0
    assert encoder._beginning_of_sentence_characters[:3].tolist() == [259, 257, 260]
    assert encoder._end_of_sentence_characters[:3].tolist() == [259, 258, 260]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_ids_of_other_integer_types_give_the_same(
    elmo: Elmo, dtype: torch.dtype
) -> None:
    ids = batch_to_ids(BATCH)
    if dtype == torch.uint8:  # 259 to 261 do not fit
        ids = ids.clamp(max=255)
    expected = embed(elmo, ids)
    elmo.reset_states()
    np.testing.assert_array_equal(embed(elmo, ids.to(dtype)), expected)


def test_float_ids_are_refused(elmo: Elmo) -> None:
    with pytest.raises(ValueError, match="expected integers"):
        embed(elmo, batch_to_ids(BATCH).float())


def remove_boundaries_slowly(
    tensor: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    rows, new_mask = [], torch.zeros(len(mask), mask.shape[1] - 2, dtype=torch.int64)
    for number, (row, row_mask) in enumerate(zip(tensor, mask, strict=True)):
        n_tokens = max(int(row_mask.sum()) - 2, 0)
        padding = torch.zeros(len(row) - 2 - n_tokens, row.shape[1])
        rows.append(torch.cat([row[1 : 1 + n_tokens], padding]))
        new_mask[number, :n_tokens] = 1
    return torch.stack(rows), new_mask


def test_token_without_characters_inside_a_sentence_acts_as_in_allennlp(
    elmo: Elmo,
) -> None:
    """</S> is where the count of tokens puts it, over the last one; a hole in the mask.

    The LSTM reads as many positions as the mask has ones.
    """
    ids = batch_to_ids([["a", "b", "c"]])
    ids[0, 1] = 0
    output = elmo._elmo_lstm(ids)
    assert output["mask"].tolist() == [[1, 1, 0, 1, 0]]
    token_layer, first = output["activations"][:2]
    assert not token_layer[0, 2].any()
    assert not first[0, 3:].any()
    elmo.reset_states()
    whole = elmo._elmo_lstm(batch_to_ids([["a", "b", "c"]]))
    torch.testing.assert_close(  # the </S> in the place of "c"
        token_layer[0, 3], whole["activations"][0][0, 4]
    )
    elmo.reset_states()
    found = elmo(ids)
    assert found["mask"].tolist() == [[1, 0, 0]]
    mixed = sum(output["activations"]) / 3
    expected, _ = remove_boundaries_slowly(mixed, output["mask"])
    torch.testing.assert_close(found["elmo_representations"][0], expected)


# Cached words.


def test_word_ids_alone_are_enough_with_a_cache(tiny_model: Path) -> None:
    """Old code passes the word ids twice, and removes the character encoder."""
    elmo = Elmo(*files(tiny_model), 1, dropout=0, vocab_to_cache=WORDS)
    del elmo._elmo_lstm._token_embedder
    word_ids = torch.tensor([[1, 2, 3], [4, 0, 0]])
    found = elmo(word_ids, word_ids)
    expected = Elmo(*files(tiny_model), 1, dropout=0)(batch_to_ids(BATCH))
    torch.testing.assert_close(
        found["elmo_representations"][0], expected["elmo_representations"][0]
    )
    assert torch.equal(found["mask"], expected["mask"])
    weight = elmo._elmo_lstm._word_embedding.weight
    assert weight.shape == (5, 8)
    assert not weight[0].any()


def test_word_ids_with_more_axes(tiny_model: Path) -> None:
    elmo = Elmo(*files(tiny_model), 1, dropout=0, vocab_to_cache=WORDS, state="zero")
    word_ids = torch.tensor([[[1, 2, 3], [4, 0, 0]]])
    flat = elmo(word_ids[0], word_ids[0])["elmo_representations"][0]
    found = elmo(word_ids, word_ids)
    assert found["mask"].shape == (1, 2, 3)
    torch.testing.assert_close(found["elmo_representations"][0][0], flat)


def test_word_id_0_inside_a_sentence_acts_as_in_allennlp(tiny_model: Path) -> None:
    elmo = Elmo(*files(tiny_model), 1, dropout=0, vocab_to_cache=WORDS)
    word_ids = torch.tensor([[1, 0, 3]])
    output = elmo._elmo_lstm(word_ids, word_ids)
    assert output["mask"].tolist() == [[1, 1, 0, 1, 0]]
    # The LSTM reads <S>, The, zeros: as many positions as the mask has ones.
    bilm = elmo._elmo_lstm
    vectors = torch.zeros(1, 5, 8)
    vectors[0, 0], vectors[0, 1] = bilm._bos_embedding, bilm._word_embedding.weight[1]
    vectors[0, 3] = bilm._eos_embedding
    torch.testing.assert_close(
        output["activations"][0], torch.cat([vectors, vectors], dim=-1)
    )
    bilm.reset_states()
    layers = bilm._elmo_lstm(vectors, torch.tensor([[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(output["activations"][1:], list(layers))
    bilm.reset_states()
    assert elmo(word_ids, word_ids)["mask"].tolist() == [[1, 0, 0]]


def test_unknown_word_id_without_characters_is_refused(tiny_model: Path) -> None:
    elmo = Elmo(*files(tiny_model), 1, vocab_to_cache=WORDS)
    word_ids = torch.tensor([[1, 9]])
    with pytest.raises(ValueError, match="1 indices outside of the 5 cached words"):
        elmo(word_ids, word_ids)


def test_words_can_be_cached_later(elmo: Elmo) -> None:
    bilm = elmo._elmo_lstm
    assert bilm._word_embedding is bilm._bos_embedding is bilm._eos_embedding is None
    expected = embed(elmo)
    elmo.reset_states()
    bilm.create_cached_cnn_embeddings(WORDS)
    boundaries = bilm._token_embedder(batch_to_ids([["a"]]))["token_embedding"][0]
    torch.testing.assert_close(bilm._bos_embedding, boundaries[0])
    torch.testing.assert_close(bilm._eos_embedding, boundaries[2])
    elmo._has_cached_vocab = True
    word_ids = torch.tensor([[1, 2, 3], [4, 0, 0]])
    np.testing.assert_allclose(embed(elmo, word_ids, word_ids), expected, atol=1e-6)


def test_cached_words_train_only_when_asked(tiny_model: Path) -> None:
    bilm = ElmoBiLm(*files(tiny_model), vocab_to_cache=WORDS)
    assert not bilm._word_embedding.weight.requires_grad
    with pytest.warns(UserWarning, match="trained independently"):
        bilm = ElmoBiLm(*files(tiny_model), requires_grad=True, vocab_to_cache=WORDS)
    assert bilm._word_embedding.weight.requires_grad


# Mixes, and modules of the caller's.


def test_scalar_mixes_are_the_modules(elmo: Elmo) -> None:
    assert len(elmo._scalar_mixes) == 2
    assert elmo._scalar_mixes[0] is elmo.scalar_mix_0
    loss = sum(
        parameter.pow(2).sum()
        for mix in elmo._scalar_mixes
        for parameter in mix.scalar_parameters
    )
    assert loss.item() == 0
    elmo.scalar_mix_1 = torch.nn.Identity()
    assert elmo._scalar_mixes[1] is elmo.scalar_mix_1


class TransformedLstm(torch.nn.Module):
    def __init__(self, lstm: ElmoLstm) -> None:
        super().__init__()
        self.lstm = lstm
        self.matrix = torch.nn.Parameter(torch.eye(lstm.hidden_size))

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.lstm(inputs @ self.matrix, mask)


def test_lstm_can_be_wrapped(elmo: Elmo, tiny_model: Path) -> None:
    elmo._elmo_lstm._elmo_lstm = TransformedLstm(elmo._elmo_lstm._elmo_lstm)
    expected = embed(Elmo(*files(tiny_model), 1, dropout=0))
    np.testing.assert_allclose(embed(elmo), expected, atol=1e-6)
    with torch.no_grad():
        elmo._elmo_lstm._elmo_lstm.matrix.mul_(2)
    assert np.abs(embed(elmo) - expected).max() > 1e-3


def test_embedder_runs_a_wrapped_lstm(tiny_model: Path) -> None:
    embedder = ElmoEmbedder(*files(tiny_model))
    expected = ElmoEmbedder(*files(tiny_model)).embed_batch(BATCH)
    bilm = embedder.elmo_bilm
    bilm._elmo_lstm = TransformedLstm(bilm._elmo_lstm)
    for found, wanted in zip(embedder.embed_batch(BATCH), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


class DoubledEncoder(torch.nn.Module):
    def __init__(self, encoder: ElmoCharacterEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        output = self.encoder(inputs)
        return {**output, "token_embedding": 2 * output["token_embedding"]}


def test_character_encoder_can_be_wrapped(elmo: Elmo) -> None:
    before = elmo._elmo_lstm(batch_to_ids(BATCH))["activations"][0]
    elmo._elmo_lstm._token_embedder = DoubledEncoder(elmo._elmo_lstm._token_embedder)
    after = elmo._elmo_lstm(batch_to_ids(BATCH))["activations"][0]
    torch.testing.assert_close(after, 2 * before)


# What cannot be honoured.


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("", "_scalar_mixes"),
        ("_elmo_lstm", "num_layers"),
        ("_elmo_lstm", "_states"),
        ("_elmo_lstm._elmo_lstm", "hidden_size"),
        ("_elmo_lstm._elmo_lstm", "input_size"),
        ("_elmo_lstm._elmo_lstm", "num_layers"),
        ("_elmo_lstm._elmo_lstm", "forward_layers"),
        ("_elmo_lstm._elmo_lstm.forward_layer_0", "cell_size"),
        ("_elmo_lstm._token_embedder", "_options"),
        ("_elmo_lstm._token_embedder", "_weight_file"),
        ("_elmo_lstm._token_embedder", "output_dim"),
        ("_elmo_lstm._token_embedder", "requires_grad"),
        ("_elmo_lstm._token_embedder", "_convolutions"),
        ("_elmo_lstm._token_embedder._highways", "_input_dim"),
    ],
)
@pytest.mark.parametrize("value", [None, 3, torch.nn.Identity(), torch.zeros(1)])
def test_places_that_nothing_would_read_cannot_be_set(
    elmo: Elmo, place: str, name: str, value: object
) -> None:
    with pytest.raises(AttributeError, match=f"{name} cannot be set: the new value"):
        setattr(elmo.get_submodule(place), name, value)


ATTRIBUTES_IN_ALLENNLP = {
    "": (
        "_elmo_lstm _has_cached_vocab _keep_sentence_boundaries _dropout "
        "_scalar_mixes scalar_mix_0 get_output_dim from_params"
    ),
    "_elmo_lstm": (
        "_token_embedder _requires_grad _word_embedding _bos_embedding _eos_embedding "
        "_elmo_lstm num_layers get_output_dim create_cached_cnn_embeddings"
    ),
    "_elmo_lstm._token_embedder": (
        "_options _weight_file output_dim requires_grad _load_weights "
        "_beginning_of_sentence_characters _end_of_sentence_characters "
        "_char_embedding_weights _convolutions char_conv_0 _highways _projection "
        "get_output_dim _load_char_embedding _load_cnn_weights _load_highway "
        "_load_projection"
    ),
    "_elmo_lstm._token_embedder._highways": "_input_dim _layers _activation",
    "_elmo_lstm._elmo_lstm": (
        "input_size hidden_size num_layers cell_size requires_grad forward_layers "
        "backward_layers forward_layer_0 backward_layer_1 load_weights stateful "
        "_states _lstm_forward sort_and_run_forward _get_initial_states "
        "_update_states reset_states"
    ),
    "_elmo_lstm._elmo_lstm.forward_layer_0": (
        "input_size hidden_size cell_size go_forward state_projection_clip_value "
        "memory_cell_clip_value recurrent_dropout_probability input_linearity "
        "state_linearity state_projection reset_parameters"
    ),
    "scalar_mix_0": "mixture_size do_layer_norm scalar_parameters gamma",
}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (place, name)
        for place, names in ATTRIBUTES_IN_ALLENNLP.items()
        for name in names.split()
    ],
)
def test_every_attribute_of_allennlp_s_classes_is_there_or_explained(
    elmo: Elmo, place: str, name: str
) -> None:
    module = elmo.get_submodule(place)
    if name in getattr(module, "_absent", {}):
        with pytest.raises(AttributeError, match="unlike AllenNLP's class"):
            getattr(module, name)
        with pytest.raises(AttributeError, match="cannot be set"):
            setattr(module, name, None)
    else:
        getattr(module, name)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("_elmo_lstm", "_states"),
        ("_elmo_lstm._elmo_lstm", "_lstm_forward"),
        ("_elmo_lstm._token_embedder", "_load_weights"),
        ("_elmo_lstm._token_embedder", "_load_cnn_weights"),
    ],
)
def test_places_that_do_not_exist_say_so(elmo: Elmo, place: str, name: str) -> None:
    with pytest.raises(AttributeError, match="unlike AllenNLP's class"):
        getattr(elmo.get_submodule(place), name)


@pytest.mark.parametrize(
    "change",
    [
        lambda options: options.update(char_cnn={}),
        lambda options: options.__setitem__("lstm", {}),
        lambda options: options["char_cnn"].__setitem__("activation", "tanh"),
        lambda options: options["lstm"].pop("dim"),
    ],
)
def test_options_cannot_be_changed_without_effect(elmo: Elmo, change) -> None:
    encoder = elmo._elmo_lstm._token_embedder
    with pytest.raises(TypeError, match="_options cannot be changed"):
        change(encoder._options)
    copied = copy.deepcopy(encoder._options)
    copied["lstm"]["dim"] = 3  # a copy is the caller's own
    assert pickle.loads(pickle.dumps(encoder._options)) == encoder._options
    assert encoder._options["lstm"]["dim"] == 16


def test_activation_of_the_highways_can_be_set(elmo: Elmo) -> None:
    before = embed(elmo)
    elmo.reset_states()
    elmo._elmo_lstm._token_embedder._highways._activation = torch.tanh
    assert np.abs(embed(elmo) - before).max() > 1e-3


# Parameters.


def test_parameters_have_allennlp_s_order(tiny_model: Path) -> None:
    """Optimizer states are loaded by order, not by name."""
    elmo = Elmo(*files(tiny_model), 2, vocab_to_cache=WORDS)
    names = [name for name, _ in elmo.named_parameters()]
    convolutions = [
        f"char_conv_{number}.{kind}"
        for number in range(3)
        for kind in ("weight", "bias")
    ]
    encoder = [
        "_char_embedding_weights",
        *convolutions,
        "_highways._layers.0.weight",
        "_highways._layers.0.bias",
        "_projection.weight",
        "_projection.bias",
    ]
    lstm = [
        f"{direction}_layer_{layer}.{name}"
        for layer in range(2)
        for direction in ("forward", "backward")
        for name in (
            "input_linearity.weight",
            "state_linearity.weight",
            "state_linearity.bias",
            "state_projection.weight",
        )
    ]
    mixes = [
        f"scalar_mix_{number}.{name}"
        for number in range(2)
        for name in ("gamma", *(f"scalar_parameters.{k}" for k in range(3)))
    ]
    assert names == [
        *(f"_elmo_lstm._token_embedder.{name}" for name in encoder),
        "_elmo_lstm._word_embedding.weight",
        *(f"_elmo_lstm._elmo_lstm.{name}" for name in lstm),
        *mixes,
    ]


def test_optimizer_state_belongs_to_the_layers_that_allennlp_s_has(
    make_model,
) -> None:
    """Layers 0 and 1 have different widths, so that a swap does not go unnoticed."""
    lstm = ElmoLstm(input_size=3, hidden_size=4, cell_size=5, num_layers=2)
    shapes = [tuple(parameter.shape) for parameter in lstm.parameters()]
    layer_0 = [(20, 3), (20, 4), (20,), (4, 5)]
    layer_1 = [(20, 4), (20, 4), (20,), (4, 5)]
    assert shapes == [*layer_0, *layer_0, *layer_1, *layer_1]


def test_optimizer_state_of_allennlp_s_order_reaches_its_parameters(
    tiny_model: Path,
) -> None:
    """The moments of both directions and layers differ, as after a step in AllenNLP."""
    elmo = Elmo(*files(tiny_model), 1, requires_grad=True)
    names = [name for name, _ in elmo.named_parameters()]
    optimizer = torch.optim.Adam(elmo.parameters())
    state = optimizer.state_dict()
    state["state"] = {
        number: {
            "step": torch.tensor(1.0),
            "exp_avg": torch.full_like(parameter, number),
            "exp_avg_sq": torch.ones_like(parameter),
        }
        for number, parameter in enumerate(elmo.parameters())
    }
    optimizer.load_state_dict(state)
    lstm = elmo._elmo_lstm._elmo_lstm
    first = names.index("_elmo_lstm._elmo_lstm.forward_layer_0.input_linearity.weight")
    for place, layer in enumerate(
        ["forward_layer_0", "backward_layer_0", "forward_layer_1", "backward_layer_1"]
    ):
        weight = lstm.get_submodule(layer).input_linearity.weight
        moments = optimizer.state[weight]["exp_avg"]
        assert (moments == first + 4 * place).all()


def test_state_dicts_in_another_order_load(tiny_model: Path, make_model) -> None:
    """Those of older versions of this package have all forward layers first."""
    saved = Elmo(*files(tiny_model), 1, dropout=0).state_dict()
    older = dict(sorted(saved.items()))
    elmo = Elmo(*files(make_model(seed=5)), 1, dropout=0)
    elmo.load_state_dict(older)
    np.testing.assert_array_equal(
        embed(elmo), embed(Elmo(*files(tiny_model), 1, dropout=0))
    )


def test_missing_file_is_a_file_not_found_error(tiny_model: Path) -> None:
    options, weights = files(tiny_model)
    for names in [("nowhere.json", weights), (options, "nowhere.hdf5")]:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            Elmo(*names, 1)


@pytest.mark.parametrize(
    "build",
    [
        Elmo,
        ElmoTokenEmbedder,
        ElmoEmbedder,
        ElmoCharacterEncoder,
        lambda *pair: ElmoVectorizer(model=pair).fit(["a"]),
    ],
)
def test_swapped_files_are_named(tiny_model: Path, build) -> None:
    with pytest.raises(ValueError, match="swapped"):
        build(*reversed(files(tiny_model)))


def test_from_params_of_every_class(tiny_model: Path) -> None:
    options, weights = files(tiny_model)
    config = {"options_file": options, "weight_file": weights, "dropout": "0.0"}
    elmo = Elmo.from_params({**config, "num_output_representations": 2})
    assert len(elmo._scalar_mixes) == 2
    assert elmo._dropout.p == 0.0
    embedder = ElmoTokenEmbedder.from_params(None, {**config, "projection_dim": 5})
    assert embedder.get_output_dim() == 5
    mix = ScalarMix.from_params({"mixture_size": 3, "trainable": "false"})
    assert not mix.gamma.requires_grad
    indexer = TokenIndexer.from_params({"type": "elmo_characters"})
    assert indexer == ELMoTokenCharactersIndexer.from_params({})
    with pytest.raises(InvalidParameterError, match="'droput'"):
        Elmo.from_params({**config, "droput": 1})
