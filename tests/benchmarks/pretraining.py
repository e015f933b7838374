"""Tokens per second of the trainer, and of a straightforward implementation.

    python tests/benchmarks/pretraining.py [--steps 5] [--threads 2] [--size default]

The straightforward implementation runs the character CNN over every word of the batch,
`torch.nn.LSTM` with `proj_size` (which does not clip) for each direction, and one
`cross_entropy` over negative samples, in float32, with automatic gradients and Adam.
Both take the same steps alternately in one process; the fastest step of each counts.
Words are random strings drawn by Zipf's law.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

from sklearn_elmo.bilm.char_cnn import CharacterCnn
from sklearn_elmo.bilm.characters import tokens_to_character_ids
from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.pretraining.network import LanguageModel, States, initialize
from sklearn_elmo.pretraining.objective import log_uniform_sample
from sklearn_elmo.pretraining.presets import PRESETS, resolve_size
from sklearn_elmo.pretraining.settings import Settings
from sklearn_elmo.pretraining.step import TrainingStep

N_TYPES = N_WORDS = 40_000


class StraightforwardModel(nn.Module):
    """A biLM of the same shape, built from PyTorch's layers."""

    def __init__(self, options):
        super().__init__()
        self.characters = CharacterCnn(options)
        for parameter in self.characters.parameters():
            nn.init.normal_(parameter, std=0.05)
        width = options.projection_dim
        self.lstms = nn.ModuleList(
            nn.LSTM(width, options.cell_dim, options.n_layers, proj_size=width)
            for _ in range(2)
        )
        self.softmax = nn.Embedding(N_WORDS, width)
        self.bias = nn.Parameter(torch.zeros(N_WORDS))

    def forward(self, character_ids, targets, samples):
        loss = 0.0
        for ids, following, lstm in zip(
            character_ids, targets, self.lstms, strict=True
        ):
            vectors = self.characters(ids.flatten(0, 1)).view(*ids.shape[:2], -1)
            hidden = lstm(vectors)[0].flatten(0, 1)
            true = (hidden * self.softmax(following.flatten())).sum(dim=1)
            true = true + self.bias[following.flatten()]
            drawn = hidden @ self.softmax(samples).t() + self.bias[samples]
            logits = torch.cat([true[:, None], drawn], dim=1)
            first = torch.zeros(len(logits), dtype=torch.int64)
            loss = loss + nn.functional.cross_entropy(logits, first) / 2
        return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", choices=PRESETS, default="default")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = resolve_size(arguments.size, source="--size")
    settings = Settings(dropout=0.0)
    rng = np.random.default_rng(0)
    characters = make_characters(rng)
    chances = 1 / np.arange(1, N_TYPES + 1)
    shape = (2, settings.n_steps + 1, settings.batch_size)
    ids = torch.from_numpy(rng.choice(N_TYPES, shape, p=chances / chances.sum()))

    model = LanguageModel(BiLm(options), N_WORDS)
    initialize(model, torch.ones(N_WORDS), torch.Generator().manual_seed(0))
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
    precision = arguments.precision or ("bfloat16" if has_bfloat16 else "float32")
    model.compute_dtype = getattr(torch, precision)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    step = TrainingStep(model, characters, torch.arange(N_TYPES), optimizer, settings)
    states = States.zeros(options, settings.batch_size, torch.device("cpu"))

    plain = StraightforwardModel(options)
    plain_optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    drawn, _ = log_uniform_sample(N_WORDS, settings.n_negative_samples, rng)
    samples = torch.from_numpy(drawn)

    def take_straightforward_step():
        plain_optimizer.zero_grad()
        plain(characters[ids[:, :-1]].long(), ids[:, 1:], samples).backward()
        plain_optimizer.step()

    ours, theirs = [], []
    for number in range(arguments.steps + 1):
        start = time.perf_counter()
        _, states = step(number, ids, states)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        take_straightforward_step()
        theirs.append(time.perf_counter() - start)
    n_tokens = settings.n_steps * settings.batch_size
    rates = [n_tokens / min(times[1:]) for times in (ours, theirs)]
    print(
        f"size {arguments.size}, {arguments.threads} threads, "
        f"{n_tokens} tokens per step"
    )
    print(f"trainer ({precision})          {rates[0]:8,.0f} tokens/s")
    print(f"straightforward              {rates[1]:8,.0f} tokens/s")
    print(f"ratio                        {rates[0] / rates[1]:8.1f}")


def make_characters(rng):
    lengths = np.clip(rng.poisson(6, N_TYPES), 1, 20)
    letters = rng.integers(ord("a"), ord("z") + 1, (N_TYPES, 20))
    words = [
        "".join(map(chr, row[:n])) for row, n in zip(letters, lengths, strict=True)
    ]
    return torch.from_numpy(tokens_to_character_ids(words))


if __name__ == "__main__":
    main()
