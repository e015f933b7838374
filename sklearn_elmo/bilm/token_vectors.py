"""Layer 0: vectors of tokens, each token's computed once while there is room."""

import threading

import torch
from torch import Tensor

from sklearn_elmo.bilm.char_cnn import (
    CharacterCnn,
    character_windows,
    filter_bank,
)
from sklearn_elmo.bilm.characters import PADDING_ID, tokens_to_character_ids
from sklearn_elmo.bilm.products import prepare_product

__all__ = ["TokenVectors"]

_TABLE_BYTES = 64 * 2**20
# Small, so that the filters' values at all positions stay in the processor's cache.
_TOKENS_PER_CONVOLUTION = 32
_TOKENS_AT_ONCE = 512


class TokenVectors:
    """Vectors of tokens out of a character CNN.

    May be used by several threads at once; two may then compute the same token.

    Parameters
    ----------
    embedder : CharacterCnn
    """

    def __init__(self, embedder: CharacterCnn) -> None:
        self._options = embedder.options
        self._compute_vectors = _PreparedCnn(embedder)
        self._width = embedder.options.projection_dim
        self._capacity = max(1, _TABLE_BYTES // (4 * self._width))
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._table = embedder._char_embedding_weights.new_empty(0, self._width)

    def __call__(self, tokens: list[str]) -> Tensor:
        """Return the vectors of distinct tokens. *Shape:* ``(n, P)``."""
        if len(tokens) > self._capacity:
            return self._compute(tokens)
        with self._lock:
            new = [token for token in tokens if token not in self._rows]
            if not new:
                return self._look_up(tokens)
        vectors = self._compute(new)
        with self._lock:
            self._store(new, vectors)
            if all(token in self._rows for token in tokens):
                return self._look_up(tokens)
        return self._compute(tokens)  # the table was emptied meanwhile

    def missing(self, tokens: list[str]) -> list[str]:
        """Return the tokens that are not in the table; none if they cannot all be."""
        if len(tokens) > self._capacity:
            return []
        with self._lock:
            return [token for token in tokens if token not in self._rows]

    def _look_up(self, tokens: list[str]) -> Tensor:
        rows = [self._rows[token] for token in tokens]
        return self._table[torch.tensor(rows, device=self._table.device)]

    def _store(self, tokens: list[str], vectors: Tensor) -> None:
        if len(self._rows) + len(tokens) > self._capacity:
            self._rows = {}
        # Another thread may have stored some of them meanwhile.
        places = [k for k, token in enumerate(tokens) if token not in self._rows]
        tokens, vectors = [tokens[k] for k in places], vectors[places]
        first, last = len(self._rows), len(self._rows) + len(tokens)
        if last > len(self._table):
            n_rows = min(self._capacity, max(last, 2 * len(self._table)))
            grown = self._table.new_empty(n_rows, self._width)
            grown[:first] = self._table[:first]
            self._table = grown
        self._table[first:last] = vectors
        self._rows.update(zip(tokens, range(first, last), strict=True))

    def _compute(self, tokens: list[str]) -> Tensor:
        ids = tokens_to_character_ids(tokens, self._options.max_characters)
        return self._compute_vectors(torch.from_numpy(ids))


class _PreparedCnn:
    """A `CharacterCnn` for reading only.

    All filters are one product over windows as wide as the widest filter: narrower
    ones are 0 behind their own width. The windows of a word may end with the first
    that is nothing but padding, since all later ones are like it.
    """

    def __init__(self, embedder: CharacterCnn) -> None:
        self._embedder = embedder
        self._options = embedder.options
        self._characters = embedder._char_embedding_weights
        bank = filter_bank([c.weight for c in embedder.convolutions])
        self._widest = bank.shape[2]
        self._convolve = prepare_product(
            bank.transpose(1, 2).flatten(1), None, "float32"
        )
        self._bias = torch.cat(
            [c.bias for c in embedder.convolutions if c.bias is not None]
        )
        self._highways = [
            prepare_product(layer.weight, layer.bias, "float32")
            for layer in embedder._highways._layers
            if isinstance(layer, torch.nn.Linear)
        ]
        projection = embedder._projection
        self._project = (
            None
            if projection is None
            else prepare_product(projection.weight, projection.bias, "float32")
        )

    def __call__(self, character_ids: Tensor) -> Tensor:
        """*Shape:* ``(N, max_characters)`` on the CPU -> ``(N, P)`` on the device."""
        device = self._characters.device
        max_characters = self._options.max_characters
        is_padding = character_ids == PADDING_ID
        n_marks = max_characters - is_padding.sum(dim=1)  # (N,)
        order = torch.argsort(n_marks, stable=True)
        n_short = int((n_marks + self._widest <= max_characters).sum())
        vectors = self._characters.new_empty(
            len(character_ids), self._options.projection_dim
        )
        for rows in _split(order[:n_short], _TOKENS_AT_ONCE):
            pooled = [
                self._pool(character_ids[part].to(device), int(n_marks[part[-1]]))
                for part in _split(rows, _TOKENS_PER_CONVOLUTION)
            ]
            vectors[rows.to(device)] = self._finish(torch.cat(pooled))
        for rows in _split(order[n_short:], _TOKENS_AT_ONCE):
            # Words that fill the window have no padding to cut.
            vectors[rows.to(device)] = self._embedder(character_ids[rows].to(device))
        return vectors

    def _pool(self, character_ids: Tensor, n_marks: int) -> Tensor:
        """Return the maximum of each filter. *Shape:* ``(n, F)``."""
        windows = character_windows(
            character_ids, n_marks, self._characters, self._widest
        )
        values = self._convolve(windows.flatten(0, 1))
        return values.view(*windows.shape[:2], -1).amax(dim=1)

    def _finish(self, pooled: Tensor) -> Tensor:
        """Activation, highways, projection. *Shape:* ``(n, F)`` -> ``(n, P)``."""
        pooled = pooled.add_(self._bias)
        features = (
            pooled.relu_() if self._options.activation == "relu" else pooled.tanh_()
        )
        for highway in self._highways:
            transform, carry = highway(features).chunk(2, dim=1)
            transform = transform.relu()
            # carry * features + (1 - carry) * transform
            features = features.sub_(transform).mul_(carry.sigmoid()).add_(transform)
        return features if self._project is None else self._project(features)


def _split(order: Tensor, n_rows: int) -> list[Tensor]:
    """Cut into parts of at most ``n_rows``; nothing has no parts."""
    return [order[start : start + n_rows] for start in range(0, len(order), n_rows)]
