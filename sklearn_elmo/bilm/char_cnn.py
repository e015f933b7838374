"""The context-free token vector: convolutions over the characters of a token.

This is the readable form. `sklearn_elmo.inference.char_cnn` computes the same vectors
faster, and `sklearn_elmo.pretraining.char_cnn_autograd` has its own gradient.

Attribute names that start with an underscore, and ``char_conv_i``, are AllenNLP's
parameter names, so that state dicts can be exchanged.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.characters import N_CHARACTER_IDS
from sklearn_elmo.bilm.options import BiLmOptions

__all__ = ["CharacterCnn", "Highway", "character_windows", "filter_bank"]


class Highway(nn.Module):
    """Highway layers (Srivastava et al. 2015, eq. 3).

    y = g * relu(W_t x + b_t) + (1 - g) * x with g = sigmoid(W_g x + b_g). Each
    layer's ``weight`` holds the rows of the transform, then those of the carry
    gate (1 - g), as in AllenNLP.
    """

    _activation: Callable[[Tensor], Tensor] = staticmethod(torch.relu)

    def __init__(self, width: int, n_layers: int) -> None:
        super().__init__()
        self._layers = nn.ModuleList(
            nn.Linear(width, 2 * width) for _ in range(n_layers)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """*Shape:* ``(N, F)`` -> ``(N, F)``."""
        current = inputs
        for layer in self._layers:
            transform, carry = layer(current).chunk(2, dim=-1)  # (N, F) each
            carry = torch.sigmoid(carry)
            current = carry * current + (1 - carry) * self._activation(transform)
        return current


def filter_bank(filters: Sequence[Tensor]) -> Tensor:
    """Join filters of several widths, each padded with zeros to the widest.

    *Shape:* ``(n, E, width)`` each -> ``(F, E, widest)``.
    """
    widest = max(weight.shape[2] for weight in filters)
    return torch.cat(
        [nn.functional.pad(weight, (0, widest - weight.shape[2])) for weight in filters]
    )


def character_windows(
    character_ids: Tensor, longest: int, embedding: Tensor, width: int
) -> Tensor:
    """Return the distinct windows of each word, as a view.

    All windows that contain only padding are equal, so the first of them is enough.

    Parameters
    ----------
    character_ids : Tensor
        Each row ends with at least ``width`` padding ids.
        *Shape:* ``(U, max_characters)``.
    longest : int
        Length of the longest word, its begin and end marks included.
    embedding : Tensor
        *Shape:* ``(262, E)``.
    width : int
        Characters per window.

    Returns
    -------
    Tensor
        Characters are the outer axis of a window, their embedding the inner one.
        *Shape:* ``(U, longest + 1, width * E)``.
    """
    characters = nn.functional.embedding(character_ids[:, : longest + width], embedding)
    word, place, one = characters.stride()
    return characters.as_strided(
        (len(characters), longest + 1, width * characters.shape[2]), (word, place, one)
    )


class CharacterCnn(nn.Module):
    """Character convolutions, highways and projection (Peters et al. 2018, sec. 3.1).

    Parameters
    ----------
    options : BiLmOptions
    has_projection : bool
        Whether the features are projected, that is, whether the weight file contains
        ``CNN_proj``.
    """

    def __init__(self, options: BiLmOptions, *, has_projection: bool = True) -> None:
        super().__init__()
        self.options = options
        self._char_embedding_weights = nn.Parameter(
            torch.zeros(N_CHARACTER_IDS, options.char_dim)
        )
        for i, (width, count) in enumerate(options.filters):
            self.add_module(f"char_conv_{i}", nn.Conv1d(options.char_dim, count, width))
        self._highways = Highway(options.n_filters, options.n_highway)
        self._projection = (
            nn.Linear(options.n_filters, options.projection_dim)
            if has_projection
            else None
        )

    @property
    def convolutions(self) -> list[nn.Conv1d]:
        """The convolutions, in the order of ``options.filters``."""
        return [
            self.get_submodule(f"char_conv_{i}")  # type: ignore[misc]
            for i in range(len(self.options.filters))
        ]

    def forward(self, character_ids: Tensor) -> Tensor:
        """Return one vector per token.

        Parameters
        ----------
        character_ids : Tensor
            *Shape:* ``(N, max_characters)``, int64; 0 means no token.

        Returns
        -------
        Tensor
            *Shape:* ``(N, P)``.
        """
        embedded = nn.functional.embedding(character_ids, self._char_embedding_weights)
        characters = embedded.transpose(1, 2)  # (N, E, max_characters)
        # Padding characters count in the maximum: their embedding is trained.
        pooled = [conv(characters).amax(dim=-1) for conv in self.convolutions]
        # Both activations are monotonic, so they can follow the maximum.
        activation = torch.relu if self.options.activation == "relu" else torch.tanh
        features: Tensor = self._highways(activation(torch.cat(pooled, dim=-1)))
        if self._projection is not None:
            features = self._projection(features)  # (N, P)
        return features
