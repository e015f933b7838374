"""Reduce the token vectors of each text to a few vectors per layer.

Every pooling is made of these reductions. They are updated window by window, so that no
token vectors have to be kept.
"""

import functools
import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sklearn_elmo.bilm.lstm import DIRECTIONS, Direction
from sklearn_elmo.inference.encoder import Encoder, StartState, Window
from sklearn_elmo.inference.numerics import pinned_numerics
from sklearn_elmo.parallel import n_workers, row_blocks, run_side_by_side

__all__ = ["reduce_texts", "token_layers"]

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

# The reductions that the first and the last step of each direction belong to.
_ENDS: dict[Direction, tuple[str, str]] = {
    "forward": ("first", "last"),
    "backward": ("last", "first"),
}

_SUMS = ("sum", "weighted_sum")


def reduce_texts(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    *,
    layers: Sequence[int],
    reductions: Collection[str],
    state: StartState,
    window_tokens: int,
    token_weights: Sequence[Sequence[float]] | None = None,
    rows_per_batch: int = 256,
    progress: Callable[[int], object] | None = None,
) -> dict[str, FloatArray]:
    """Read texts and reduce the vectors of each one's tokens.

    Parameters
    ----------
    encoder : Encoder
    texts : sequence of token lists
        N texts, longest first, none of them empty.
    layers : sequence of int
        Requested layers, from 0 to L. Layers above the highest of them do not run.
    reductions : collection of str
        Any of ``"sum"``, ``"max"``, ``"min"``, ``"first"``, ``"last"`` and
        ``"weighted_sum"``.
    state : {"zero", "warm"}
    window_tokens : int
        Maximum number of tokens in memory at once.
    token_weights : sequence of sequences of float, optional
        One weight per token, needed for ``"weighted_sum"``.
    rows_per_batch : int
        Number of texts that are read together.
    progress : callable, optional
        Receives the number of texts finished since the last call.

    Returns
    -------
    dict of str to ndarray
        *Shape:* ``(N, n_layers, D)`` each, float32.
    """
    width = encoder.options.projection_dim
    shape = (len(texts), len(layers), len(DIRECTIONS), width)
    reduced = {name: np.empty(shape, dtype=np.float32) for name in reductions}

    def read(batch: slice, direction: Direction, window_tokens: int) -> None:
        part = texts[batch]
        reducers = {
            layer: _Reducer(part, width, direction, reductions, encoder.device)
            for layer in layers
            if layer > 0 or direction == "forward"
        }
        for window in encoder.windows(
            part,
            direction,
            n_layers=max(layers),
            state=state,
            window_tokens=window_tokens,
        ):
            with pinned_numerics(encoder.device):
                weights = (
                    None
                    if token_weights is None
                    else _pack_weights(
                        window, token_weights[batch], direction, encoder.device
                    )
                )
                for layer, reducer in reducers.items():
                    reducer.add(window, layer, weights)
        for layer, reducer in reducers.items():
            column = list(layers).index(layer)
            for name, values in reducer.results().items():
                for side in _sides(layer, direction):
                    reduced[name][batch, column, side] = values

    _read_in_parallel(encoder, texts, read, window_tokens, rows_per_batch, progress)
    return {
        name: values.reshape(len(texts), len(layers), 2 * width)
        for name, values in reduced.items()
    }


def token_layers(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    *,
    layers: Sequence[int],
    state: StartState,
    window_tokens: int,
    rows_per_batch: int = 256,
    progress: Callable[[int], object] | None = None,
) -> list[FloatArray]:
    """Read texts and return the vectors of all tokens.

    Parameters
    ----------
    encoder, texts, layers, state, window_tokens, rows_per_batch, progress
        As in `reduce_texts`.

    Returns
    -------
    list of ndarray
        One per text. *Shape:* ``(n_tokens, n_layers, D)``, float32.
    """
    if not texts:
        return []
    width = encoder.options.projection_dim
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    # The tokens of all texts, one text after the other.
    flat = np.empty(
        (int(lengths.sum()), len(layers), len(DIRECTIONS), width), dtype=np.float32
    )

    def read(batch: slice, direction: Direction, window_tokens: int) -> None:
        for window in encoder.windows(
            texts[batch],
            direction,
            n_layers=max(layers),
            state=state,
            window_tokens=window_tokens,
        ):
            rows = np.concatenate([np.arange(n) for n in window.active_rows])
            steps = window.first_step + np.repeat(
                np.arange(len(window.active_rows)), window.active_rows
            )
            places = (
                (ends - lengths)[batch][rows] + steps
                if direction == "forward"
                else ends[batch][rows] - 1 - steps
            )
            for column, layer in enumerate(layers):
                if layer not in window.layers:
                    continue
                vectors = window.layers[layer].cpu().numpy()
                for side in _sides(layer, direction):
                    flat[places, column, side] = vectors

    _read_in_parallel(encoder, texts, read, window_tokens, rows_per_batch, progress)
    joined = flat.reshape(len(flat), len(layers), 2 * width)
    return np.split(joined, ends[:-1])


def _sides(layer: int, direction: Direction) -> list[int]:
    """Return the directions, as numbers, that share the vectors: both in layer 0."""
    return [0, 1] if layer == 0 else [DIRECTIONS.index(direction)]


def _read_in_parallel(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    read: Callable[[slice, Direction, int], None],
    window_tokens: int,
    rows_per_batch: int,
    progress: Callable[[int], object] | None,
) -> None:
    """Read every batch in both directions, one task per core at a time.

    Parameters
    ----------
    encoder, texts, window_tokens, rows_per_batch, progress
        As in `reduce_texts`.
    read : callable
        Receives the rows of a batch, the direction, and the maximum number of tokens in
        memory.
    """
    device = encoder.device.type
    encoder.cache_tokens(texts)
    batches = row_blocks(len(texts), rows_per_batch)
    jobs = [(batch, direction) for batch in batches for direction in DIRECTIONS]
    n_at_once = max(1, min(n_workers(device), len(jobs)))
    window_tokens = max(1, window_tokens // n_at_once)
    tasks = [
        functools.partial(_read_within_memory, read, batch, direction, window_tokens)
        for batch, direction in jobs
    ]
    finished = [0] * len(batches)  # directions
    for task in run_side_by_side(tasks, device):
        number = task // len(DIRECTIONS)
        finished[number] += 1
        if progress is not None and finished[number] == len(DIRECTIONS):
            progress(batches[number].stop - batches[number].start)


def _read_within_memory(
    read: Callable[[slice, Direction, int], None],
    batch: slice,
    direction: Direction,
    window_tokens: int,
) -> None:
    """Read a batch; if the memory of the device is exhausted, read smaller parts.

    Reading a part again overwrites the results of the first attempt.
    """
    n_rows = batch.stop - batch.start
    try:
        read(batch, direction, window_tokens)
        return
    except torch.cuda.OutOfMemoryError:
        if n_rows == 1 and window_tokens == 1:
            raise
    # Outside the except clause, because the exception keeps the memory in use.
    if window_tokens > n_rows or n_rows == 1:
        parts = [batch]
    else:
        # A window has at least one step of all rows.
        middle = batch.start + n_rows // 2
        parts = [slice(batch.start, middle), slice(middle, batch.stop)]
    window_tokens = max(1, window_tokens // 2)
    logger.info(
        "out of memory; trying %d part(s) of %d tokens", len(parts), window_tokens
    )
    for part in parts:
        _read_within_memory(read, part, direction, window_tokens)


class _Reducer:
    """The reductions of one layer in one direction.

    Parameters
    ----------
    texts : sequence of token lists
    width : int
        P.
    direction : {"forward", "backward"}
    reductions : collection of str
    device : torch.device
    """

    def __init__(
        self,
        texts: Sequence[Sequence[str]],
        width: int,
        direction: Direction,
        reductions: Collection[str],
        device: torch.device,
    ) -> None:
        # In increasing order, for bisect: texts are sorted longest first.
        self._negative_lengths = [-len(text) for text in texts]
        self._first, self._last = _ENDS[direction]
        starts = {"max": -torch.inf, "min": torch.inf}
        self._values = {
            name: torch.full(
                (len(texts), width),
                starts.get(name, 0.0),
                # Sums over windows must not depend on the number of windows. MPS has
                # no float64.
                dtype=torch.float64
                if name in _SUMS and device.type != "mps"
                else torch.float32,
                device=device,
            )
            for name in reductions
        }

    def add(self, window: Window, layer: int, weights: Tensor | None) -> None:
        """Add the tokens of a window.

        Consecutive steps with the same active rows are reduced together.
        """
        rows = window.layers[layer]  # (n_tokens, P)
        values = self._values
        if window.first_step == 0 and self._first in values:
            values[self._first].copy_(rows[: window.active_rows[0]])
        step, start = window.first_step, 0
        for n_active, group in groupby(window.active_rows):
            n_steps = len(list(group))
            stop = start + n_steps * n_active
            block = rows[start:stop].view(n_steps, n_active, -1)
            if "sum" in values:
                values["sum"][:n_active] += block.sum(dim=0)
            if "weighted_sum" in values and weights is not None:
                weighted = block * weights[start:stop].view(n_steps, n_active, 1)
                values["weighted_sum"][:n_active] += weighted.sum(dim=0)
            if "max" in values:
                current = values["max"][:n_active]
                torch.maximum(current, block.amax(dim=0), out=current)
            if "min" in values:
                current = values["min"][:n_active]
                torch.minimum(current, block.amin(dim=0), out=current)
            step += n_steps
            if self._last in values:
                n_continuing = bisect_left(self._negative_lengths, -step)
                ended = slice(n_continuing, n_active)
                values[self._last][ended] = block[-1, ended]
            start = stop

    def results(self) -> dict[str, FloatArray]:
        """Return the reductions. *Shape:* ``(N, P)`` each, float32."""
        return {
            name: value.float().cpu().numpy() for name, value in self._values.items()
        }


def _pack_weights(
    window: Window,
    token_weights: Sequence[Sequence[float]],
    direction: Direction,
    device: torch.device,
) -> Tensor:
    """Return token weights in the order of the rows. *Shape:* ``(n_tokens,)``."""
    packed = [
        # Step s of the backward direction reads the token s + 1 from the end.
        token_weights[row][step if direction == "forward" else -1 - step]
        for step, n_active in enumerate(window.active_rows, window.first_step)
        for row in range(n_active)
    ]
    return torch.tensor(packed, dtype=torch.float32, device=device)
