"""One layer of one direction, under the attributes of AllenNLP's cell."""

from typing import ClassVar

import torch
from torch import nn

from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.bilm.lstm import LstmLayer

__all__ = ["ElmoLstmLayer"]

_FIXED_SIZE = "Build another ElmoLstm for other sizes."


class ElmoLstmLayer(OldPlaces, LstmLayer):
    """One layer of one direction, with the attributes of AllenNLP's cell.

    Parameters
    ----------
    input_size, hidden_size, cell_size : int
    go_forward : bool
    memory_cell_clip_value, state_projection_clip_value : float or None
        0 and None do not clip.
    has_projection : bool
        Whether the cell is projected to `hidden_size`.
    """

    _read_only: ClassVar = dict.fromkeys(
        ("input_size", "hidden_size", "cell_size", "go_forward"), _FIXED_SIZE
    )
    _absent: ClassVar = {
        "recurrent_dropout_probability": "There is no recurrent dropout here."
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell_size: int,
        go_forward: bool,
        memory_cell_clip_value: float | None,
        state_projection_clip_value: float | None,
        has_projection: bool,
    ) -> None:
        # Not LstmLayer's, whose inputs are as wide as its outputs.
        nn.Module.__init__(self)
        self._go_forward = go_forward
        self.cell_clip = memory_cell_clip_value or None
        self.proj_clip = state_projection_clip_value or None
        self.input_linearity = nn.Linear(input_size, 4 * cell_size, bias=False)
        self.state_linearity = nn.Linear(hidden_size, 4 * cell_size)
        self.state_projection = (
            nn.Linear(cell_size, hidden_size, bias=False) if has_projection else None
        )

    @property
    def input_size(self) -> int:
        """Width of the inputs."""
        return self.input_linearity.in_features

    @property
    def hidden_size(self) -> int:
        """Width of the outputs, P."""
        return self.state_linearity.in_features

    @property
    def cell_size(self) -> int:
        """Width of the cell, C."""
        return self.state_linearity.out_features // 4

    @property
    def go_forward(self) -> bool:
        """Whether the layer reads from left to right."""
        return self._go_forward

    @property
    def memory_cell_clip_value(self) -> float | None:
        """Bound of the cell; None does not clip. Can be set."""
        return self.cell_clip

    @memory_cell_clip_value.setter
    def memory_cell_clip_value(self, value: float | None) -> None:
        self.cell_clip = value or None

    @property
    def state_projection_clip_value(self) -> float | None:
        """Bound of the projected output; None does not clip. Can be set."""
        return self.proj_clip

    @state_projection_clip_value.setter
    def state_projection_clip_value(self, value: float | None) -> None:
        self.proj_clip = value or None

    def reset_parameters(self) -> None:
        """Draw orthogonal weights for each gate; start with open forget gates."""
        with torch.no_grad():
            for linear in (self.input_linearity, self.state_linearity):
                for gate in linear.weight.chunk(4):
                    nn.init.orthogonal_(gate)
            self.state_linearity.bias.zero_()
            self.state_linearity.bias[self.cell_size : 2 * self.cell_size] = 1.0
