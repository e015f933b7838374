"""The fast form of `sklearn_elmo.bilm.lstm`: one layer of one direction."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import groupby

import torch
from torch import Tensor

from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.inference.cuda_graphs import Capture, StepGraphs
from sklearn_elmo.inference.linear import Linear, make_linear
from sklearn_elmo.inference.precision import Precision
from sklearn_elmo.inference.step_buffers import RowState, StepBuffers

__all__ = ["FastLstmLayer"]


class FastLstmLayer:
    """The outputs of an `LstmLayer` without gradients.

    tanh(x) = 2 sigmoid(2x) - 1 to about 1e-7, and PyTorch's sigmoid is several times
    faster on CPUs. Therefore the weights of gate g and of the projection are doubled,
    the cell is stored as 2c, and one sigmoid serves all four gates.

    Parameters
    ----------
    layer : LstmLayer
    precision : {"float32", "bfloat16", "int8"}
    reads_types : bool
        Whether `run` receives each distinct input once, so that the input product is
        computed once per distinct input. Otherwise inputs and state share one product.
    capture : callable, optional
        Captures steps, for devices where that is faster.
    """

    def __init__(
        self,
        layer: LstmLayer,
        precision: Precision = "float32",
        *,
        reads_types: bool,
        capture: Capture | None = None,
    ) -> None:
        self._cell_dim = layer.state_linearity.out_features // 4
        self._output_dim = layer.state_linearity.in_features
        self._doubled_cell_clip = 2 * layer.cell_clip if layer.cell_clip else None
        self._proj_clip = layer.proj_clip
        self._device = layer.state_linearity.weight.device

        factors = torch.ones_like(layer.state_linearity.bias)
        factors[2 * self._cell_dim : 3 * self._cell_dim] = 2.0  # g, of i, f, g, o
        input_weight = layer.input_linearity.weight * factors[:, None]
        state_weight = layer.state_linearity.weight * factors[:, None]
        bias = layer.state_linearity.bias * factors
        self._project_types: Linear | None = None
        if reads_types:
            self._project_types = make_linear(input_weight, bias, precision)
            self._gates = make_linear(state_weight, None, precision, "sigmoid")
            self._input_width = 4 * self._cell_dim
        else:
            joined = torch.cat([input_weight, state_weight], dim=1)
            self._gates = make_linear(joined, bias, precision, "sigmoid")
            self._input_width = 2 * self._output_dim
        projection = layer.state_projection
        self._project_output = (
            None
            if projection is None
            else make_linear(projection.weight * 2.0, None, precision)
        )
        self._graphs = capture and StepGraphs(
            self._take_step,
            self._make_buffers,
            2.0 * self._cell_dim * 9 * self._output_dim,  # gates 4 (P + P), output P
            capture,
        )

    def zero_state(self, n_rows: int) -> RowState:
        """Return an all-zero state of ``n_rows`` rows."""
        return RowState(
            self._zeros(n_rows, self._output_dim), self._zeros(n_rows, self._cell_dim)
        )

    def repeat_state(self, row: RowState, n_rows: int) -> RowState:
        """Return a state for `run` with at least ``n_rows`` copies of a single row."""
        return row.repeat(self._gates.padded_rows(n_rows))

    def run(
        self,
        inputs: Tensor,
        type_indices: Tensor,
        state: RowState,
        active_rows: list[int],
    ) -> Tensor:
        """Take the steps of a window.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(n_tokens, P)``, or ``(n_types, P)`` if the layer reads types.
        type_indices : Tensor
            The type of each token. *Shape:* ``(n_tokens,)``, int64.
        state : RowState
            From `repeat_state`. Updated in place.
        active_rows : list of int
            As in `sklearn_elmo.inference.encoder.Window`.

        Returns
        -------
        Tensor
            *Shape:* ``(n_tokens, P)``.
        """
        outputs = inputs.new_empty(len(type_indices), self._output_dim)
        if self._project_types is not None:
            inputs = self._project_types(inputs)
        graphs = self._graphs
        start = 0
        with graphs.exclusive(self._device) if graphs else nullcontext():
            for buffers, rows_of_steps in self._step_buffers(state, active_rows):
                for n_active in rows_of_steps:
                    rows = slice(start, start + n_active)
                    step_inputs = buffers.inputs[:n_active]
                    if self._project_types is None:
                        step_inputs[:, : inputs.shape[1]] = inputs[rows]
                    else:
                        torch.index_select(
                            inputs, 0, type_indices[rows], out=step_inputs
                        )
                    buffers.take_step(n_active)
                    outputs[rows] = buffers.state.h[:n_active]
                    start += n_active
        return outputs

    def _step_buffers(
        self, state: RowState, active_rows: list[int]
    ) -> Iterator[tuple[StepBuffers, list[int]]]:
        """Yield buffers, and the number of rows of each step to take there."""
        ordinary: StepBuffers | None = None
        for captured, steps in groupby(active_rows, self._captured_buffers):
            rows_of_steps = list(steps)
            n_rows = rows_of_steps[0]
            if captured is None:
                if ordinary is None:
                    ordinary = self._ordinary_buffers(state, n_rows)
                yield ordinary, rows_of_steps
                continue
            captured.state.first(n_rows).copy_(state.first(n_rows))
            yield captured, rows_of_steps
            state.first(n_rows).copy_(captured.state.first(n_rows))

    def _captured_buffers(self, n_rows: int) -> StepBuffers | None:
        return None if self._graphs is None else self._graphs.buffers(n_rows)

    def _ordinary_buffers(self, state: RowState, n_rows: int) -> StepBuffers:
        """Return buffers for up to ``n_rows`` rows.

        Rows that have ended take part in a step where the product needs them.
        """
        inputs = self._zeros(self._gates.padded_rows(n_rows), self._input_width)

        def take_step(n_active: int) -> None:
            n_padded = self._gates.padded_rows(n_active)
            self._take_step(inputs[:n_padded], state.first(n_padded))

        return StepBuffers(inputs, state, take_step)

    def _make_buffers(self, n_rows: int) -> tuple[Tensor, RowState]:
        return self._zeros(n_rows, self._input_width), self.zero_state(n_rows)

    def _zeros(self, n_rows: int, width: int) -> Tensor:
        return torch.zeros(n_rows, width, dtype=torch.float32, device=self._device)

    def _take_step(self, inputs: Tensor, state: RowState) -> None:
        """Take one step.

        Parameters
        ----------
        inputs : Tensor
            The contribution of the inputs to the gates, ``(B, 4C)``; or, if the layer
            does not read types, the inputs and space for h beside them, ``(B, 2P)``.
        state : RowState
            Updated in place.
        """
        if self._project_types is None:
            inputs[:, -self._output_dim :] = state.h
            gates = self._gates(inputs)
        else:
            gates = self._gates(state.h, inputs)
        i, f, g, o = gates.chunk(4, dim=1)
        # 2c = f * 2c + 2i * (2g - 1), where g is the sigmoid of the doubled gate.
        cell = state.doubled_cell.mul_(f).addcmul_(i, g, value=4.0).sub_(i, alpha=2.0)
        if self._doubled_cell_clip is not None:
            cell.clamp_(-self._doubled_cell_clip, self._doubled_cell_clip)
        halved = torch.sigmoid(cell).sub_(0.5).mul_(o)  # o * tanh(c) / 2
        if self._project_output is None:
            torch.mul(halved, 2.0, out=state.h)
            return
        output = self._project_output(halved)
        if self._proj_clip is not None:
            output.clamp_(-self._proj_clip, self._proj_clip)
        state.h.copy_(output)
