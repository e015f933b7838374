"""Tokens reduced to a few vectors a text, layer by layer, as windows go by.

Every pooling is made from these, so that no token vector has to be kept.
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
from sklearn_elmo.parallel import n_workers, run_side_by_side

__all__ = ["reduce_texts", "token_layers"]

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

# Which end of the text is read first, and so which reduction a first step belongs to.
_ENDS: dict[Direction, tuple[str, str]] = {
    "forward": ("first", "last"),
    "backward": ("last", "first"),
}


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
    advance: Callable[[int], object] | None = None,
) -> dict[str, FloatArray]:
    """Read texts and reduce the vectors of each one's tokens.

    Parameters
    ----------
    encoder : Encoder
    texts : sequence of token lists
        N texts, longest first, none of them empty.
    layers : sequence of int
        Layers wanted, from 0 to L. No layer above the highest of them is run.
    reductions : collection of str
        Of ``"sum"``, ``"max"``, ``"min"``, ``"first"``, ``"last"`` and
        ``"weighted_sum"``.
    state : {"zero", "warm"}
    window_tokens : int
        Bound of the tokens that are in memory at once.
    token_weights : sequence of sequences of float, optional
        A weight a token, needed for ``"weighted_sum"``.
    rows_per_batch : int
        Texts that are read side by side.
    advance : callable, optional
        Told how many texts have been read since it was called last.

    Returns
    -------
    dict of str to ndarray
        *Shape:* ``(N, n_layers, D)`` each, float32.
    """
    width = encoder.options.projection_dim
    halves = (len(texts), len(layers), 2, width)
    reduced = {name: np.empty(halves, dtype=np.float32) for name in reductions}

    def read(batch: slice, half: int, window_tokens: int) -> None:
        direction, part = DIRECTIONS[half], texts[batch]
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
            with torch.inference_mode():
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
                reduced[name][batch, column, half] = values
                if layer == 0:  # both halves are the token vector
                    reduced[name][batch, column, 1] = values

    _read_side_by_side(encoder, texts, read, window_tokens, rows_per_batch, advance)
    shape = (len(texts), len(layers), 2 * width)
    return {name: values.reshape(shape) for name, values in reduced.items()}


def token_layers(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    *,
    layers: Sequence[int],
    state: StartState,
    window_tokens: int,
    rows_per_batch: int = 256,
    advance: Callable[[int], object] | None = None,
) -> list[FloatArray]:
    """Read texts and return the vectors of all tokens.

    Parameters
    ----------
    encoder, texts, layers, state, window_tokens, rows_per_batch, advance
        As in `reduce_texts`.

    Returns
    -------
    list of ndarray
        One a text. *Shape:* ``(n_tokens, n_layers, D)``, float32.
    """
    if not texts:
        return []
    width = encoder.options.projection_dim
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    # The tokens of all texts, text after text; each half of a layer by itself.
    flat = np.empty((int(lengths.sum()), len(layers), 2, width), dtype=np.float32)

    def read(batch: slice, half: int, window_tokens: int) -> None:
        direction = DIRECTIONS[half]
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
                flat[places, column, half] = vectors
                if layer == 0:  # both halves are the token vector
                    flat[places, column, 1] = vectors

    _read_side_by_side(encoder, texts, read, window_tokens, rows_per_batch, advance)
    joined = flat.reshape(len(flat), len(layers), 2 * width)
    return np.split(joined, ends[:-1])


def _read_side_by_side(
    encoder: Encoder,
    texts: Sequence[Sequence[str]],
    read: Callable[[slice, int, int], None],
    window_tokens: int,
    rows_per_batch: int,
    advance: Callable[[int], object] | None,
) -> None:
    """Have every batch read in both directions, as many at a time as there are cores.

    Parameters
    ----------
    encoder, texts, window_tokens, rows_per_batch, advance
        As in `reduce_texts`.
    read : callable
        Told which rows, which direction (0 or 1), and how many tokens it may hold.
    """
    device = encoder.device.type
    encoder.read_tokens(texts)
    batches = [
        slice(start, min(start + rows_per_batch, len(texts)))
        for start in range(0, len(texts), rows_per_batch)
    ]
    pieces = [(batch, half) for batch in batches for half in (0, 1)]
    at_once = min(n_workers(device), len(pieces))
    share = max(1, window_tokens // max(1, at_once))
    tasks = [
        functools.partial(_read_within_memory, read, batch, half, share)
        for batch, half in pieces
    ]
    halves_read = [0] * len(batches)
    for number in run_side_by_side(tasks, device):
        halves_read[number // 2] += 1
        if advance is not None and halves_read[number // 2] == 2:
            batch = batches[number // 2]
            advance(batch.stop - batch.start)


def _read_within_memory(
    read: Callable[[slice, int, int], None], batch: slice, half: int, window_tokens: int
) -> None:
    """Read a batch; where the device's memory is too small, in smaller parts.

    A batch that is read once more overwrites what the first try has left.
    """
    n_rows = batch.stop - batch.start
    try:
        read(batch, half, window_tokens)
        return
    except torch.cuda.OutOfMemoryError:
        if n_rows == 1 and window_tokens == 1:
            raise
    # Out of the except clause, where the error would keep the memory in use.
    if window_tokens > n_rows or n_rows == 1:
        parts = [batch]
    else:
        # A window has one step of all rows at least.
        middle = batch.start + n_rows // 2
        parts = [slice(batch.start, middle), slice(middle, batch.stop)]
    window_tokens = max(1, window_tokens // 2)
    logger.info("out of memory; on with %d parts, %d tokens", len(parts), window_tokens)
    for part in parts:
        _read_within_memory(read, part, half, window_tokens)


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
        # Rising, for bisect: texts come longest first.
        self._negative_lengths = [-len(text) for text in texts]
        self._first, self._last = _ENDS[direction]
        starts = {"max": -torch.inf, "min": torch.inf}
        self._values = {
            name: torch.full((len(texts), width), starts.get(name, 0.0), device=device)
            for name in reductions
        }

    def add(self, window: Window, layer: int, weights: Tensor | None) -> None:
        """Take in the tokens of a window.

        Steps at which the same texts have tokens are reduced together.
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
                factors = weights[start:stop].view(n_steps, n_active, 1)
                values["weighted_sum"][:n_active] += (block * factors).sum(dim=0)
            if "max" in values:
                current = values["max"][:n_active]
                torch.maximum(current, block.amax(dim=0), out=current)
            if "min" in values:
                current = values["min"][:n_active]
                torch.minimum(current, block.amin(dim=0), out=current)
            step += n_steps
            if self._last in values:
                n_going_on = bisect_left(self._negative_lengths, -step)
                ended = slice(n_going_on, n_active)
                values[self._last][ended] = block[-1, ended]
            start = stop

    def results(self) -> dict[str, FloatArray]:
        """Return what has come together. *Shape:* ``(N, P)`` each."""
        return {name: value.cpu().numpy() for name, value in self._values.items()}


def _pack_weights(
    window: Window,
    token_weights: Sequence[Sequence[float]],
    direction: Direction,
    device: torch.device,
) -> Tensor:
    """Put token weights in the order of a window's rows. *Shape:* ``(n_tokens,)``."""
    packed = [
        # A backward step s reads the token s + 1 from the end.
        token_weights[row][step if direction == "forward" else -1 - step]
        for step, n_active in enumerate(window.active_rows, window.first_step)
        for row in range(n_active)
    ]
    return torch.tensor(packed, dtype=torch.float32, device=device)
