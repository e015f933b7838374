"""LSTM layers with projection and clipping, in two independent directions.

This is the readable form. `sklearn_elmo.inference.lstm` computes the same outputs
faster, and `sklearn_elmo.pretraining.lstm_autograd` has its own gradient.

Attribute names are AllenNLP's parameter names, so that state dicts can be exchanged.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.options import BiLmOptions

__all__ = ["DIRECTIONS", "BiLstm", "Direction", "LstmLayer", "LstmState"]

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
LstmState = tuple[Tensor, Tensor]
"""Projected output h, ``(B, P)``, and cell c, ``(B, C)``."""


class LstmLayer(nn.Module):
    """One layer of one direction (Sak et al. 2014, eqs. 1-6, without peepholes).

    With z = W_x x + W_h h + b, split into i, f, g, o::

        c = clip(sigmoid(f) * c + sigmoid(i) * tanh(g), cell_clip)
        h = clip(W_p (sigmoid(o) * tanh(c)), proj_clip)

    The constant 1 of the forget gate is part of the bias. Models of bilm-tf whose cell
    is as wide as their output have no projection: h = sigmoid(o) * tanh(c), not
    clipped.
    """

    def __init__(self, options: BiLmOptions, *, has_projection: bool = True) -> None:
        super().__init__()
        cell, output = options.cell_dim, options.projection_dim
        self.cell_clip = options.cell_clip
        self.proj_clip = options.proj_clip
        self.input_linearity = nn.Linear(output, 4 * cell, bias=False)
        self.state_linearity = nn.Linear(output, 4 * cell)
        self.state_projection = (
            nn.Linear(cell, output, bias=False) if has_projection else None
        )

    def zero_state(self, n_rows: int) -> LstmState:
        """Return an all-zero state of ``n_rows`` rows."""
        weight = self.state_linearity.weight
        return (
            weight.new_zeros(n_rows, weight.shape[1]),
            weight.new_zeros(n_rows, weight.shape[0] // 4),
        )

    def project_inputs(self, inputs: Tensor) -> Tensor:
        """Return W_x x + b for all steps at once.

        *Shape:* ``(..., P)`` -> ``(..., 4C)``.
        """
        return nn.functional.linear(
            inputs, self.input_linearity.weight, self.state_linearity.bias
        )

    def step(self, projected_inputs: Tensor, state: LstmState) -> LstmState:
        """Take one step.

        Parameters
        ----------
        projected_inputs : Tensor
            *Shape:* ``(B, 4C)``, from `project_inputs`.
        state : LstmState
        """
        h, c = state
        gates = projected_inputs + h @ self.state_linearity.weight.t()  # (B, 4C)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        if self.cell_clip is not None:
            c = c.clamp(-self.cell_clip, self.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.state_projection is not None:
            h = self.state_projection(h)
            if self.proj_clip is not None:
                h = h.clamp(-self.proj_clip, self.proj_clip)
        return h, c

    def forward(
        self, inputs: Tensor, state: LstmState, active_rows: list[int] | None = None
    ) -> tuple[Tensor, LstmState]:
        """Run over all steps.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(T, B, P)``, time first.
        state : LstmState
            State before the first step.
        active_rows : list of int, optional
            Number of leading rows that still have a token at each step; never
            increases. Rows that have ended keep their state and output zeros. By
            default all rows take all steps.

        Returns
        -------
        outputs : Tensor
            *Shape:* ``(T, B, P)``.
        state : LstmState
            State after each row's last step.
        """
        n_steps, n_rows, _ = inputs.shape
        projected = self.project_inputs(inputs)  # (T, B, 4C)
        h, c = state
        outputs = []
        for step in range(n_steps):
            n_active = n_rows if active_rows is None else active_rows[step]
            new_h, new_c = self.step(
                projected[step, :n_active], (h[:n_active], c[:n_active])
            )
            if n_active == n_rows:
                outputs.append(new_h)
                h, c = new_h, new_c
            else:
                padding = new_h.new_zeros(n_rows - n_active, new_h.shape[1])
                outputs.append(torch.cat([new_h, padding]))
                h = torch.cat([new_h, h[n_active:]])
                c = torch.cat([new_c, c[n_active:]])
        if not outputs:
            return inputs.new_zeros(0, n_rows, h.shape[1]), state
        return torch.stack(outputs), (h, c)


class BiLstm(nn.Module):
    """Forward and backward LSTM layers with skip connections.

    Parameters
    ----------
    options : BiLmOptions
    has_projection : bool
        Whether the cells are projected, that is, whether the weight file contains
        ``W_P_0``.
    """

    def __init__(self, options: BiLmOptions, *, has_projection: bool = True) -> None:
        super().__init__()
        self.options = options
        for direction in DIRECTIONS:
            for index in range(options.n_layers):
                layer = LstmLayer(options, has_projection=has_projection)
                self.add_module(f"{direction}_layer_{index}", layer)

    def layers(self, direction: Direction) -> list[LstmLayer]:
        """Return the layers of one direction, lowest first."""
        return [
            self.get_submodule(f"{direction}_layer_{index}")  # type: ignore[misc]
            for index in range(self.options.n_layers)
        ]

    def run_direction(
        self,
        inputs: Tensor,
        direction: Direction,
        states: list[LstmState] | None = None,
        active_rows: list[int] | None = None,
    ) -> tuple[list[Tensor], list[LstmState]]:
        """Run all layers of one direction.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(T, B, P)``, in reading order: reversed for ``"backward"``.
        direction : {"forward", "backward"}
        states : list of LstmState, optional
            State of each layer before the first step; zeros by default.
        active_rows : list of int, optional
            As in `LstmLayer.forward`.

        Returns
        -------
        outputs : list of Tensor
            One per layer, skip connection included. *Shape:* ``(T, B, P)``.
        states : list of LstmState
            State of each layer after the last step. h excludes the skip connection.
        """
        outputs: list[Tensor] = []
        new_states: list[LstmState] = []
        current = inputs
        for index, layer in enumerate(self.layers(direction)):
            state = (
                layer.zero_state(inputs.shape[1]) if states is None else states[index]
            )
            output, state = layer(current, state, active_rows)
            if index > 0 and self.options.use_skip_connections:
                output = output + current
            outputs.append(output)
            new_states.append(state)
            current = output
        return outputs, new_states

    def forward(
        self, inputs: Tensor, lengths: Tensor, state: LstmState | None = None
    ) -> tuple[list[Tensor], LstmState]:
        """Run both directions over rows of different lengths.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(B, T, P)``.
        lengths : Tensor
            *Shape:* ``(B,)``, int64, from 0 to T. The backward direction reverses each
            row within its length.
        state : tuple of Tensor, optional
            State before the first step: h ``(L, B, 2P)`` and c ``(L, B, 2C)``, the
            forward direction first. Zeros by default.

        Returns
        -------
        layers : list of Tensor
            One per layer; padded positions are 0. *Shape:* ``(B, T, 2P)``.
        state : tuple of Tensor
            State after each row's last step; rows of length 0 keep theirs.
        """
        n_steps = inputs.shape[1]
        order = torch.argsort(lengths, descending=True, stable=True)
        positions = torch.arange(n_steps, device=inputs.device)
        lengths = lengths.to(inputs.device)
        order = order.to(inputs.device)
        is_token = positions < lengths[order, None]  # (B, T), longest first
        active_rows = is_token.sum(dim=0).tolist()
        reversed_positions = torch.where(
            is_token, lengths[order, None] - 1 - positions, positions
        )
        sorted_inputs = inputs[order]
        rows = torch.arange(len(order), device=inputs.device)[:, None]

        outputs: list[list[Tensor]] = []  # by direction, then by layer
        states: list[list[LstmState]] = []
        for index, direction in enumerate(DIRECTIONS):
            in_reading_order = sorted_inputs
            if direction == "backward":
                in_reading_order = sorted_inputs[rows, reversed_positions]
            steps_first, new_states = self.run_direction(
                in_reading_order.transpose(0, 1),
                direction,
                None if state is None else _states_of(index, state, order),
                active_rows,
            )
            rows_first = [output.transpose(0, 1) for output in steps_first]
            if direction == "backward":
                rows_first = [output[rows, reversed_positions] for output in rows_first]
            outputs.append(rows_first)
            states.append(new_states)

        restore = torch.argsort(order)
        layers = [
            torch.cat(pair, dim=-1)[restore] for pair in zip(*outputs, strict=True)
        ]
        h, c = (
            torch.stack(
                [
                    torch.cat([forward[part], backward[part]], dim=-1)[restore]
                    for forward, backward in zip(*states, strict=True)
                ]
            )
            for part in (0, 1)
        )
        return layers, (h, c)


def _states_of(direction: int, state: LstmState, order: Tensor) -> list[LstmState]:
    """Return the states of one direction, one per layer, with reordered rows."""
    h, c = (part.chunk(2, dim=-1)[direction][:, order] for part in state)
    return list(zip(h.unbind(0), c.unbind(0), strict=True))
