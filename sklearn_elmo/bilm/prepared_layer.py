"""One LSTM layer of one direction, made ready to read and not to learn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.bilm.products import Precision, prepare_product

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
    """

    def __init__(self, layer: LstmLayer, precision: Precision) -> None:
        gates = layer.state_linearity.weight.shape[0]
        self._cell_dim = gates // 4
        self._output_dim = layer.state_linearity.weight.shape[1]
        self._cell_bound = 2 * layer.cell_clip if layer.cell_clip else None
        self._bound = layer.proj_clip
        factors = layer.state_linearity.bias.new_ones(gates)
        factors[2 * self._cell_dim : 3 * self._cell_dim] = 2.0
        self.project_inputs = prepare_product(
            layer.input_linearity.weight * factors[:, None],
            layer.state_linearity.bias * factors,
            precision,
        )
        self._project_state = prepare_product(
            layer.state_linearity.weight * factors[:, None], None, precision
        )
        self._project_output = (
            None
            if layer.state_projection is None
            else prepare_product(layer.state_projection.weight * 2.0, None, precision)
        )

    def zero_state(self, n_rows: int, device: torch.device) -> RowState:
        """Return a state of zeros for ``n_rows`` rows."""
        return RowState(
            torch.zeros(n_rows, self._output_dim, device=device),
            torch.zeros(n_rows, self._cell_dim, device=device),
        )

    def run(
        self,
        projected: Tensor,
        indexes: Tensor | None,
        state: RowState,
        active_rows: list[int],
    ) -> Tensor:
        """Take the steps of a window.

        Parameters
        ----------
        projected : Tensor
            From `project_inputs`. *Shape:* ``(n_tokens, 4C)``, or ``(n_types, 4C)``
            with indexes.
        indexes : Tensor or None
            Which row of ``projected`` belongs to which token. *Shape:* ``(n_tokens,)``.
        state : RowState
            Changed in place.
        active_rows : list of int

        Returns
        -------
        Tensor
            *Shape:* ``(n_tokens, P)``.
        """
        outputs = projected.new_empty(sum(active_rows), self._output_dim)
        start = 0
        for n_active in active_rows:
            stop = start + n_active
            h, cell = state.h[:n_active], state.doubled_cell[:n_active]
            inputs = (
                projected[start:stop]
                if indexes is None
                else projected[indexes[start:stop]]
            )
            gates = self._project_state(h, inputs)  # (n_active, 4C)
            gates.sigmoid_()
            i, f, g, o = gates.chunk(4, dim=1)
            # 2c = f * 2c + 2i * (2g - 1), with g short for the sigmoid that it now is
            cell.mul_(f).addcmul_(i, g, value=4.0).sub_(i, alpha=2.0)
            if self._cell_bound is not None:
                cell.clamp_(-self._cell_bound, self._cell_bound)
            half = torch.sigmoid(cell).sub_(0.5).mul_(o)  # o * tanh(c) / 2
            if self._project_output is None:
                output = half.mul_(2.0)
            else:
                output = self._project_output(half)
                if self._bound is not None:
                    output.clamp_(-self._bound, self._bound)
            h.copy_(output)
            outputs[start:stop] = output
            start = stop
        return outputs
