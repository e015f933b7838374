"""One layer of one direction, under the arguments and attributes of AllenNLP's cell."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.allennlp.sequences import get_dropout_mask
from sklearn_elmo.bilm.lstm import LstmLayer, LstmState
from sklearn_elmo.errors import TextValueError

__all__ = ["LstmCellWithProjection", "block_orthogonal"]

_FIXED_SIZE = "Build another one for other sizes."


class LstmCellWithProjection(OldPlaces, LstmLayer):
    """LSTM of one direction over whole sequences, as AllenNLP's class of this name.

    Parameters
    ----------
    input_size, hidden_size, cell_size : int
        Width of the inputs, of the outputs (P) and of the cell (C).
    go_forward : bool, default=True
        Whether sequences are read from left to right.
    recurrent_dropout_probability : float, default=0.0
        Dropout of the outputs, which are also the next step's state; in training mode,
        with one mask for all steps of a sequence.
    memory_cell_clip_value, state_projection_clip_value : float, optional
        0 and None do not clip.

    Examples
    --------
    >>> cell = LstmCellWithProjection(input_size=3, hidden_size=5, cell_size=7)
    >>> outputs, (h, c) = cell(torch.rand(2, 4, 3), [4, 2])
    >>> outputs.shape, h.shape, c.shape
    (torch.Size([2, 4, 5]), torch.Size([1, 2, 5]), torch.Size([1, 2, 7]))
    """

    _read_only: ClassVar = dict.fromkeys(
        ("input_size", "hidden_size", "cell_size"), _FIXED_SIZE
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell_size: int,
        go_forward: bool = True,
        recurrent_dropout_probability: float = 0.0,
        memory_cell_clip_value: float | None = None,
        state_projection_clip_value: float | None = None,
    ) -> None:
        self._build(input_size, hidden_size, cell_size, go_forward)
        self.recurrent_dropout_probability = recurrent_dropout_probability
        self.memory_cell_clip_value = memory_cell_clip_value
        self.state_projection_clip_value = state_projection_clip_value
        self.reset_parameters()

    @classmethod
    def without_weights(
        cls,
        input_size: int,
        hidden_size: int,
        cell_size: int,
        go_forward: bool,
        has_projection: bool,
    ) -> Self:
        """Build a cell whose weights are still to be loaded.

        Parameters
        ----------
        input_size, hidden_size, cell_size, go_forward
        has_projection : bool
            Whether the cell is projected to `hidden_size`.
        """
        cell = cls.__new__(cls)
        cell._build(input_size, hidden_size, cell_size, go_forward, has_projection)
        return cell

    def _build(
        self,
        input_size: int,
        hidden_size: int,
        cell_size: int,
        go_forward: bool,
        has_projection: bool = True,
    ) -> None:
        # Not LstmLayer's, whose inputs are as wide as its outputs.
        nn.Module.__init__(self)
        self.go_forward = go_forward
        self.recurrent_dropout_probability = 0.0
        self.cell_clip = self.proj_clip = None
        self.input_linearity = nn.Linear(input_size, 4 * cell_size, bias=False)
        self.state_linearity = nn.Linear(hidden_size, 4 * cell_size)
        self.state_projection = (
            nn.Linear(cell_size, hidden_size, bias=False) if has_projection else None
        )
        self._dropout_mask: Tensor | None = None  # (B, P), while forward runs

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
        for linear in (self.input_linearity, self.state_linearity):
            block_orthogonal(linear.weight, [self.cell_size, linear.in_features])
        with torch.no_grad():
            self.state_linearity.bias.zero_()
            self.state_linearity.bias[self.cell_size : 2 * self.cell_size] = 1.0

    def forward(  # type: ignore[override]  # AllenNLP's signature, not LstmLayer's
        self,
        inputs: Tensor,
        batch_lengths: Sequence[int] | Tensor,
        initial_state: LstmState | None = None,
    ) -> tuple[Tensor, LstmState]:
        """Run over a batch, longest row first.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(B, T, input_size)``.
        batch_lengths : sequence of int
            Number of tokens of each row; never increases. *Shape:* ``(B,)``.
        initial_state : tuple of Tensor, optional
            h ``(1, B, P)`` and c ``(1, B, C)``; zeros by default.

        Returns
        -------
        outputs : Tensor
            Padding is 0. *Shape:* ``(B, T, P)``.
        state : tuple of Tensor
            h and c after each row's last token.

        Raises
        ------
        TextValueError
            If a row is longer than the one before.
        """
        n_rows, n_steps = inputs.shape[:2]
        lengths = torch.as_tensor(batch_lengths, device=inputs.device)
        if (lengths[1:] > lengths[:-1]).any():
            message = (
                f"The lengths of the rows are {lengths.tolist()}; expected the longest "
                "row first. Sort the batch, for example with sort_batch_by_length."
            )
            raise TextValueError(message)
        positions = torch.arange(n_steps, device=inputs.device)
        is_token = positions < lengths[:, None]  # (B, T)
        if not self.go_forward:
            # Each row is reversed within its length.
            positions = torch.where(
                is_token, lengths[:, None] - 1 - positions, positions
            )
            rows = torch.arange(n_rows, device=inputs.device)[:, None]
            inputs = inputs[rows, positions]
        state = self.zero_state(n_rows)
        if initial_state is not None:
            state = initial_state[0].squeeze(0), initial_state[1].squeeze(0)
        if self.training and self.recurrent_dropout_probability > 0:
            self._dropout_mask = get_dropout_mask(
                self.recurrent_dropout_probability, state[0]
            )
        try:
            steps, (h, c) = super().forward(
                inputs.transpose(0, 1), state, is_token.sum(dim=0).tolist()
            )
        finally:
            self._dropout_mask = None
        outputs = steps.transpose(0, 1)
        if not self.go_forward:
            outputs = outputs[rows, positions]
        return outputs, (h[None], c[None])

    def step(self, projected_inputs: Tensor, state: LstmState) -> LstmState:
        """Take one step and drop out, as `LstmLayer.step`."""
        h, c = super().step(projected_inputs, state)
        if self._dropout_mask is not None:
            h = h * self._dropout_mask[: len(h)]
        return h, c


def block_orthogonal(
    tensor: Tensor, split_sizes: Sequence[int], gain: float = 1.0
) -> None:
    """Fill each block of a tensor with an orthogonal matrix.

    Parameters
    ----------
    tensor : Tensor
        Changed in place.
    split_sizes : sequence of int
        Size of a block along each axis, which divides the tensor's size.
    gain : float, default=1.0
        Factor of the matrices.

    Raises
    ------
    TextValueError
        If a size does not divide the tensor's.
    """
    sizes = list(tensor.shape)
    if any(size % split for size, split in zip(sizes, split_sizes, strict=True)):
        message = (
            f"The tensor has the shape {tuple(sizes)}, which cannot be split into "
            f"blocks of {tuple(split_sizes)}. Use sizes that divide the tensor's."
        )
        raise TextValueError(message)
    blocks = [tensor.detach()]
    for axis, split in enumerate(split_sizes):
        blocks = [part for block in blocks for part in torch.split(block, split, axis)]
    with torch.no_grad():
        for block in blocks:
            block.copy_(nn.init.orthogonal_(block.clone(), gain))
