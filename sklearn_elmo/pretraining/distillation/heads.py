"""Losses that compare the layers of the model with the vectors of a teacher.

Linear heads map layers to vectors; they are discarded after training.
"""

import torch
from torch import Tensor, nn

__all__ = [
    "TeacherHeads",
    "pool_layers",
    "sentence_loss",
    "token_loss",
    "word_layers",
]

# Weights of the parts of the sentence loss; the distance itself has weight 1.
_CONTRAST_WEIGHT = 0.2
_RELATIONS_WEIGHT = 4.0
_TEMPERATURE = 0.05


class TeacherHeads(nn.Module):
    """Linear maps from the layers of a model to the vectors of a teacher.

    Parameters
    ----------
    n_layers : int
        LSTM layers, L.
    projection_dim : int
        P.
    width : int
        Width of the vectors of the teacher.
    """

    def __init__(self, n_layers: int, projection_dim: int, width: int) -> None:
        super().__init__()
        self.average = nn.Linear(2 * projection_dim, width)
        self.concat = nn.Linear((1 + 2 * n_layers) * projection_dim, width)

    def forward(self, layers: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the vectors of the teacher.

        Parameters
        ----------
        layers : Tensor
            Of R texts or words. *Shape:* ``(L + 1, R, 2P)``, float32.

        Returns
        -------
        from_mean, from_all : Tensor
            Predictions from the mean and from the concatenation of the layers, of unit
            length. *Shape:* ``(R, width)``.
        """
        width = layers.shape[2] // 2  # layer 0 is the same in both directions
        concatenated = torch.cat([layers[0, :, :width], *layers[1:]], dim=1)
        from_mean = nn.functional.normalize(self.average(layers.mean(dim=0)), dim=1)
        from_all = nn.functional.normalize(self.concat(concatenated), dim=1)
        return from_mean, from_all

    def initialize(self, seed: int) -> None:
        """Set random weights, in place."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                tensor: Tensor = torch.zeros(parameter.shape)
                if parameter.ndim == 2:
                    scale = parameter.shape[1] ** -0.5
                    tensor.normal_(0.0, scale, generator=generator)
                parameter.copy_(tensor)


def sentence_loss(heads: TeacherHeads, pooled: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of texts.

    The sum of three parts. Distance: the heads predict the vector of the teacher from
    the mean and from the concatenation of the layers. Contrast: the prediction from the
    mean is closer to its own target than to those of the other texts. Relations: the
    means of the layers, without a head, have the pairwise similarities of the targets.

    Parameters
    ----------
    heads : TeacherHeads
    pooled : Tensor
        Mean of each layer over the words. *Shape:* ``(L + 1, R, 2P)``, float32.
    targets : Tensor
        Of unit length. *Shape:* ``(R, width)``.
    """
    from_mean, from_all = heads(pooled)
    loss = _distance(from_mean, from_all, targets)
    own = torch.arange(len(targets), device=targets.device)
    similarity = from_mean @ targets.t() / _TEMPERATURE
    loss = loss + _CONTRAST_WEIGHT * nn.functional.cross_entropy(similarity, own)
    unit = nn.functional.normalize(pooled.mean(dim=0), dim=1)
    difference = unit @ unit.t() - targets @ targets.t()
    return loss + _RELATIONS_WEIGHT * difference.square().mean()


def token_loss(heads: TeacherHeads, words: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of words: the distance of both predictions from the targets.

    Parameters
    ----------
    heads : TeacherHeads
    words : Tensor
        Layers of the words. *Shape:* ``(L + 1, N, 2P)``, float32.
    targets : Tensor
        Of unit length. *Shape:* ``(N, width)``.
    """
    from_mean, from_all = heads(words)
    return _distance(from_mean, from_all, targets)


def pool_layers(layers: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the words of each text.

    *Shape:* layers ``(L + 1, T, R, P)``, mask ``(T, R)`` -> ``(L + 1, R, P)``.
    """
    weights = mask / mask.sum(dim=0).clamp_min(1)
    return torch.einsum("ltrp,tr->lrp", layers.float(), weights.float())


def word_layers(layers: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """Return the layers of each word, one text after another.

    Parameters
    ----------
    layers : Tensor
        Of texts and of reversed texts. *Shape:* ``(L + 1, 2, T, R, P)``.
    mask : Tensor
        True for words. *Shape:* ``(T, R)``.
    lengths : Tensor
        Of the texts, including boundaries. *Shape:* ``(R,)``.

    Returns
    -------
    Tensor
        *Shape:* ``(L + 1, N, 2P)``, float32.
    """
    n_rows = mask.shape[1]
    rows, steps = mask.t().nonzero(as_tuple=True)  # (N,)
    flat = layers.flatten(2, 3)  # (L + 1, 2, T R, P)
    forward = flat[:, 0].index_select(1, steps * n_rows + rows)
    mirrored = (lengths[rows] - 1 - steps) * n_rows + rows
    backward = flat[:, 1].index_select(1, mirrored)
    return torch.cat([forward, backward], dim=-1).float()


def _distance(from_mean: Tensor, from_all: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the mean cosine distances of both predictions."""
    return 2 - ((from_mean + from_all) * targets).sum(dim=1).mean()
