"""The biLM's numbers for many texts at once, fast and in bounded memory.

`BiLm` computes the same with gradients. Here

* a token's vector is computed once and kept for the texts to come;
* texts stand side by side, longest first, and rows leave as their texts end, so that
  no padding is computed;
* steps are taken in windows of a bounded number of tokens, so that a text of any length
  fits; whoever reads a window reduces or copies it before the next one comes;
* the steps over ``<S>`` and ``</S>``, which are the same in every text, are taken once.
"""

import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from sklearn_elmo.bilm.characters import BEGIN_SENTENCE, END_SENTENCE
from sklearn_elmo.bilm.lstm import DIRECTIONS, Direction
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.inference.cuda_graphs import CudaGraphs, RowState
from sklearn_elmo.inference.linear import Precision
from sklearn_elmo.inference.lstm import PreparedLayer
from sklearn_elmo.inference.token_cache import TokenVectors
from sklearn_elmo.inference.weights import PreparedWeights
from sklearn_elmo.parallel import run_side_by_side

__all__ = ["Encoder", "StartState", "Window"]

StartState = Literal["zero", "warm"]

_TOKENS_PER_PART = 512

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
    weights : PreparedWeights
        From `weights_of`, on the device where the encoder shall run.
    options : BiLmOptions
    records_steps : bool, default=False
        Whether a GPU records steps, which pays from the second batch on.
    """

    def __init__(
        self,
        weights: PreparedWeights,
        options: BiLmOptions,
        *,
        records_steps: bool = False,
    ) -> None:
        self.options = options
        with torch.inference_mode():
            self._token_vectors = TokenVectors(weights.part("tokens"), options)
            self.device = self._token_vectors.device
            on_gpu = self.device.type == "cuda"
            record = CudaGraphs(self.device) if on_gpu and records_steps else None
            self._cells = {
                direction: [
                    PreparedLayer(
                        weights.part(f"{direction}_{number}"), options, record
                    )
                    for number in range(options.n_layers)
                ]
                for direction in DIRECTIONS
            }
        self._start_lock = threading.Lock()
        self._starts: dict[tuple[Direction, StartState, int], list[RowState]] = {}

    @classmethod
    def of_model(cls, model: BiLm, precision: Precision = "float32") -> Self:
        """Make a model ready, on its device; parameters as in `weights_of`."""
        return cls(cls.weights_of(model, precision), model.options)

    @staticmethod
    def weights_of(model: BiLm, precision: Precision) -> PreparedWeights:
        """Return what an encoder needs of a model, with which it may share memory.

        Parameters
        ----------
        model : BiLm
        precision : {"float32", "bfloat16", "int8"}
            Of the LSTM's products. State, gates and sums are float32.
        """
        weights = PreparedWeights()
        with torch.inference_mode():
            weights.include("tokens", TokenVectors.weights_of(model._token_embedder))
            for direction in DIRECTIONS:
                for number, layer in enumerate(model._elmo_lstm.layers(direction)):
                    # Above the first layer no two inputs are alike.
                    of_layer = PreparedLayer.weights_of(
                        layer, precision, reads_types=number == 0
                    )
                    weights.include(f"{direction}_{number}", of_layer)
        return weights

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

    def read_tokens(self, texts: Iterable[Iterable[str]]) -> None:
        """Compute the vectors of all tokens of some texts, on all cores.

        They are kept as far as there is room; what is missing later is computed then.
        """
        tokens = list(dict.fromkeys(token for text in texts for token in text))
        missing = self._token_vectors.missing(tokens)
        parts = [
            missing[start : start + _TOKENS_PER_PART]
            for start in range(0, len(missing), _TOKENS_PER_PART)
        ]
        tasks = [functools.partial(self._read_part, part) for part in parts]
        for _ in run_side_by_side(tasks, self.device.type):
            pass

    def _read_part(self, tokens: list[str]) -> None:
        with torch.inference_mode():
            self._token_vectors(tokens)

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
    ) -> list[RowState]:
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

    def _zero_states(self, direction: Direction) -> list[RowState]:
        return [layer.zero_state(1) for layer in self._cells[direction]]

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
        indexes = torch.tensor(
            [types.setdefault(token, len(types)) for token in tokens],
            device=self.device,
        )
        type_vectors = self._token_vectors(list(types))  # (n_types, P)
        layers = {}
        if direction == "forward":
            layers[0] = type_vectors[indexes]
        current = type_vectors
        for number, (layer, state) in enumerate(
            zip(self._cells[direction], states, strict=False), start=1
        ):
            outputs = layer.run(current, indexes, state, active_rows)
            if number > 1 and self.options.use_skip_connections:
                outputs += current
            layers[number] = current = outputs
        return layers


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
