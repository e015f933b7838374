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
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.inference.weights import PreparedWeights

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
    weights : PreparedWeights
        From `weights_of`.
    options : BiLmOptions
    """

    def __init__(self, weights: PreparedWeights, options: BiLmOptions) -> None:
        self._options = options
        self._compute_vectors = _PreparedCnn(weights, options)
        self._width = options.projection_dim
        self._capacity = max(1, _TABLE_BYTES // (4 * self._width))
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._table = weights.tensors["characters"].new_empty(0, self._width)

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self._table.device

    @staticmethod
    def weights_of(embedder: CharacterCnn) -> PreparedWeights:
        """Return what is needed, in float32."""
        weights = PreparedWeights()
        weights.tensors["characters"] = embedder._char_embedding_weights.detach()
        bank = filter_bank([c.weight for c in embedder.convolutions])
        biases = [c.bias for c in embedder.convolutions if c.bias is not None]
        weights.add("filters", bank.transpose(1, 2).flatten(1), None, "float32")
        weights.tensors["filter_biases"] = torch.cat(biases).detach()
        for number, layer in enumerate(embedder._highways._layers):
            assert isinstance(layer, torch.nn.Linear)
            weights.add(f"highway_{number}", layer.weight, layer.bias, "float32")
        projection = embedder._projection
        if projection is not None:
            weights.add("projection", projection.weight, projection.bias, "float32")
        return weights

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

    def __init__(self, weights: PreparedWeights, options: BiLmOptions) -> None:
        self._options = options
        self._characters = weights.tensors["characters"]
        self._convolve = weights.product("filters")
        self._bias = weights.tensors["filter_biases"]
        self._highways = [
            weights.product(f"highway_{number}") for number in range(options.n_highway)
        ]
        self._project = weights.product_if_any("projection")
        self._widest = max(width for width, _ in options.filters)
        # A character behind the last one.
        self._with_blank = torch.cat(
            [self._characters, self._characters.new_zeros(1, options.char_dim)]
        )
        self._past_the_end = self._windows_past_the_end()

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
            pooled = [
                self._pool_whole(character_ids[part].to(device))
                for part in _split(rows, _TOKENS_PER_CONVOLUTION)
            ]
            vectors[rows.to(device)] = self._finish(torch.cat(pooled))
        return vectors

    def _pool(self, character_ids: Tensor, n_marks: int) -> Tensor:
        """Return the maximum of each filter. *Shape:* ``(n, F)``."""
        windows = character_windows(
            character_ids, n_marks, self._characters, self._widest
        )
        values = self._convolve(windows.flatten(0, 1))
        return values.view(*windows.shape[:2], -1).amax(dim=1)

    def _pool_whole(self, character_ids: Tensor) -> Tensor:
        """Do the same for words that leave too little padding to stop at.

        There the windows of the widest filters end first, while narrower ones, which
        see blanks behind the last character as 0, have some more.
        """
        blanks = character_ids.new_full(
            (len(character_ids), self._widest), len(self._characters)
        )
        windows = character_windows(
            torch.cat([character_ids, blanks], dim=1),
            self._options.max_characters - 1,
            self._with_blank,
            self._widest,
        )
        values = self._convolve(windows.flatten(0, 1)).view(*windows.shape[:2], -1)
        return values.masked_fill_(self._past_the_end, -torch.inf).amax(dim=1)

    def _windows_past_the_end(self) -> Tensor:
        """Tell where a filter would reach behind the last character.

        *Shape:* ``(max_characters, F)``, bool.
        """
        widths = torch.cat(
            [torch.full((count,), width) for width, count in self._options.filters]
        )
        ends = torch.arange(self._options.max_characters)[:, None] + widths
        return (ends > self._options.max_characters).to(self._characters.device)

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
