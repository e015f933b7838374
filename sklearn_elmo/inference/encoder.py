"""Read many texts at once with a biLM, fast and in bounded memory.

The numbers are those of `sklearn_elmo.bilm.model.BiLm`. The differences are:

* the vector of a token is computed once and kept for later texts;
* texts are sorted by length, longest first, and leave the batch when they end, so that
  no padding is computed;
* steps are taken in windows with a bounded number of tokens, so that texts of any
  length fit; the caller reduces or copies a window before it asks for the next;
* the steps over ``<S>`` and ``</S>``, the same in every text, are taken once.
"""

import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sklearn_elmo.bilm.characters import BEGIN_SENTENCE, END_SENTENCE
from sklearn_elmo.bilm.lstm import DIRECTIONS, Direction
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.inference import cuda_graphs
from sklearn_elmo.inference.lstm import FastLstmLayer
from sklearn_elmo.inference.numerics import pinned_numerics
from sklearn_elmo.inference.precision import Precision
from sklearn_elmo.inference.step_buffers import RowState
from sklearn_elmo.inference.token_cache import TokenCache, TokenKey
from sklearn_elmo.parallel import row_blocks, run_side_by_side

__all__ = ["Encoder", "StartState", "Window"]

StartState = Literal["zero", "warm"]

_TOKENS_PER_TASK = 512

# What the model reads before every text with state="warm". Plain sentences of several
# kinds, written for this purpose, bring it into the state of ordinary running text.
_WARM_UP_PASSAGE = (
    "The committee met on Tuesday to discuss the plan for the new library .",
    '" I have never seen anything like it , " she said , and closed the door .',
    "In 1998 , about 40 % of the farms in the region grew wheat or barley .",
    "Is there a faster way to get from the station to the harbour ?",
    "He thanked them for the letter and promised to write again soon .",
)


@dataclass(frozen=True)
class Window:
    """Consecutive steps of one direction over a batch of texts.

    Attributes
    ----------
    first_step : int
        Steps are counted in reading order.
    active_rows : list of int
        Number of leading texts that have a token at each step; never increases.
    layers : dict of int to Tensor
        The rows of each layer, step after step. *Shape:* ``(sum(active_rows), P)``.
    """

    first_step: int
    active_rows: list[int]
    layers: dict[int, Tensor]

    @property
    def n_tokens(self) -> int:
        """Number of rows per layer."""
        return sum(self.active_rows)


class Encoder:
    """Reads texts with a biLM, on the device of the model.

    Reading changes nothing but the cache of token vectors, and several threads may read
    at once.

    Parameters
    ----------
    model : BiLm
        Parts of its memory may be shared: after changes to the weights, make a new
        encoder.
    precision : {"float32", "bfloat16", "int8"}
        Of the products of the LSTM. Token vectors, states, gates and sums are float32.
    """

    def __init__(self, model: BiLm, precision: Precision = "float32") -> None:
        self.options = model.options
        self.device = next(model.parameters()).device
        capture = (
            cuda_graphs.CudaGraphs(self.device)
            if self.device.type == "cuda" and cuda_graphs.are_requested()
            else None
        )
        with pinned_numerics(self.device):
            self._token_cache = TokenCache(model._token_embedder)
            self._layers = {
                direction: [
                    # Above the first layer no two inputs are equal.
                    FastLstmLayer(
                        layer, precision, reads_types=index == 0, capture=capture
                    )
                    for index, layer in enumerate(model._elmo_lstm.layers(direction))
                ]
                for direction in DIRECTIONS
            }
        self._start_lock = threading.Lock()
        self._starts: dict[tuple[Direction, StartState, int], list[RowState]] = {}

    def windows(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        *,
        n_layers: int,
        state: StartState,
        window_tokens: int,
    ) -> Iterator[Window]:
        """Read texts in one direction.

        Parameters
        ----------
        texts : sequence of token lists
            Longest first, none of them empty.
        direction : {"forward", "backward"}
            Layer 0 is the same in both directions and comes with ``"forward"`` only.
        n_layers : int
            Number of LSTM layers to run, from 0 to L.
        state : {"zero", "warm"}
            State before ``<S>`` (forward) or ``</S>`` (backward).
        window_tokens : int
            Maximum number of tokens per window, but at least one step is taken.

        Yields
        ------
        Window
        """
        if direction == "backward":
            if n_layers == 0:
                return
            texts = [text[::-1] for text in texts]
        starts = self._start_states(direction, state, n_layers) if n_layers else []
        states = [
            layer.repeat_state(start, len(texts))
            for layer, start in zip(self._layers[direction], starts, strict=False)
        ]
        yield from self._read(texts, direction, states, window_tokens)

    def cache_tokens(self, texts: Iterable[Iterable[str]]) -> None:
        """Compute the vectors of the tokens of some texts, on all cores.

        If there are too many tokens to keep, they are computed later, when needed.
        """
        tokens = list(dict.fromkeys(token for text in texts for token in text))
        missing = self._token_cache.missing(tokens)
        tasks = [
            functools.partial(self._add_to_cache, missing[block])
            for block in row_blocks(len(missing), _TOKENS_PER_TASK)
        ]
        for _ in run_side_by_side(tasks, self.device.type):
            pass

    def _add_to_cache(self, keys: list[TokenKey]) -> None:
        with pinned_numerics(self.device):
            self._token_cache.add(keys)

    def warm_state(self) -> tuple[Tensor, Tensor]:
        """Return the state before every text with ``state="warm"``.

        This is the state after a fixed passage of a few plain sentences, read from the
        zero state, so it depends on the model alone.

        Returns
        -------
        h : Tensor
            *Shape:* ``(L, 2P)``, the forward direction first.
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
    ) -> list[RowState]:
        """Return the state of each layer before the first token, for one row."""
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

    def _zero_states(self, direction: Direction) -> list[RowState]:
        return [layer.zero_state(1) for layer in self._layers[direction]]

    def _warm_states(self, direction: Direction) -> list[RowState]:
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
        self, tokens: list[str], direction: Direction, states: list[RowState]
    ) -> None:
        for _ in self._read([tokens], direction, states, window_tokens=len(tokens)):
            pass

    def _read(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        states: list[RowState],
        window_tokens: int,
    ) -> Iterator[Window]:
        """Read texts that are in reading order, and update ``states``."""
        for first_step, active_rows in _plan_windows(texts, window_tokens):
            # Entered for each window, since a caller may abandon this generator.
            with pinned_numerics(self.device):
                layers = self._read_window(
                    texts, direction, states, first_step, active_rows
                )
            yield Window(first_step, active_rows, layers)

    def _read_window(
        self,
        texts: Sequence[Sequence[str]],
        direction: Direction,
        states: list[RowState],
        first_step: int,
        active_rows: list[int],
    ) -> dict[int, Tensor]:
        tokens = [
            texts[row][step]
            for step, n_active in enumerate(active_rows, start=first_step)
            for row in range(n_active)
        ]
        types: dict[str, int] = {}
        type_indices = torch.tensor(
            [types.setdefault(token, len(types)) for token in tokens],
            device=self.device,
        )
        type_vectors = self._token_cache(list(types))  # (n_types, P)
        layers = {}
        if direction == "forward":
            layers[0] = type_vectors[type_indices]
        current = type_vectors
        for number, (layer, state) in enumerate(
            zip(self._layers[direction], states, strict=False), start=1
        ):
            outputs = layer.run(current, type_indices, state, active_rows)
            if number > 1 and self.options.use_skip_connections:
                outputs += current
            layers[number] = current = outputs
        return layers


def _boundaries(direction: Direction) -> tuple[str, str]:
    """Return the marks before and after a sentence, in reading order."""
    if direction == "forward":
        return BEGIN_SENTENCE, END_SENTENCE
    return END_SENTENCE, BEGIN_SENTENCE


def _plan_windows(
    texts: Sequence[Sequence[str]], window_tokens: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the first step and the active rows of each window."""
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
