"""One LSTM layer of one direction, made ready to read and not to learn."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import Precision, Product

__all__ = ["PreparedLayer", "RowState"]


@dataclass
class RowState:
    """The state of a layer's rows; changed in place as the rows read on.

    h is ``(B, P)``; ``doubled_cell`` is 2c, ``(B, C)``, see `PreparedLayer`.
    """

    h: Tensor
    doubled_cell: Tensor

    @property
    def cell(self) -> Tensor:
        """The cell c. *Shape:* ``(B, C)``."""
        return self.doubled_cell / 2

    def repeat(self, n_rows: int) -> "RowState":
        """Return ``n_rows`` copies of the one row, with memory of their own."""
        return RowState(self.h.repeat(n_rows, 1), self.doubled_cell.repeat(n_rows, 1))


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
    """

    def __init__(self, weights: PreparedWeights, options: BiLmOptions) -> None:
        self._cell_dim, self._output_dim = options.cell_dim, options.projection_dim
        self._cell_bound = 2 * options.cell_clip if options.cell_clip else None
        self._bound = options.proj_clip
        self._open_gates = weights.product("gates", "sigmoid")
        self._project_types = _product_if_any(weights, "types")
        self._project_output = _product_if_any(weights, "output")

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

    def zero_state(self, n_rows: int, device: torch.device) -> RowState:
        """Return a state of zeros for ``n_rows`` rows."""
        return RowState(
            torch.zeros(n_rows, self._output_dim, device=device),
            torch.zeros(n_rows, self._cell_dim, device=device),
        )

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
        gates_of_steps = (
            self._gates_of_tokens(inputs, state, active_rows)
            if self._project_types is None
            else self._gates_of_types(
                self._project_types(inputs), indexes, state, active_rows
            )
        )
        start = 0
        for gates in gates_of_steps:
            n_active = len(gates)
            output = self._update(gates, state.doubled_cell[:n_active])
            state.h[:n_active] = output
            outputs[start : start + n_active] = output
            start += n_active
        return outputs

    def _gates_of_types(
        self,
        projected: Tensor,
        indexes: Tensor,
        state: RowState,
        active_rows: list[int],
    ) -> Iterator[Tensor]:
        """Yield the gates of each step. *Shape:* ``(n_active, 4C)``."""
        gathered = projected.new_empty(active_rows[0], projected.shape[1])
        start = 0
        for n_active in active_rows:
            now = indexes[start : start + n_active]
            torch.index_select(projected, 0, now, out=gathered[:n_active])
            yield self._open_gates(state.h[:n_active], gathered[:n_active])
            start += n_active

    def _gates_of_tokens(
        self, inputs: Tensor, state: RowState, active_rows: list[int]
    ) -> Iterator[Tensor]:
        """Yield the gates of each step. *Shape:* ``(n_active, 4C)``."""
        width = inputs.shape[1]
        joined = inputs.new_empty(active_rows[0], width + self._output_dim)
        start = 0
        for n_active in active_rows:
            joined[:n_active, :width] = inputs[start : start + n_active]
            joined[:n_active, width:] = state.h[:n_active]
            yield self._open_gates(joined[:n_active])
            start += n_active

    def _update(self, gates: Tensor, doubled_cell: Tensor) -> Tensor:
        """Change the cell in place, and return the output. *Shape:* ``(B, P)``."""
        i, f, g, o = gates.chunk(4, dim=1)
        # 2c = f * 2c + 2i * (2g - 1), with g short for the sigmoid that it is here
        cell = doubled_cell.mul_(f).addcmul_(i, g, value=4.0).sub_(i, alpha=2.0)
        if self._cell_bound is not None:
            cell.clamp_(-self._cell_bound, self._cell_bound)
        half = torch.sigmoid(cell).sub_(0.5).mul_(o)  # o * tanh(c) / 2
        if self._project_output is None:
            return half.mul_(2.0)
        output = self._project_output(half)
        if self._bound is not None:
            output.clamp_(-self._bound, self._bound)
        return output


def _product_if_any(weights: PreparedWeights, name: str) -> Product | None:
    return weights.product(name) if name in weights.factors else None
