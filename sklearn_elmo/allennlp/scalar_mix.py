"""A learned weighted sum of layers, with AllenNLP's parameter names."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.registrable import build
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["ScalarMix"]

LAYER_NORM_EPSILON = 1e-12


class ScalarMix(nn.Module):
    """Mix layers: gamma * sum_k softmax(s)_k * layer_k (Peters et al. 2018, eq. 1).

    Parameters
    ----------
    mixture_size : int
        Number of layers.
    do_layer_norm : bool, default=False
        Normalise each layer first, over **the whole batch** as AllenNLP does: the
        vectors of a sentence then depend on the other sentences.
    initial_scalar_parameters : sequence of float, optional
        s, before the softmax; zeros, that is, the mean, by default.
    trainable : bool, default=True
        Whether s and gamma can be trained.

    Attributes
    ----------
    scalar_parameters : ParameterList
        s, one parameter of shape ``(1,)`` per layer.
    gamma : Parameter
        *Shape:* ``(1,)``.

    Examples
    --------
    >>> import torch
    >>> mix = ScalarMix(2)
    >>> mix([torch.zeros(1, 1, 3), torch.ones(1, 1, 3)]).tolist()
    [[[0.5, 0.5, 0.5]]]
    """

    def __init__(
        self,
        mixture_size: int,
        do_layer_norm: bool = False,
        initial_scalar_parameters: Sequence[float] | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        self.mixture_size = mixture_size
        self.do_layer_norm = do_layer_norm
        start = initial_scalar_parameters
        if start is None:
            start = [0.0] * mixture_size
        elif len(start) != mixture_size:
            message = (
                f"{len(start)} scalar parameters were given ({list(start)}) for "
                f"{mixture_size} layers. Pass one per layer."
            )
            raise InvalidParameterError(message)
        self.scalar_parameters = nn.ParameterList(
            nn.Parameter(torch.tensor([float(value)]), requires_grad=trainable)
            for value in start
        )
        self.gamma = nn.Parameter(torch.ones(1), requires_grad=trainable)

    @classmethod
    def from_params(cls, params: Any) -> Self:
        """Build from `Params`, which are emptied, or from a dict of arguments."""
        return build(cls, params)

    def layer_weights(self) -> Tensor:
        """Return softmax(s). *Shape:* ``(mixture_size,)``."""
        scalars = [self.scalar_parameters[k] for k in range(self.mixture_size)]
        return torch.softmax(torch.cat(scalars), dim=0)

    def forward(self, tensors: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
        """Mix layers.

        Parameters
        ----------
        tensors : sequence of Tensor
            One per layer. *Shape:* ``(..., T, D)``.
        mask : Tensor, optional
            Not 0 at tokens; only the layer norm reads it.
            *Shape:* ``(..., T)``.

        Returns
        -------
        Tensor
            *Shape:* ``(..., T, D)``.
        """
        if len(tensors) != self.mixture_size:
            message = (
                f"{len(tensors)} layers were given to a ScalarMix of "
                f"{self.mixture_size}. Pass one tensor per layer."
            )
            raise InvalidParameterError(message)
        if self.do_layer_norm:
            tensors = [_normalise_batch(tensor, mask) for tensor in tensors]
        weights = self.layer_weights()
        mixed = weights[0] * tensors[0]
        for weight, tensor in zip(weights[1:], tensors[1:], strict=True):
            mixed = mixed + weight * tensor
        return self.gamma * mixed


def _normalise_batch(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Give all unmasked entries of a layer together mean 0 and variance 1.

    Masked positions are shifted and scaled like the others, so they are not 0.
    """
    if mask is None:
        mask = tensor.new_ones(tensor.shape[:-1])
    kept = (mask != 0).unsqueeze(-1).to(tensor.dtype)
    n_entries = (kept.sum() * tensor.shape[-1]).clamp(min=1)
    mean = (tensor * kept).sum() / n_entries
    variance = (((tensor - mean) * kept) ** 2).sum() / n_entries
    return (tensor - mean) / torch.sqrt(variance + LAYER_NORM_EPSILON)
