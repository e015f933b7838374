"""The biLSTM layers with a state that is carried from batch to batch."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.encoder_base import EncoderBase
from sklearn_elmo.allennlp.lstm_cell_with_projection import LstmCellWithProjection
from sklearn_elmo.allennlp.model_files import FileName, read_lstm_parameters
from sklearn_elmo.allennlp.sequences import (
    get_lengths_from_binary_sequence_mask,
    sort_batch_by_length,
)
from sklearn_elmo.bilm.lstm import DIRECTIONS, Direction, LstmState
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.errors import TextValueError

__all__ = ["ElmoLstm"]

_FIXED_SIZE = "Build another ElmoLstm for other sizes."


class ElmoLstm(EncoderBase):
    """Stacked LSTMs in two directions with skip connections, as AllenNLP's `ElmoLstm`.

    Parameters
    ----------
    input_size, hidden_size, cell_size, num_layers : int
        Width of the inputs, of each direction's outputs (P) and cells (C), and L.
    requires_grad : bool, default=False
        Whether weights that `load_weights` reads can be trained.
    recurrent_dropout_probability : float, default=0.0
        As in `LstmCellWithProjection`.
    memory_cell_clip_value, state_projection_clip_value : float, optional

    Examples
    --------
    >>> import torch
    >>> lstm = ElmoLstm(input_size=3, hidden_size=5, cell_size=7, num_layers=2)
    >>> lstm(torch.rand(4, 6, 3), torch.ones(4, 6)).shape  # L, B, T, 2 * hidden_size
    torch.Size([2, 4, 6, 10])
    >>> [tuple(state.shape) for state in lstm._states]
    [(2, 4, 10), (2, 4, 14)]
    """

    _read_only: ClassVar = dict.fromkeys(
        (
            "input_size",
            "hidden_size",
            "cell_size",
            "num_layers",
            "forward_layers",
            "backward_layers",
        ),
        _FIXED_SIZE,
    )
    _absent: ClassVar = {"_lstm_forward": "Call the module itself."}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell_size: int,
        num_layers: int,
        requires_grad: bool = False,
        recurrent_dropout_probability: float = 0.0,
        memory_cell_clip_value: float | None = None,
        state_projection_clip_value: float | None = None,
    ) -> None:
        options = BiLmOptions(
            n_layers=num_layers,
            cell_dim=cell_size,
            projection_dim=hidden_size,
            cell_clip=memory_cell_clip_value or None,
            proj_clip=state_projection_clip_value or None,
            use_skip_connections=True,
            # The rest describes the character CNN, which is not here.
            char_dim=1,
            filters=((1, 1),),
            n_highway=0,
            activation="relu",
            max_characters=3,
            n_characters=262,
        )
        self._build(options, input_size, has_projection=True)
        for layer in (*self.forward_layers, *self.backward_layers):
            layer.recurrent_dropout_probability = recurrent_dropout_probability
            layer.reset_parameters()
        self.requires_grad = requires_grad

    @classmethod
    def of_options(cls, options: BiLmOptions, *, has_projection: bool) -> Self:
        """Build the layers of a model, with weights that are still to be loaded."""
        lstm = cls.__new__(cls)
        lstm._build(options, options.projection_dim, has_projection)
        return lstm

    def _build(
        self, options: BiLmOptions, input_size: int, has_projection: bool
    ) -> None:
        EncoderBase.__init__(self, stateful=True)
        self.options = options
        self.requires_grad = False
        for index in range(options.n_layers):
            # Both directions of a layer in turn: the order of AllenNLP's parameters,
            # on which the states of its optimizers depend.
            for direction in DIRECTIONS:
                layer = LstmCellWithProjection.without_weights(
                    input_size if index == 0 else options.projection_dim,
                    options.projection_dim,
                    options.cell_dim,
                    direction == "forward",
                    has_projection,
                )
                layer.memory_cell_clip_value = options.cell_clip
                layer.state_projection_clip_value = options.proj_clip
                self.add_module(f"{direction}_layer_{index}", layer)

    @property
    def input_size(self) -> int:
        """Width of the inputs."""
        return self.forward_layers[0].input_size

    @property
    def hidden_size(self) -> int:
        """Width of each direction's outputs, P."""
        return self.options.projection_dim

    @property
    def cell_size(self) -> int:
        """Width of each direction's cells, C."""
        return self.options.cell_dim

    @property
    def num_layers(self) -> int:
        """Number of layers, L."""
        return self.options.n_layers

    def layers(self, direction: Direction) -> list[LstmCellWithProjection]:
        """Return the layers of one direction, lowest first."""
        return [
            self.get_submodule(f"{direction}_layer_{index}")  # type: ignore[misc]
            for index in range(self.num_layers)
        ]

    @property
    def forward_layers(self) -> list[LstmCellWithProjection]:
        """The layers that read from left to right, lowest first."""
        return self.layers("forward")

    @property
    def backward_layers(self) -> list[LstmCellWithProjection]:
        """The layers that read from right to left, lowest first."""
        return self.layers("backward")

    def load_weights(self, weight_file: FileName) -> None:
        """Read the weights of all layers from a model's HDF5 file.

        Parameters
        ----------
        weight_file : path or URL

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ModelFileError
            If the file is damaged or has other sizes.
        """
        self.load_state_dict(read_lstm_parameters(weight_file, self.options))
        self.requires_grad_(self.requires_grad)

    def forward(
        self,
        inputs: Tensor,
        mask: Tensor,
        *,
        state_rows: Tensor | None = None,
        initial_state: LstmState | None = None,
    ) -> Tensor:
        """Run a batch.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(B, T, input_size)``.
        mask : Tensor
            1 for tokens, 0 for padding; a row's first ``mask.sum()`` positions are
            read. *Shape:* ``(B, T)``.
        state_rows : Tensor, optional
            Row of the carried state for each row of the batch; 0, 1, ... by default.
            *Shape:* ``(B,)``, int64.
        initial_state : tuple of Tensor, optional
            h ``(L, 2P)`` and c ``(L, 2C)`` that every row starts from if the module is
            not stateful; zeros by default.

        Returns
        -------
        Tensor
            All layers; padding is 0. *Shape:* ``(L, B, T, 2P)``.

        Raises
        ------
        TextValueError
            If `_states` was set to something that does not fit the layers.
        """
        if state_rows is None:
            state_rows = torch.arange(len(inputs), device=inputs.device)
        state = None
        if self.stateful:
            state = self._carried_state(state_rows, inputs)
        elif initial_state is not None:
            h, c = (
                part.to(inputs)[:, None].repeat(1, len(inputs), 1)
                for part in initial_state
            )
            state = h, c
        lengths = get_lengths_from_binary_sequence_mask(mask)
        layers, new_state = self._run(inputs, lengths, state)
        if self.stateful:
            self._carry(new_state, state_rows)
        return layers

    def _run(
        self, inputs: Tensor, lengths: Tensor, state: LstmState | None
    ) -> tuple[Tensor, LstmState]:
        """Return all layers ``(L, B, T, 2P)`` and the state after each row."""
        inputs, lengths, restore, order = sort_batch_by_length(
            inputs, lengths.to(inputs.device)
        )
        pairs = []  # outputs, h and c of each layer, both directions side by side
        current = dict.fromkeys(DIRECTIONS, inputs)
        for index in range(self.num_layers):
            parts: list[tuple[Tensor, Tensor, Tensor]] = []
            for number, direction in enumerate(DIRECTIONS):
                start = None
                if state is not None:
                    start = tuple(
                        part[index, order].chunk(2, dim=-1)[number][None]
                        for part in state
                    )
                layer = self.get_submodule(f"{direction}_layer_{index}")
                output, (h, c) = layer(current[direction], lengths, start)
                if index > 0 and self.options.use_skip_connections:
                    output = output + current[direction]
                current[direction] = output
                parts.append((output, h[0], c[0]))
            pairs.append(
                [torch.cat(pair, dim=-1)[restore] for pair in zip(*parts, strict=True)]
            )
        layers, h, c = (torch.stack(part) for part in zip(*pairs, strict=True))
        return layers, (h, c)

    def _carried_state(self, rows: Tensor, like: Tensor) -> LstmState | None:
        if self._states is None:
            return None
        widths = (2 * self.hidden_size, 2 * self.cell_size)
        shapes = [tuple(state.shape) for state in self._states]
        if [(s[0], s[-1]) for s in shapes if len(s) == 3] != [
            (self.num_layers, width) for width in widths
        ]:
            message = (
                f"The carried state has parts of the shapes {shapes}; expected "
                f"(layers, rows, width) with {self.num_layers} layers and the widths "
                f"{widths}. Set _states to None to forget it."
            )
            raise TextValueError(message)
        h, c = (_with_rows(state.to(like), rows)[:, rows] for state in self._states)
        return h, c

    def _carry(self, state: LstmState, rows: Tensor) -> None:
        """Keep the final state of a batch; other rows keep theirs."""
        old: Sequence[Tensor] = self._states or [part[:, :0] for part in state]
        kept = []
        for new, before in zip(state, old, strict=True):
            # A copy made here is not an inference tensor, so that training may use it.
            with torch.inference_mode(False):
                whole = _with_rows(before.detach().to(new), rows).clone()
                whole[:, rows] = new.detach()
            kept.append(whole)
        self._states = tuple(kept)


def _with_rows(part: Tensor, rows: Tensor) -> Tensor:
    """Append rows of zeros until `rows` exist. ``(L, n, ...)`` -> ``(L, m, ...)``."""
    if len(rows) == 0:
        return part
    missing = int(rows.max()) + 1 - part.shape[1]
    return nn.functional.pad(part, (0, 0, 0, max(missing, 0)))
