"""ELMo step by step, in the order in which AllenNLP 0.9 computes it.

For comparison of speed and numbers only: sentences in batches of 64 as they come,
padded to the longest; every place of the padded batch, ``<S>`` and ``</S>`` included,
through the character CNN at its full 50 characters; each direction by itself, each
step of each layer with an input product and a state product of its own.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    tokens_to_character_ids,
)
from sklearn_elmo.bilm.lstm import LstmLayer
from sklearn_elmo.bilm.model import BiLm

BATCH_SIZE = 64


def embed_sentences(
    model: BiLm, sentences: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Return layers ``(L + 1, n_tokens, 2P)`` of each sentence, from zero state."""
    found = []
    with torch.no_grad():
        for start in range(0, len(sentences), BATCH_SIZE):
            found += _embed_batch(model, sentences[start : start + BATCH_SIZE])
    return found


def _embed_batch(model: BiLm, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
    options = model.options
    marked = [[BEGIN_SENTENCE, *words, END_SENTENCE] for words in sentences]
    lengths = torch.tensor([len(words) for words in marked])
    n_steps = int(lengths.max())
    ids = np.zeros((len(marked), n_steps, options.max_characters), dtype=np.int64)
    for row, words in enumerate(marked):
        ids[row, : len(words)] = tokens_to_character_ids(words, options.max_characters)
    device = next(model.parameters()).device
    flat = torch.from_numpy(ids).flatten(0, 1).to(device)
    vectors = model._token_embedder(flat).view(len(marked), n_steps, -1)
    order = torch.argsort(lengths, descending=True, stable=True)
    lengths, inputs = lengths[order], vectors[order]
    forward, backward = inputs, inputs
    layers = [torch.cat([inputs, inputs], dim=-1)]
    stack = zip(
        model._elmo_lstm.layers("forward"),
        model._elmo_lstm.layers("backward"),
        strict=True,
    )
    for index, (ahead, behind) in enumerate(stack):
        forward_out = _run(ahead, forward, lengths, reverse=False)
        backward_out = _run(behind, backward, lengths, reverse=True)
        if index > 0 and options.use_skip_connections:
            forward_out += forward
            backward_out += backward
        forward, backward = forward_out, backward_out
        layers.append(torch.cat([forward, backward], dim=-1))
    stacked = torch.stack(layers, dim=1)[torch.argsort(order)]
    return [
        rows[:, 1 : len(words) + 1].cpu().numpy()
        for rows, words in zip(stacked, sentences, strict=True)
    ]


def _run(layer: LstmLayer, inputs: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Run a layer over rows that are sorted by length. *Shape:* ``(B, T, P)``."""
    n_rows, n_steps, width = inputs.shape
    h, c = layer.zero_state(n_rows)
    outputs = inputs.new_zeros(n_rows, n_steps, width)
    for step in range(n_steps):
        place = n_steps - 1 - step if reverse else step
        n_active = int((lengths > place).sum())
        projected = layer.input_linearity(inputs[:n_active, place])
        gates = projected + layer.state_linearity(h[:n_active])
        i, f, g, o = gates.chunk(4, dim=1)
        memory = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * c[:n_active]
        if layer.cell_clip:
            memory = memory.clamp(-layer.cell_clip, layer.cell_clip)
        out = torch.sigmoid(o) * torch.tanh(memory)
        if layer.state_projection is not None:
            out = layer.state_projection(out)
            if layer.proj_clip:
                out = out.clamp(-layer.proj_clip, layer.proj_clip)
        h, c = h.clone(), c.clone()
        h[:n_active], c[:n_active] = out, memory
        outputs[:n_active, place] = out
    return outputs
