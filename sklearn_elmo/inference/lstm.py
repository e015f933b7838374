"""One LSTM layer of one direction, made ready to read and not to learn."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import groupby

import torch
from torch import Tensor

from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.inference.cuda_graphs import Record, RowState, Stage, StepRecorder
from sklearn_elmo.inference.linear import Precision
from sklearn_elmo.inference.weights import PreparedWeights

__all__ = ["PreparedLayer"]


class PreparedLayer:
    """An `LstmLayer` for reading only.

    tanh(x) = 2 sigmoid(2x) - 1 to about 1e-7, and torch's sigmoid is several times
    faster on CPUs. So the gates' weights of g are doubled, the cell is kept as 2c, and
    the projection is doubled: one sigmoid serves all four gates.

    Parameters
    ----------
    weights : PreparedWeights
        From `weights_of`.
    options : BiLmOptions
    record : callable, optional
        Records steps, for devices where that is faster than taking them one by one.
    """

    def __init__(
        self,
        weights: PreparedWeights,
        options: BiLmOptions,
        record: Record | None = None,
    ) -> None:
        self._cell_dim, self._output_dim = options.cell_dim, options.projection_dim
        self._cell_bound = 2 * options.cell_clip if options.cell_clip else None
        self._bound = options.proj_clip
        self._device = weights.factors["gates"].tensors[0].device
        self._open_gates = weights.product("gates", "sigmoid")
        self._project_types = weights.product_if_any("types")
        self._input_width = (
            2 * self._output_dim if self._project_types is None else 4 * self._cell_dim
        )
        self._project_output = weights.product_if_any("output")
        self._recorder = record and StepRecorder(
            self._take_step,
            self._make_memory,
            2.0 * self._cell_dim * 9 * self._output_dim,  # gates 4 (P + P), output P
            record,
        )

    @staticmethod
    def weights_of(
        layer: LstmLayer, precision: Precision, *, reads_types: bool
    ) -> PreparedWeights:
        """Return what a prepared layer needs.

        Parameters
        ----------
        layer : LstmLayer
        precision : {"float32", "bfloat16", "int8"}
        reads_types : bool
            Whether the layer is given each distinct input once, which makes input
            products of their own worth while. Without that, inputs and state are one
            product.
        """
        weights = PreparedWeights()
        n_gates = len(layer.state_linearity.bias)
        factors = layer.state_linearity.bias.new_ones(n_gates)
        factors[n_gates // 2 : 3 * n_gates // 4] = 2.0  # g, of i, f, g, o
        of_inputs = layer.input_linearity.weight * factors[:, None]
        of_state = layer.state_linearity.weight * factors[:, None]
        bias = layer.state_linearity.bias * factors
        if reads_types:
            weights.add("types", of_inputs, bias, precision)
            weights.add("gates", of_state, None, precision)
        else:
            both = torch.cat([of_inputs, of_state], dim=1)
            weights.add("gates", both, bias, precision)
        if layer.state_projection is not None:
            doubled = layer.state_projection.weight * 2.0
            weights.add("output", doubled, None, precision)
        return weights

    def zero_state(self, n_rows: int) -> RowState:
        """Return a state of zeros for ``n_rows`` rows."""
        return RowState(
            torch.zeros(n_rows, self._output_dim, device=self._device),
            torch.zeros(n_rows, self._cell_dim, device=self._device),
        )

    def _make_memory(self, n_rows: int) -> tuple[Tensor, RowState]:
        inputs = torch.zeros(n_rows, self._input_width, device=self._device)
        return inputs, self.zero_state(n_rows)

    def run(
        self,
        inputs: Tensor,
        indexes: Tensor,
        state: RowState,
        active_rows: list[int],
    ) -> Tensor:
        """Take the steps of a window.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(n_tokens, P)``, or ``(n_types, P)`` if the layer reads types.
        indexes : Tensor
            Which type each token is. *Shape:* ``(n_tokens,)``.
        state : RowState
            Changed in place.
        active_rows : list of int

        Returns
        -------
        Tensor
            *Shape:* ``(n_tokens, P)``.
        """
        outputs = inputs.new_empty(len(indexes), self._output_dim)
        if self._project_types is not None:
            inputs = self._project_types(inputs)
        recorder = self._recorder
        start = 0
        with recorder.turn(self._device) if recorder else nullcontext():
            for stage, rows_of_steps in self._stages(state, active_rows):
                for n_active in rows_of_steps:
                    rows = slice(start, start + n_active)
                    now = stage.inputs[:n_active]
                    if self._project_types is None:
                        now[:, : inputs.shape[1]] = inputs[rows]
                    else:
                        torch.index_select(inputs, 0, indexes[rows], out=now)
                    stage.take_step(n_active)
                    outputs[rows] = stage.state.h[:n_active]
                    start += n_active
        return outputs

    def _stages(
        self, state: RowState, active_rows: list[int]
    ) -> Iterator[tuple[Stage, list[int]]]:
        """Yield where to take steps, and how many rows each of them has."""
        usual: Stage | None = None
        for recorded, steps in groupby(active_rows, self._recorded_stage):
            rows_of_steps = list(steps)
            if recorded is None:
                if usual is None:
                    usual = self._usual_stage(state, rows_of_steps[0])
                yield usual, rows_of_steps
                continue
            n_rows = rows_of_steps[0]
            recorded.state.first(n_rows).take_over(state.first(n_rows))
            yield recorded, rows_of_steps
            state.first(n_rows).take_over(recorded.state.first(n_rows))

    def _recorded_stage(self, n_rows: int) -> Stage | None:
        return None if self._recorder is None else self._recorder.stage(n_rows)

    def _usual_stage(self, state: RowState, n_rows: int) -> Stage:
        inputs = state.h.new_empty(n_rows, self._input_width)
        return Stage(
            inputs, state, lambda n: self._take_step(inputs[:n], state.first(n))
        )

    def _take_step(self, inputs: Tensor, state: RowState) -> None:
        """Change the state in place.

        Parameters
        ----------
        inputs : Tensor
            The gates' share of the inputs, ``(B, 4C)``; or the inputs, and room for h
            beside them, ``(B, 2P)``.
        state : RowState
        """
        if self._project_types is None:
            inputs[:, -self._output_dim :] = state.h
            gates = self._open_gates(inputs)
        else:
            gates = self._open_gates(state.h, inputs)
        i, f, g, o = gates.chunk(4, dim=1)
        # 2c = f * 2c + 2i * (2g - 1), with g short for the sigmoid that it is here
        cell = state.doubled_cell.mul_(f).addcmul_(i, g, value=4.0).sub_(i, alpha=2.0)
        if self._cell_bound is not None:
            cell.clamp_(-self._cell_bound, self._cell_bound)
        half = torch.sigmoid(cell).sub_(0.5).mul_(o)  # o * tanh(c) / 2
        if self._project_output is None:
            torch.mul(half, 2.0, out=state.h)
            return
        output = self._project_output(half)
        if self._bound is not None:
            output.clamp_(-self._bound, self._bound)
        state.h.copy_(output)
