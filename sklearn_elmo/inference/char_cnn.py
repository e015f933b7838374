"""The fast form of `sklearn_elmo.bilm.char_cnn`."""

import torch
from torch import Tensor

from sklearn_elmo.bilm.char_cnn import CharacterCnn, character_windows, filter_bank
from sklearn_elmo.bilm.characters import PADDING_ID
from sklearn_elmo.inference.linear import make_linear
from sklearn_elmo.parallel import row_blocks

__all__ = ["FastCharacterCnn"]

# Small, so that the values of all filters stay in the processor's cache.
_TOKENS_PER_CONVOLUTION = 32
_TOKENS_PER_PRODUCT = 512


class FastCharacterCnn:
    """The outputs of a `CharacterCnn`, without gradients, in float32.

    All filters are one product over windows as wide as the widest filter; narrower
    filters are padded with zeros. The windows of a token end with the first one that
    contains only padding, because all later ones are equal to it.

    Parameters
    ----------
    embedder : CharacterCnn
    """

    def __init__(self, embedder: CharacterCnn) -> None:
        options = self._options = embedder.options
        self._embedding = embedder._char_embedding_weights.detach()
        filters = filter_bank([c.weight for c in embedder.convolutions])
        self._convolve = make_linear(
            filters.transpose(1, 2).flatten(1), None, "float32"
        )
        biases = [c.bias for c in embedder.convolutions if c.bias is not None]
        self._bias = torch.cat(biases).detach()
        self._highways = [
            make_linear(layer.weight, layer.bias, "float32")
            for layer in embedder._highways._layers
            if isinstance(layer, torch.nn.Linear)
        ]
        projection = embedder._projection
        self._project = (
            None
            if projection is None
            else make_linear(projection.weight, projection.bias, "float32")
        )
        self._widest = max(width for width, _ in options.filters)
        # One more row, of zeros, stands for a blank behind the last character.
        blank = self._embedding.new_zeros(1, options.char_dim)
        self._embedding_with_blank = torch.cat([self._embedding, blank])
        self._past_the_end = self._windows_past_the_end()

    @property
    def device(self) -> torch.device:
        """Where the vectors are computed."""
        return self._embedding.device

    def __call__(self, character_ids: Tensor) -> Tensor:
        """*Shape:* ``(N, max_characters)`` on the CPU -> ``(N, P)`` on the device."""
        is_padding = character_ids == PADDING_ID
        # Lengths include the begin and end marks.
        lengths = self._options.max_characters - is_padding.sum(dim=1)  # (N,)
        order = torch.argsort(lengths)
        vectors = self._embedding.new_empty(
            len(character_ids), self._options.projection_dim
        )
        for block in row_blocks(len(order), _TOKENS_PER_PRODUCT):
            rows = order[block]
            parts = [rows[k] for k in row_blocks(len(rows), _TOKENS_PER_CONVOLUTION)]
            pooled = [
                self._pool(character_ids[part].to(self.device), int(lengths[part[-1]]))
                for part in parts
            ]
            vectors[rows.to(self.device)] = self._finish(torch.cat(pooled))
        return vectors

    def _pool(self, character_ids: Tensor, longest: int) -> Tensor:
        """Return the maximum of each filter. *Shape:* ``(n, F)``."""
        if longest + self._widest > self._options.max_characters:
            return self._pool_long(character_ids)
        windows = character_windows(
            character_ids, longest, self._embedding, self._widest
        )
        values = self._convolve(windows.flatten(0, 1))
        return values.view(*windows.shape[:2], -1).amax(dim=1)

    def _pool_long(self, character_ids: Tensor) -> Tensor:
        """Return the same for tokens without a window of padding only.

        A narrow filter has more windows than a wide one. Blanks, whose embedding is 0,
        make all of them equally many; windows that do not exist are masked.
        """
        blanks = character_ids.new_full(
            (len(character_ids), self._widest), len(self._embedding)
        )
        windows = character_windows(
            torch.cat([character_ids, blanks], dim=1),
            self._options.max_characters - 1,
            self._embedding_with_blank,
            self._widest,
        )
        values = self._convolve(windows.flatten(0, 1)).view(*windows.shape[:2], -1)
        return values.masked_fill_(self._past_the_end, -torch.inf).amax(dim=1)

    def _windows_past_the_end(self) -> Tensor:
        """Return a mask of the windows that reach past the last character.

        *Shape:* ``(max_characters, F)``, bool.
        """
        max_characters, device = self._options.max_characters, self.device
        widths = [width for width, count in self._options.filters for _ in range(count)]
        starts = torch.arange(max_characters, device=device)[:, None]
        return starts + torch.tensor(widths, device=device) > max_characters

    def _finish(self, pooled: Tensor) -> Tensor:
        """Apply activation, highways and projection.

        *Shape:* ``(n, F)`` -> ``(n, P)``.
        """
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
