"""Layer 0: the vectors of tokens, kept from text to text in bounded memory."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_elmo.bilm.char_cnn import CharacterCnn
from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    token_bytes,
    tokens_to_character_ids,
)
from sklearn_elmo.inference.char_cnn import FastCharacterCnn

__all__ = ["TokenCache", "TokenKey"]

TokenKey = str | bytes
"""The bytes that the model reads of a token, or one of the strings <S> and </S>."""

_TABLE_BYTES = 64 * 2**20


class TokenCache:
    """The token vectors of a character CNN.

    Tokens are known by the bytes that the model reads of them, so long tokens take no
    more memory than others. When the table is full, it is emptied.

    Several threads may use it at once; two may then compute the same token.

    Parameters
    ----------
    embedder : CharacterCnn
    """

    def __init__(self, embedder: CharacterCnn) -> None:
        self._embed = FastCharacterCnn(embedder)
        self._max_characters = embedder.options.max_characters
        self._width = embedder.options.projection_dim
        self._capacity = max(1, _TABLE_BYTES // (4 * self._width))
        self._lock = threading.Lock()
        self._rows: dict[TokenKey, int] = {}
        self._table = embedder._char_embedding_weights.new_empty(0, self._width)

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self._embed.device

    def __call__(self, tokens: Sequence[str]) -> Tensor:
        """Return the vectors of tokens. *Shape:* ``(n, P)``."""
        keys = [self._key(token) for token in tokens]
        distinct = list(dict.fromkeys(keys))
        if len(distinct) > self._capacity:
            return self._compute(keys)
        with self._lock:
            new = [key for key in distinct if key not in self._rows]
            if not new:
                return self._look_up(keys)
        vectors = self._compute(new)
        with self._lock:
            self._store(new, vectors)
            if all(key in self._rows for key in distinct):
                return self._look_up(keys)
        return self._compute(keys)  # the table was emptied in the meantime

    def missing(self, tokens: Sequence[str]) -> list[TokenKey]:
        """Return the keys to `add` for some tokens; none if they do not all fit."""
        keys = list(dict.fromkeys(self._key(token) for token in tokens))
        if len(keys) > self._capacity:
            return []
        with self._lock:
            return [key for key in keys if key not in self._rows]

    def add(self, keys: list[TokenKey]) -> None:
        """Compute the vectors of missing keys and keep them."""
        vectors = self._compute(keys)
        with self._lock:
            self._store(keys, vectors)

    def _key(self, token: str) -> TokenKey:
        if token in (BEGIN_SENTENCE, END_SENTENCE):
            return token
        return token_bytes(token, self._max_characters)

    def _look_up(self, keys: list[TokenKey]) -> Tensor:
        rows = [self._rows[key] for key in keys]
        return self._table[torch.tensor(rows, device=self.device)]

    def _store(self, keys: list[TokenKey], vectors: Tensor) -> None:
        if len(self._rows) + len(keys) > self._capacity:
            self._rows = {}
        # Another thread may have stored some of them in the meantime.
        places = [k for k, key in enumerate(keys) if key not in self._rows]
        keys, vectors = [keys[k] for k in places], vectors[places]
        first, last = len(self._rows), len(self._rows) + len(keys)
        if last > len(self._table):
            n_rows = min(self._capacity, max(last, 2 * len(self._table)))
            grown = self._table.new_empty(n_rows, self._width)
            grown[:first] = self._table[:first]
            self._table = grown
        self._table[first:last] = vectors
        self._rows.update(zip(keys, range(first, last), strict=True))

    def _compute(self, keys: list[TokenKey]) -> Tensor:
        ids = tokens_to_character_ids(keys, self._max_characters)
        return self._embed(torch.from_numpy(ids))
