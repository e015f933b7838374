"""The LSTM layers of old code: called by themselves, hooked, with recurrent dropout."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_elmo.allennlp import Elmo, batch_to_ids
from sklearn_elmo.allennlp.elmo_lstm import ElmoLstm
from sklearn_elmo.allennlp.lstm_cell_with_projection import (
    LstmCellWithProjection,
    block_orthogonal,
)
from sklearn_elmo.allennlp.sequences import get_dropout_mask

LENGTHS = [4, 2, 2, 0]
BATCH = [["The", "cat", "sat"], ["Hello"]]


def make_cell(**arguments: object) -> LstmCellWithProjection:
    torch.manual_seed(0)
    return LstmCellWithProjection(input_size=3, hidden_size=4, cell_size=5, **arguments)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def run_row(
    cell: LstmCellWithProjection, inputs: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row in its reading order, step by step."""
    w_x, w_h, bias, w_p = (p.detach().double().numpy() for p in cell.parameters())
    outputs = []
    for x in inputs:
        i, f, g, o = np.split(w_x @ x + w_h @ h + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        if cell.memory_cell_clip_value:
            c = np.clip(c, -cell.memory_cell_clip_value, cell.memory_cell_clip_value)
        h = w_p @ (sigmoid(o) * np.tanh(c))
        if cell.state_projection_clip_value:
            bound = cell.state_projection_clip_value
            h = np.clip(h, -bound, bound)
        outputs.append(h)
    return np.array(outputs).reshape(-1, cell.hidden_size), h, c


@pytest.mark.parametrize("go_forward", [True, False])
@pytest.mark.parametrize("clips", [(None, None), (0.2, 0.05), (0, 0)])
def test_cell_runs_each_row_from_its_state(
    go_forward: bool, clips: tuple[float | None, float | None]
) -> None:
    cell = make_cell(
        go_forward=go_forward,
        memory_cell_clip_value=clips[0],
        state_projection_clip_value=clips[1],
    )
    inputs, h, c = torch.randn(4, 5, 3), torch.randn(1, 4, 4), torch.randn(1, 4, 5)
    outputs, (last_h, last_c) = cell(inputs, LENGTHS, (h, c))
    assert outputs.shape == (4, 5, 4)
    for row, length in enumerate(LENGTHS):
        tokens = inputs[row, :length].double().numpy()
        in_order = tokens if go_forward else tokens[::-1]
        expected = run_row(
            cell, in_order, h[0, row].double().numpy(), c[0, row].double().numpy()
        )
        found = outputs[row, :length].detach().numpy()
        np.testing.assert_allclose(
            found if go_forward else found[::-1], expected[0], atol=1e-6
        )
        np.testing.assert_allclose(last_h[0, row].detach(), expected[1], atol=1e-6)
        np.testing.assert_allclose(last_c[0, row].detach(), expected[2], atol=1e-6)
        assert not outputs[row, length:].any()


def test_cell_starts_from_zeros_and_takes_lengths_as_a_tensor() -> None:
    cell = make_cell()
    inputs = torch.randn(4, 5, 3)
    expected, _ = cell(inputs, LENGTHS, (torch.zeros(1, 4, 4), torch.zeros(1, 4, 5)))
    torch.testing.assert_close(cell(inputs, torch.tensor(LENGTHS))[0], expected)


def test_cell_refuses_unsorted_rows() -> None:
    with pytest.raises(ValueError, match=r"\[2, 4\]; expected the longest row first"):
        make_cell()(torch.zeros(2, 4, 3), [2, 4])


def test_cell_can_be_turned_round() -> None:
    cell = make_cell()
    inputs = torch.randn(1, 4, 3)
    backwards, _ = cell(inputs.flip(1), [4])
    cell.go_forward = False
    torch.testing.assert_close(cell(inputs, [4])[0], backwards.flip(1))


def test_cell_starts_with_orthogonal_gates_and_open_forget_gates() -> None:
    cell = LstmCellWithProjection(input_size=4, hidden_size=4, cell_size=4)
    for linear in (cell.input_linearity, cell.state_linearity):
        for gate in linear.weight.chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4))
    bias = cell.state_linearity.bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_blocks_are_orthogonal() -> None:
    tensor = torch.zeros(4, 6)
    block_orthogonal(tensor, [2, 3], gain=2.0)
    for rows in tensor.split(2, 0):
        for block in rows.split(3, 1):
            torch.testing.assert_close(block @ block.T, 4 * torch.eye(2))
    with pytest.raises(ValueError, match="cannot be split"):
        block_orthogonal(tensor, [3, 3])


def test_dropout_mask_keeps_the_mean() -> None:
    torch.manual_seed(0)
    mask = get_dropout_mask(0.25, torch.zeros(100, 100))
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    assert mask.mean().item() == pytest.approx(1, abs=0.02)


def test_recurrent_dropout_is_one_mask_per_sequence_in_training() -> None:
    cell = make_cell(recurrent_dropout_probability=0.5)
    assert cell.recurrent_dropout_probability == 0.5
    inputs = torch.randn(6, 5, 3)
    outputs, (h, _) = cell(inputs, [5] * 6)
    dropped = outputs == 0
    assert 0.2 < dropped.float().mean() < 0.8
    assert (dropped == dropped[:, :1]).all()  # the same at every step
    assert ((h[0] == 0) == dropped[:, 0]).all()
    assert not (dropped == dropped[:1]).all()  # another one for each row
    cell.eval()
    plain = make_cell().eval()
    torch.testing.assert_close(cell(inputs, [5] * 6)[0], plain(inputs, [5] * 6)[0])


def test_elmo_lstm_drops_out_in_training_only() -> None:
    torch.manual_seed(0)
    lstm = ElmoLstm(3, 4, 5, 2, recurrent_dropout_probability=0.5)
    lstm.stateful = False
    inputs, mask = torch.randn(2, 5, 3), torch.ones(2, 5)
    first = lstm(inputs, mask)
    assert (first[0] == 0).any()
    assert not torch.equal(lstm(inputs, mask), first)
    lstm.eval()
    assert torch.equal(lstm(inputs, mask), lstm(inputs, mask))
    assert not (lstm(inputs, mask) == 0).any()


def test_layer_of_a_model_runs_by_itself(tiny_model: Path) -> None:
    """Old decoders take the forward layers and call them step by step."""
    elmo = Elmo(tiny_model, dropout=0)
    ids = batch_to_ids([["The", "cat"]])
    vectors = elmo._elmo_lstm._token_embedder(ids)["token_embedding"]
    expected = elmo._elmo_lstm(ids)["activations"][1][..., :8]
    cell = copy.deepcopy(elmo._elmo_lstm._elmo_lstm.forward_layers[0])
    assert isinstance(cell, LstmCellWithProjection)
    state = None
    for step in range(4):
        output, state = cell(vectors[:, step : step + 1], [1], state)
        torch.testing.assert_close(output[:, 0], expected[:, step])


def test_hooks_of_a_layer_see_what_allennlp_s_see(tiny_model: Path) -> None:
    """The batch longest row first, the lengths, and the outputs in place."""
    elmo = Elmo(tiny_model, dropout=0)
    lstm = elmo._elmo_lstm._elmo_lstm
    seen = {}
    for direction in ("forward", "backward"):
        lstm.get_submodule(f"{direction}_layer_0").register_forward_hook(
            lambda module, inputs, output, name=direction: seen.update(
                {name: (inputs, output)}
            )
        )
    layer = elmo._elmo_lstm(batch_to_ids(BATCH[::-1]))["activations"][1]
    for half, (inputs, (outputs, _)) in zip(
        layer.chunk(2, dim=-1), seen.values(), strict=True
    ):
        assert inputs[0].shape == outputs.shape == (2, 5, 8)
        assert inputs[1].tolist() == [5, 3]
        torch.testing.assert_close(outputs.flip(0), half)
