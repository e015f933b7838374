"""The biLM's numbers for many texts at once, fast and in bounded memory.

`BiLm` computes the same with gradients. Here

* a token's vector is computed once and kept for the texts to come;
* texts stand side by side, longest first, and rows leave as their texts end, so that
  no padding is computed;
* steps are taken in windows of a bounded number of tokens, so that a text of any length
  fits; whoever reads a window reduces or copies it before the next one comes;
* the steps over ``<S>`` and ``</S>``, which are the same in every text, are taken once.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sklearn_elmo.bilm.char_cnn import CharacterCnn
from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    PADDING_ID,
    tokens_to_character_ids,
)
from sklearn_elmo.bilm.lstm import Direction, LstmLayer
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.products import Precision, prepare_product

__all__ = ["Encoder", "StartState", "Window"]

StartState = Literal["zero", "warm"]

_TOKEN_TABLE_BYTES = 64 * 2**20
_TOKENS_PER_CONVOLUTION = 512

# What the model has "read" before every text under state="warm". Made up for this
# purpose: plain sentences of several kinds, so that the state is that of a model in
# the midst of ordinary text.
_WARM_UP_PASSAGE = (
    "The committee met on Tuesday to discuss the plan for the new library .",
    '" I have never seen anything like it , " she said , and closed the door .',
    "In 1998 , about 40 % of the farms in the region grew wheat or barley .",
    "Is there a faster way to get from the station to the harbour ?",
    "He thanked them for the letter and promised to write again soon .",
)


@dataclass(frozen=True)
class Window:
    """Some steps of one direction over a batch of texts.

    Attributes
    ----------
    first_step : int
        Steps are counted in the order in which the direction reads.
    active_rows : list of int
        How many texts, from the first, have a token at each step; falling.
    layers : dict of int to Tensor
        The packed rows of each layer: those of the first step, then those of the
        next. *Shape:* ``(sum(active_rows), P)``.
    """

    first_step: int
    active_rows: list[int]
    layers: dict[int, Tensor]

    @property
    def n_tokens(self) -> int:
        """Rows of each layer."""
        return sum(self.active_rows)


class Encoder:
    """A biLM made ready to read texts.

    An encoder is not changed by reading, apart from the token vectors that it keeps,
    and may be used by several threads at once.

    Parameters
    ----------
    model : BiLm
        On the device where it shall run.
    precision : {"float32", "bfloat16", "int8"}
        Of the LSTM's products. State, gates and sums are float32.
    """

    def __init__(self, model: BiLm, precision: Precision = "float32") -> None:
        self.options = model.options
        self.device = next(model.parameters()).device
        with torch.inference_mode():
            self._token_vectors = _TokenVectors(model._token_embedder)
            self._cells: dict[Direction, list[_PreparedLayer]] = {
                direction: [
                    _PreparedLayer(layer, precision)
                    for layer in model._elmo_lstm.layers(direction)
                ]
                for direction in ("forward", "backward")
            }
        self._start_lock = threading.Lock()
        self._starts: dict[tuple[Direction, StartState, int], list[_RowState]] = {}

    def windows(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        *,
        n_layers: int,
        state: StartState,
        window_tokens: int,
    ) -> Iterator[Window]:
        """Read texts from their start state in one direction.

        Parameters
        ----------
        texts : sequence of token lists
            Longest first, none of them empty.
        direction : {"forward", "backward"}
            Layer 0, which is the same in both, comes with ``"forward"`` only.
        n_layers : int
            How many LSTM layers to run, from 0 to L.
        state : {"zero", "warm"}
            State before ``<S>`` (forward) or ``</S>`` (backward).
        window_tokens : int
            Most tokens in a window, but every window has at least one step.

        Yields
        ------
        Window
        """
        if direction == "backward":
            if n_layers == 0:
                return
            texts = [text[::-1] for text in texts]
        starts = self._start_states(direction, state, n_layers) if n_layers else []
        states = [start.repeat(len(texts)) for start in starts]
        yield from self._read(texts, direction, states, window_tokens)

    def warm_state(self) -> tuple[Tensor, Tensor]:
        """Return the state before every text under ``state="warm"``.

        It is the state after a fixed passage of a few plain sentences, read from a
        zero state, and so depends on the model alone.

        Returns
        -------
        h : Tensor
            *Shape:* ``(L, 2P)``, forward half first.
        c : Tensor
            *Shape:* ``(L, 2C)``.
        """
        layers = list(
            zip(
                self._warm_states("forward"), self._warm_states("backward"), strict=True
            )
        )
        h = torch.stack([torch.cat([s.h[0] for s in pair]) for pair in layers])
        c = torch.stack([torch.cat([s.cell[0] for s in pair]) for pair in layers])
        return h, c

    def _start_states(
        self, direction: Direction, state: StartState, n_layers: int
    ) -> list["_RowState"]:
        """Return the state before a text's first word, one a layer, for one row."""
        with self._start_lock:
            key = (direction, state, n_layers)
            if key not in self._starts:
                first, _ = _boundaries(direction)
                states = (
                    self._zero_states(direction)
                    if state == "zero"
                    else self._warm_states(direction)
                )[:n_layers]
                self._read_to_the_end([first], direction, states)
                self._starts[key] = states
            return self._starts[key]

    def _zero_states(self, direction: Direction) -> list["_RowState"]:
        return [layer.zero_state(1, self.device) for layer in self._cells[direction]]

    def _warm_states(self, direction: Direction) -> list["_RowState"]:
        first, last = _boundaries(direction)
        passage = []
        for sentence in _WARM_UP_PASSAGE:
            words = sentence.split()
            if direction == "backward":
                words.reverse()
            passage += [first, *words, last]
        states = self._zero_states(direction)
        self._read_to_the_end(passage, direction, states)
        return states

    def _read_to_the_end(
        self, tokens: list[str], direction: Direction, states: list["_RowState"]
    ) -> None:
        for _ in self._read([tokens], direction, states, window_tokens=len(tokens)):
            pass

    def _read(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        states: list["_RowState"],
        window_tokens: int,
    ) -> Iterator[Window]:
        """Read texts that are in reading order; leave the last states in ``states``."""
        for first_step, active_rows in _plan_windows(texts, window_tokens):
            # Entered anew for each window: a generator that was left half-way must
            # not leave the mode switched on for others.
            with torch.inference_mode():
                layers = self._read_window(
                    texts, direction, states, first_step, active_rows
                )
            yield Window(first_step, active_rows, layers)

    def _read_window(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        states: list["_RowState"],
        first_step: int,
        active_rows: list[int],
    ) -> dict[int, Tensor]:
        tokens = [
            texts[row][step]
            for step, n_active in enumerate(active_rows, start=first_step)
            for row in range(n_active)
        ]
        types: dict[str, int] = {}
        indexes = torch.tensor(
            [types.setdefault(token, len(types)) for token in tokens],
            device=self.device,
        )
        type_vectors = self._token_vectors(list(types))  # (n_types, P)
        layers = {}
        if direction == "forward":
            layers[0] = type_vectors[indexes]
        current: Tensor | None = None
        for number, (layer, state) in enumerate(
            zip(self._cells[direction], states, strict=False), start=1
        ):
            if current is None:
                # The first layer's input products are those of the distinct tokens.
                outputs = layer.run(
                    layer.project_inputs(type_vectors), indexes, state, active_rows
                )
            else:
                outputs = layer.run(
                    layer.project_inputs(current), None, state, active_rows
                )
                if self.options.use_skip_connections:
                    outputs += current
            layers[number] = current = outputs
        return layers


@dataclass
class _RowState:
    """The state of a layer's rows; changed in place as the rows read on.

    h is ``(B, P)``; ``doubled_cell`` is 2c, ``(B, C)``, see `_PreparedLayer`.
    """

    h: Tensor
    doubled_cell: Tensor

    @property
    def cell(self) -> Tensor:
        return self.doubled_cell / 2

    def repeat(self, n_rows: int) -> "_RowState":
        """Return ``n_rows`` copies of the one row, with memory of their own."""
        return _RowState(self.h.repeat(n_rows, 1), self.doubled_cell.repeat(n_rows, 1))


class _PreparedLayer:
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

    def zero_state(self, n_rows: int, device: torch.device) -> _RowState:
        return _RowState(
            torch.zeros(n_rows, self._output_dim, device=device),
            torch.zeros(n_rows, self._cell_dim, device=device),
        )

    def run(
        self,
        projected: Tensor,
        indexes: Tensor | None,
        state: _RowState,
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
        state : _RowState
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
            gates = self._project_state(h)  # (n_active, 4C)
            gates += (
                projected[start:stop]
                if indexes is None
                else projected[indexes[start:stop]]
            )
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


class _TokenVectors:
    """Vectors of tokens, each computed once while there is room to keep them."""

    def __init__(self, embedder: CharacterCnn) -> None:
        self._embedder = embedder
        self._options = embedder.options
        width = self._options.projection_dim
        self._capacity = max(1, _TOKEN_TABLE_BYTES // (4 * width))
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._table = embedder._char_embedding_weights.new_empty(0, width)

    def __call__(self, tokens: list[str]) -> Tensor:
        """Return the vectors of distinct tokens. *Shape:* ``(n, P)``."""
        if len(tokens) > self._capacity:
            return self._compute(tokens)
        with self._lock:
            new = [token for token in tokens if token not in self._rows]
            if len(self._rows) + len(new) > self._capacity:
                self._rows, new = {}, tokens
            if new:
                self._store(new)
            rows = [self._rows[token] for token in tokens]
            return self._table[torch.tensor(rows, device=self._table.device)]

    def _store(self, tokens: list[str]) -> None:
        first, last = len(self._rows), len(self._rows) + len(tokens)
        if last > len(self._table):
            n_rows = min(self._capacity, max(last, 2 * len(self._table)))
            grown = self._table.new_empty(n_rows, self._table.shape[1])
            grown[:first] = self._table[:first]
            self._table = grown
        self._table[first:last] = self._compute(tokens)
        self._rows.update(zip(tokens, range(first, last), strict=True))

    def _compute(self, tokens: list[str]) -> Tensor:
        """Run the character CNN over tokens of like length together."""
        device = self._table.device
        ids = tokens_to_character_ids(tokens, self._options.max_characters)
        character_ids = torch.from_numpy(ids)
        # Convolutions may stop where only padding is left, provided that each filter
        # has seen padding alone once: its maximum is then that over all positions.
        is_padding = character_ids == PADDING_ID
        n_marks = self._options.max_characters - is_padding.sum(dim=1)
        widest = max(width for width, _ in self._options.filters)
        order = torch.argsort(n_marks)
        vectors = self._table.new_empty(len(tokens), self._table.shape[1])
        for chunk in torch.split(order, _TOKENS_PER_CONVOLUTION):
            length = min(self._options.max_characters, int(n_marks[chunk[-1]]) + widest)
            computed = self._embedder(character_ids[chunk, :length].to(device))
            vectors[chunk.to(device)] = computed
        return vectors


def _boundaries(direction: Direction) -> tuple[str, str]:
    """Return the marks that a direction reads before and after a sentence."""
    if direction == "forward":
        return BEGIN_SENTENCE, END_SENTENCE
    return END_SENTENCE, BEGIN_SENTENCE


def _plan_windows(
    texts: Sequence[Sequence[str]], window_tokens: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the first step of each window, and how many texts each step has."""
    n_active = len(texts)
    first_step, active_rows, n_tokens = 0, list[int](), 0
    n_steps = len(texts[0]) if texts else 0
    for step in range(n_steps):
        while len(texts[n_active - 1]) <= step:
            n_active -= 1
        if active_rows and n_tokens + n_active > window_tokens:
            yield first_step, active_rows
            first_step, active_rows, n_tokens = step, [], 0
        active_rows.append(n_active)
        n_tokens += n_active
    if active_rows:
        yield first_step, active_rows
