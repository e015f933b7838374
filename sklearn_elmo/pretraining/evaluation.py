"""Perplexity over the whole vocabulary."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.inference.encoder import Encoder
from sklearn_elmo.pretraining.corpus import BEGIN, END, EncodedText
from sklearn_elmo.pretraining.network import LanguageModel, States

__all__ = ["Perplexity", "measure_perplexity", "warm_states"]

_ROWS_PER_CHUNK = 2048
_STREAMS, _STEPS = 32, 32
_TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class Perplexity:
    """Exponential of the mean negative log likelihood per word.

    The boundary that opens the next sentence is not counted: forward ``<S>``, backward
    ``</S>``. Words outside the vocabulary count as ``<UNK>``.

    Attributes
    ----------
    forward, backward : float
    n_tokens : int
        Number of predictions, both directions together.
    """

    forward: float
    backward: float
    n_tokens: int

    @property
    def average(self) -> float:
        """Geometric mean of both directions."""
        return math.sqrt(self.forward * self.backward)


@torch.no_grad()
def measure_perplexity(
    model: LanguageModel,
    text: EncodedText,
    character_ids: Tensor,
    targets: Tensor,
    *,
    state: str | States = "carry",
) -> Perplexity:
    """Measure the perplexity of a text, over all of its words.

    Parameters
    ----------
    model : LanguageModel
    text : EncodedText
    character_ids, targets : Tensor
        Of the types of the text, on the device of the model.
    state : {"carry", "zero"} or States
        "carry" reads 32 streams of the text in parallel and carries the state from
        sentence to sentence. Otherwise every sentence starts from zeros, or from the
        given states (one row). *Shape:* h ``(L, 2, 1, P)``, c ``(L, 2, 1, C)``.
    """
    device = model.softmax_bias.device
    losses = torch.zeros(2, dtype=torch.float64, device=device)
    counts = torch.zeros(2, dtype=torch.int64, device=device)
    carried: States | None = None
    for read in _stream_batches(text) if state == "carry" else _sentence_batches(text):
        ids = torch.from_numpy(read).to(device)  # (2, T + 1, B); -1 is no word
        n_rows = ids.shape[2]
        if isinstance(state, States):
            start = States(
                state.h.expand(-1, -1, n_rows, -1), state.c.expand(-1, -1, n_rows, -1)
            )
        elif carried is None or state == "zero":
            start = States.zeros(model.options, n_rows, device)
        else:
            start = carried
        words = ids[:, :-1].clamp_min(0)
        unique, inverse = torch.unique(words.flatten(), return_inverse=True)
        vectors = model.token_vectors(character_ids[unique].long())
        inputs = vectors[inverse].view(*words.shape, -1)
        layers, carried = model.contextualize(inputs, start)
        for direction, skipped in enumerate((BEGIN, END)):
            following = ids[direction, 1:].flatten()
            counted = torch.nonzero((following >= 0) & (following != skipped))
            hidden = layers[-1][direction].flatten(0, 1)
            losses[direction] += _total_loss(
                model, hidden, targets, following, counted.squeeze(1)
            )
            counts[direction] += len(counted)
    with np.errstate(over="ignore"):
        forward, backward = np.exp((losses / counts.clamp_min(1)).cpu().numpy())
    return Perplexity(float(forward), float(backward), int(counts.sum()))


def warm_states(model: LanguageModel) -> States:
    """Return the states that `ElmoVectorizer` starts from with ``state="warm"``."""
    n_layers = model.options.n_layers
    h, c = (part.clone() for part in Encoder(model.bilm).warm_state())
    return States(h.view(n_layers, 2, 1, -1), c.view(n_layers, 2, 1, -1))


def _total_loss(
    model: LanguageModel,
    hidden: Tensor,
    targets: Tensor,
    following: Tensor,
    counted: Tensor,
) -> Tensor:
    weight = model.softmax_weight.to(hidden.dtype)
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for start in range(0, len(counted), _ROWS_PER_CHUNK):
        rows = counted[start : start + _ROWS_PER_CHUNK]
        logits = (hidden[rows] @ weight.t()).float() + model.softmax_bias
        total += torch.nn.functional.cross_entropy(
            logits, targets[following[rows]], reduction="sum"
        ).double()
    return total


def _stream_batches(text: EncodedText) -> Iterator[np.ndarray]:
    """Yield batches of streams that follow each other; the last may end with -1."""
    n_tokens = len(text.ids)
    n_streams = max(1, min(_STREAMS, n_tokens // (4 * _STEPS)))
    # The last word of a stream is the first of the next: it is predicted once.
    length = math.ceil((n_tokens - 1) / n_streams)
    starts = np.arange(n_streams) * length
    for first in range(0, length, _STEPS):
        steps = np.arange(first, min(first + _STEPS, length) + 1)
        forward = starts + steps[:, None]
        inside = forward < n_tokens
        forward = np.where(inside, forward, 0)
        ids = text.ids[np.stack([forward, n_tokens - 1 - forward])].astype(np.int64)
        yield np.where(inside, ids, -1)


def _sentence_batches(text: EncodedText) -> Iterator[np.ndarray]:
    """Yield batches of whole sentences, padded with -1 at their ends."""
    starts = np.flatnonzero(text.ids == BEGIN)
    lengths = np.flatnonzero(text.ids == END) + 1 - starts
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        n_rows = max(1, _TOKENS_PER_BATCH // int(lengths[order[first]]))
        rows = order[first : first + n_rows]
        first += n_rows
        steps = np.arange(lengths[rows].max())[:, None]
        inside = steps < lengths[rows]
        forward = starts[rows] + np.where(inside, steps, 0)
        backward = starts[rows] + np.where(inside, lengths[rows] - 1 - steps, 0)
        ids = text.ids[np.stack([forward, backward])].astype(np.int64)
        yield np.where(inside, ids, -1)
