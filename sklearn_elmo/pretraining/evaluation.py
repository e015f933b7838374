"""Perplexity over the whole vocabulary."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.pretraining.batches import Lanes
from sklearn_elmo.pretraining.corpus import BEGIN, END, EncodedText
from sklearn_elmo.pretraining.network import LanguageModel, States

__all__ = ["Perplexity", "measure_perplexity"]

_ROWS_PER_CHUNK = 2048


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log likelihood of a word.

    The boundary that opens the next sentence is not counted: forward ``<S>``, backward
    ``</S>``. Words outside the vocabulary count as ``<UNK>``.
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
    n_lanes: int = 32,
    n_steps: int = 32,
) -> Perplexity:
    """Read a text with carried state and judge every prediction.

    Parameters
    ----------
    model : LanguageModel
    text : EncodedText
    character_ids, targets : Tensor
        Of the text's types, on the model's device.
    n_lanes : int
        Pieces of the text that are read side by side, each from zero state.
    n_steps : int
        Words at a time.
    """
    device = model.softmax_bias.device
    n_lanes = max(1, min(n_lanes, len(text.ids) // (4 * n_steps)))
    n_steps = max(1, min(n_steps, len(text.ids) // n_lanes - 1))
    lanes = Lanes(text, n_lanes, n_steps)
    states = States.zeros(model.options, n_lanes, device)
    weight = model.softmax_weight.to(model.product_type)
    losses = torch.zeros(2, dtype=torch.float64, device=device)
    counts = torch.zeros(2, dtype=torch.int64, device=device)
    for step in range(lanes.steps_per_epoch):
        ids = torch.from_numpy(lanes.read(step)).to(device)
        unique, inverse = torch.unique(ids[:, :-1].flatten(), return_inverse=True)
        vectors = model.token_vectors(character_ids[unique].long())
        inputs = vectors[inverse].view(*ids[:, :-1].shape, -1)
        layers, states = model.contextualize(inputs, states)
        for direction, skipped in enumerate((BEGIN, END)):
            following = ids[direction, 1:].flatten()
            is_counted = following != skipped
            hidden = layers[-1][direction].flatten(0, 1)
            for start in range(0, len(hidden), _ROWS_PER_CHUNK):
                rows = slice(start, start + _ROWS_PER_CHUNK)
                logits = hidden[rows] @ weight.t()
                loss = torch.nn.functional.cross_entropy(
                    logits.float() + model.softmax_bias,
                    targets[following[rows]],
                    reduction="none",
                )
                losses[direction] += loss[is_counted[rows]].double().sum()
            counts[direction] += is_counted.sum()
    forward, backward = np.exp((losses / counts.clamp_min(1)).cpu().numpy())
    return Perplexity(float(forward), float(backward), int(counts.sum()))
