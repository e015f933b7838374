"""Masks, boundaries and stateful encoders, against slow loops and PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_elmo.allennlp import Elmo
from sklearn_elmo.allennlp.elmo_lstm import ElmoLstm
from sklearn_elmo.allennlp.encoder_base import EncoderBase
from sklearn_elmo.allennlp.sequences import (
    add_sentence_boundary_token_ids,
    get_device_of,
    get_lengths_from_binary_sequence_mask,
    get_mask_from_sequence_lengths,
    get_text_field_mask,
    move_to_device,
    remove_sentence_boundaries,
    sort_batch_by_length,
)
from sklearn_elmo.errors import ModelFileError

# The last mask has a gap, as a token without characters makes it.
MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]])


def test_boundaries_of_vectors_are_added_as_in_a_loop() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(4, 4, 3) * MASK[..., None]
    begin, end = torch.ones(3), torch.full((3,), 2.0)
    found, mask = add_sentence_boundary_token_ids(vectors, MASK, begin, end)
    for row in range(4):
        expected = torch.zeros(6, 3)
        expected[1:5] = vectors[row]
        expected[0] = begin
        expected[int(MASK[row].sum()) + 1] = end
        torch.testing.assert_close(found[row], expected)
        assert mask[row].tolist() == [int(v.max() > 0) for v in expected]
    assert mask.dtype == torch.int64


def test_boundaries_of_ids_are_added() -> None:
    ids = torch.tensor([[5, 6], [7, 0]])
    found, mask = add_sentence_boundary_token_ids(ids, ids > 0, 1, 2)
    assert found.tolist() == [[1, 5, 6, 2], [1, 7, 2, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    with pytest.raises(ValueError, match="sentences"):
        add_sentence_boundary_token_ids(torch.zeros(3), torch.zeros(3), 1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_boundaries_are_removed_as_in_a_loop(dtype: torch.dtype) -> None:
    tensor = torch.randn(4, 4, 3).to(dtype)
    found, mask = remove_sentence_boundaries(tensor, MASK)
    assert found.shape == (4, 2, 3)
    assert found.dtype == dtype
    for row in range(4):
        n_tokens = max(int(MASK[row].sum()) - 2, 0)
        torch.testing.assert_close(found[row, :n_tokens], tensor[row, 1 : 1 + n_tokens])
        assert not found[row, n_tokens:].any()
        assert mask[row].tolist() == [1] * n_tokens + [0] * (2 - n_tokens)


def test_rows_are_sorted_and_restored() -> None:
    tensor = torch.arange(4.0)[:, None]
    lengths = get_lengths_from_binary_sequence_mask(MASK)
    assert lengths.tolist() == [4, 1, 0, 2]
    rows, sorted_lengths, restore, permutation = sort_batch_by_length(tensor, lengths)
    assert sorted_lengths.tolist() == [4, 2, 1, 0]
    assert torch.equal(rows, tensor[permutation])
    assert torch.equal(rows[restore], tensor)


def test_text_field_mask_is_that_of_the_smallest_ids() -> None:
    words = torch.tensor([[3, 0], [4, 5]])
    characters = torch.tensor([[[1, 2], [0, 0]], [[0, 3], [4, 0]]])
    expected = [[1, 0], [1, 1]]
    assert get_text_field_mask({"w": words, "c": characters}).tolist() == expected
    assert get_text_field_mask({"c": characters}).tolist() == expected
    assert get_text_field_mask({"c": characters, "mask": MASK}) is MASK
    assert get_text_field_mask({"w": words[None]}, 1).tolist() == [expected]
    with pytest.raises(ValueError, match="have 1 axes"):
        get_text_field_mask({"w": words[0]})
    assert get_device_of(words) == -1


def test_masks_of_lengths_and_nested_tensors() -> None:
    mask = get_mask_from_sequence_lengths(torch.tensor([2, 0, 3]), 3)
    assert mask.tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    batch = {"a": [mask, (mask, 3)]}
    assert move_to_device(batch, -1) is batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nested_tensors_move() -> None:
    moved = move_to_device({"a": [torch.ones(1), (torch.ones(1), 3)]}, 0)
    assert moved["a"][0].is_cuda
    assert moved["a"][1][0].is_cuda
    assert moved["a"][1][1] == 3


def test_encoder_carries_the_states_of_rows_with_tokens() -> None:
    """As running each row by itself, from its own last state."""
    torch.manual_seed(1)
    gru = torch.nn.GRU(3, 4, num_layers=2, batch_first=True)
    encoder = EncoderBase(stateful=True)
    states = [torch.zeros(2, 1, 4) for _ in range(4)]
    for lengths in ([3, 0, 2], [1, 4], [0, 2, 3, 1], [2, 0, 0, 0]):
        inputs = torch.randn(len(lengths), 4, 3)
        mask = (torch.arange(4) < torch.tensor(lengths)[:, None]).long()
        output, final, restore = encoder.sort_and_run_forward(gru, inputs, mask)
        padding = final.new_zeros(2, len(lengths) - final.shape[1], 4)
        encoder._update_states([torch.cat([final, padding], dim=1)], restore)
        del output
        for row, length in enumerate(lengths):
            if length:
                _, states[row] = gru(inputs[row : row + 1, :length], states[row])
            torch.testing.assert_close(
                encoder._states[0][:, row], states[row][:, 0].detach()
            )


def test_encoder_without_state_takes_one() -> None:
    lstm = torch.nn.LSTM(3, 4, batch_first=True)
    inputs, mask = torch.randn(2, 4, 3), torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]])
    start = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    _, (h, _), restore = EncoderBase().sort_and_run_forward(lstm, inputs, mask, start)
    first = lstm(inputs[:1, :1], tuple(part[:, :1] for part in start))[1][0]
    torch.testing.assert_close(h[:, restore][:, :1], first)


def test_encoder_forgets_states() -> None:
    encoder = EncoderBase(stateful=True)
    encoder._update_states([torch.ones(1, 3, 2)], torch.arange(3))
    encoder.reset_states(torch.tensor([1.0, 0.0, 1.0]))
    assert encoder._states[0][0].tolist() == [[0, 0], [1, 1], [0, 0]]
    with pytest.raises(ValueError, match="3 rows"):
        encoder.reset_states(torch.ones(2))
    encoder.reset_states()
    assert encoder._states is None


def run_step_by_step(lstm: ElmoLstm, inputs: np.ndarray) -> np.ndarray:
    """All layers of one sentence, in numpy, in the order of the formulas."""
    layers = []
    current = {"forward": inputs, "backward": inputs[::-1]}
    for index in range(lstm.num_layers):
        outputs = {}
        for direction in ("forward", "backward"):
            layer = lstm.get_submodule(f"{direction}_layer_{index}")
            weights = [p.detach().numpy().astype(float) for p in layer.parameters()]
            w_x, w_h, bias, w_p = weights
            h, c = np.zeros(lstm.hidden_size), np.zeros(lstm.cell_size)
            steps = []
            for x in current[direction]:
                i, f, g, o = np.split(w_x @ x + w_h @ h + bias, 4)
                i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
                c = np.clip(f * c + i * np.tanh(g), -2, 2)
                h = np.clip(w_p @ (o * np.tanh(c)), -0.3, 0.3)
                steps.append(h + x if index else h)
            outputs[direction] = np.array(steps)
        current = outputs
        pair = [outputs["forward"], outputs["backward"][::-1]]
        layers.append(np.concatenate(pair, axis=1))
    return np.stack(layers)


def test_elmo_lstm_of_one_s_own_sizes() -> None:
    torch.manual_seed(2)
    lstm = ElmoLstm(
        input_size=3,
        hidden_size=5,
        cell_size=7,
        num_layers=2,
        memory_cell_clip_value=2,
        state_projection_clip_value=0.3,
    )
    inputs = torch.randn(3, 4, 3)
    lengths = [4, 0, 2]
    mask = (torch.arange(4) < torch.tensor(lengths)[:, None]).float()
    found = lstm(inputs, mask)
    assert found.shape == (2, 3, 4, 10)
    for row, length in enumerate(lengths):
        assert not found[:, row, length:].any()
        if length:
            tokens = inputs[row, :length].numpy().astype(float)
            expected = run_step_by_step(lstm, tokens)
            np.testing.assert_allclose(
                found[:, row, :length].detach(), expected, atol=1e-6
            )
    assert [tuple(state.shape) for state in lstm._states] == [(2, 3, 10), (2, 3, 14)]
    assert all(parameter.requires_grad for parameter in lstm.parameters())
    bias = lstm.forward_layer_0.state_linearity.bias
    assert bias[7:14].tolist() == [1.0] * 7
    assert not bias[:7].any()


def test_elmo_lstm_reads_weights(tiny_model: Path) -> None:
    lstm = ElmoLstm(
        8, 8, 16, 2, memory_cell_clip_value=3, state_projection_clip_value=3
    )
    lstm.load_weights(tiny_model / "weights.hdf5")
    expected = Elmo(tiny_model)._elmo_lstm._elmo_lstm
    for found, wanted in zip(lstm.parameters(), expected.parameters(), strict=True):
        assert torch.equal(found, wanted)
        assert not found.requires_grad
    with pytest.raises(ModelFileError, match="as many layers"):
        ElmoLstm(8, 8, 16, 3).load_weights(tiny_model / "weights.hdf5")
    with pytest.raises(ModelFileError, match="shape"):
        ElmoLstm(8, 8, 17, 2).load_weights(tiny_model / "weights.hdf5")
    with pytest.raises(FileNotFoundError):
        lstm.load_weights(tiny_model / "nothing.hdf5")
