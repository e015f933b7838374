"""How a teacher's vectors are compared with the layers that shall learn from them.

The linear heads that compare both are thrown away afterwards.
"""

import torch
from torch import Tensor, nn

__all__ = [
    "TeacherHeads",
    "both_directions",
    "pool_layers",
    "sentence_loss",
    "token_loss",
]

# Weights of the parts of the objective, beside 1 for the vector itself.
_CONTRAST_WEIGHT = 0.2
_RELATIONS_WEIGHT = 4.0
_TEMPERATURE = 0.05


class TeacherHeads(nn.Module):
    """Linear maps from layers to a teacher's vectors.

    Parameters
    ----------
    n_layers : int
        LSTM layers, L.
    projection_dim : int
        P.
    width : int
        Of the teacher's vectors.
    """

    def __init__(self, n_layers: int, projection_dim: int, width: int) -> None:
        super().__init__()
        self.average = nn.Linear(2 * projection_dim, width)
        self.concat = nn.Linear((1 + 2 * n_layers) * projection_dim, width)

    def forward(self, layers: Tensor) -> tuple[Tensor, Tensor]:
        """Guess the teacher's vectors.

        Parameters
        ----------
        layers : Tensor
            Of R texts or words. *Shape:* ``(L + 1, R, 2P)``, float32.

        Returns
        -------
        from_mean, from_all : Tensor
            What the layers' average tells, and what the layers side by side; of unit
            length. *Shape:* ``(R, width)``.
        """
        half = layers.shape[2] // 2
        side_by_side = torch.cat([layers[0, :, :half], *layers[1:]], dim=1)
        from_mean = nn.functional.normalize(self.average(layers.mean(dim=0)), dim=1)
        from_all = nn.functional.normalize(self.concat(side_by_side), dim=1)
        return from_mean, from_all

    def fill(self, seed: int) -> None:
        """Choose random weights."""
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

    The layers' average, and the layers side by side, give the teacher's vector; the
    average tells its own vector from the others'; and the averages themselves, without
    a head, are as similar to each other as the teacher's vectors are.

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
    """Return the loss of words: average and layers side by side give their vectors.

    Parameters
    ----------
    heads : TeacherHeads
    words : Tensor
        Layers of each word. *Shape:* ``(L + 1, N, 2P)``, float32.
    targets : Tensor
        Of unit length. *Shape:* ``(N, width)``.
    """
    from_mean, from_all = heads(words)
    return _distance(from_mean, from_all, targets)


def pool_layers(layers: Tensor, mask: Tensor) -> Tensor:
    """Average words.

    *Shape:* layers ``(L + 1, T, R, P)``, mask ``(T, R)`` -> ``(L + 1, R, P)``.
    """
    weights = mask / mask.sum(dim=0).clamp_min(1)
    return torch.einsum("ltrp,tr->lrp", layers.float(), weights.float())


def both_directions(layers: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """Return the layers of each word, one text after another.

    Parameters
    ----------
    layers : Tensor
        Texts, and the texts reversed. *Shape:* ``(L + 1, 2, T, R, P)``.
    mask : Tensor
        Where words are. *Shape:* ``(T, R)``.
    lengths : Tensor
        Of the texts, boundaries included. *Shape:* ``(R,)``.

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
    """Return the sum of both guesses' mean cosine distances."""
    return 2 - ((from_mean + from_all) * targets).sum(dim=1).mean()
