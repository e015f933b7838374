"""The loss of the language model: cross entropy of a softmax over the vocabulary.

Either over the whole vocabulary, which a GPU can afford, or over the target and
negative samples drawn by frequency (Jean et al. 2015; bilm-tf trained with the same
estimate, TensorFlow's ``sampled_softmax_loss``). Both compute loss and gradients in one
pass, a few rows at a time, so that the logits of all rows are never in memory together.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.parallel import row_blocks, sums_over_groups

__all__ = ["full_softmax", "log_uniform_sample", "sampled_softmax", "softmax_gradient"]

_ROWS_PER_CHUNK = 4096
_ROWS_IN_CACHE = 256
_EXCLUDED = -1e9  # logit of a negative sample that is the target itself


def softmax_gradient(
    logits: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted losses of rows, and the gradient of their sum.

    Parameters
    ----------
    logits : Tensor
        *Shape:* ``(N, V)``.
    targets : Tensor
        *Shape:* ``(N,)``, int64.
    weights : Tensor
        *Shape:* ``(N,)``, float32.
    """
    logits_32 = logits.float()
    shifted = logits_32 - logits_32.amax(dim=1, keepdim=True)
    powers = torch.exp(shifted)
    total = powers.sum(dim=1, keepdim=True)
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    target_logit = torch.where(is_target, shifted, 0.0).sum(dim=1)
    losses = (total.squeeze(1).log() - target_logit) * weights
    gradient = (powers / total - is_target.float()) * weights[:, None]
    return losses, gradient.to(logits.dtype)


def full_softmax(
    hidden: Tensor,
    softmax_weight: Tensor,
    softmax_bias: Tensor,
    targets: Tensor,
    weights: Tensor,
) -> Tensor:
    """Return the weighted sum of cross entropies over the whole vocabulary.

    Parameters
    ----------
    hidden : Tensor
        *Shape:* ``(N, P)``, in the data type of the products.
    softmax_weight, softmax_bias : Tensor
        *Shape:* ``(V, P)`` and ``(V,)``, float32.
    targets : Tensor
        *Shape:* ``(N,)``, int64.
    weights : Tensor
        Of the rows; 0 ignores a row. *Shape:* ``(N,)``, float32.
    """
    with torch.no_grad():
        weight_cast = softmax_weight.to(hidden.dtype)
        bias_cast = softmax_bias.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(softmax_weight)
        grad_bias = torch.zeros_like(softmax_bias)
        loss = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), _ROWS_PER_CHUNK):
            rows = slice(start, start + _ROWS_PER_CHUNK)
            logits = torch.addmm(bias_cast, hidden[rows], weight_cast.t())
            losses, grad = softmax_gradient(logits, targets[rows], weights[rows])
            loss += losses.sum()
            torch.mm(grad, weight_cast, out=grad_hidden[rows])
            grad_weight += torch.mm(grad.t(), hidden[rows])
            grad_bias += grad.sum(dim=0, dtype=torch.float32)
    inputs = hidden, softmax_weight, softmax_bias
    return _with_gradients(loss, inputs, (grad_hidden, grad_weight, grad_bias))


def log_uniform_sample(
    n_words: int, n_samples: int, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Draw distinct words; lower numbers are more likely.

    P(k) = log((k + 2) / (k + 1)) / log(n_words + 1), as in TensorFlow: close to Zipf's
    law if the words are sorted by frequency.

    Parameters
    ----------
    n_words, n_samples : int
    generator : numpy.random.Generator

    Returns
    -------
    samples : ndarray of shape (n_samples,), int64
    n_tries : int
        Draws until `n_samples` distinct words were found, repetitions included.
    """
    n_samples = min(n_samples, n_words)
    samples = np.empty(0, dtype=np.int64)
    n_tries = 0
    while len(samples) < n_samples:
        uniform = generator.random(2 * n_samples)
        drawn = np.exp(uniform * math.log(n_words + 1)).astype(np.int64) - 1
        drawn = np.minimum(drawn, n_words - 1)
        joined = np.concatenate([samples, drawn])
        _, first = np.unique(joined, return_index=True)
        first.sort()
        if len(first) >= n_samples:
            last = first[n_samples - 1]
            n_tries += int(last) + 1 - len(samples)
            return joined[first[:n_samples]], n_tries
        n_tries += len(drawn)
        samples = joined[first]
        if n_tries > 1000 * n_samples:  # the remaining words are too rare
            missing = np.setdiff1d(np.arange(n_words), samples)
            samples = np.concatenate([samples, missing[: n_samples - len(samples)]])
    return samples, n_tries


def sampled_softmax(
    hidden: Tensor,
    softmax_weight: Tensor,
    softmax_bias: Tensor,
    targets: Tensor,
    weights: Tensor,
    samples: Tensor,
    n_tries: int,
) -> Tensor:
    """Return the weighted sum of cross entropies of targets against negative samples.

    Each logit is lowered by the log of the expected number of times that its word is
    drawn, which makes the loss a consistent estimate of the full one. A sample that is
    the target of a row is ignored in that row.

    Parameters
    ----------
    hidden, softmax_weight, softmax_bias, targets, weights : Tensor
        As in `full_softmax`.
    samples : Tensor
        Negative samples, shared by all rows. *Shape:* ``(n_samples,)``, int64.
    n_tries : int
        From `log_uniform_sample`.
    """
    with torch.no_grad():
        loss, *gradients = _sampled_loss_and_gradients(
            hidden, softmax_weight, softmax_bias, targets, weights, samples, n_tries
        )
    return _with_gradients(loss, (hidden, softmax_weight, softmax_bias), gradients)


def _sampled_loss_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    weights: Tensor,
    samples: Tensor,
    n_tries: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the loss and its gradients by hidden, weight and bias."""
    n_rows, n_words, dtype = len(hidden), len(bias), hidden.dtype
    words = torch.cat([targets, samples])
    # float32: the logarithm of a small number is part of the sum.
    offset = bias[words] - _log_expected_count(words, n_words, n_tries)
    of_targets = weight[targets].to(dtype)  # (N, P)
    of_samples = weight[samples].to(dtype)  # (S, P)
    own = torch.full((n_words,), -1, dtype=torch.int64, device=hidden.device)
    own[samples] = torch.arange(len(samples), device=hidden.device)
    own = own[targets]  # column of the row's target among the samples, or -1
    true = (hidden.float() * of_targets.float()).sum(dim=1) + offset[:n_rows]
    grad_hidden = torch.empty_like(hidden)
    grad_true = torch.empty(n_rows, device=hidden.device)

    def losses_of_blocks(blocks: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
        loss = torch.zeros((), device=hidden.device)
        grad_samples = torch.zeros(of_samples.shape, device=hidden.device)
        grad_offset = torch.zeros(len(samples), device=hidden.device)
        for rows in blocks:
            drawn = torch.mm(hidden[rows], of_samples.t()).float()
            drawn += offset[n_rows:]
            hits = (own[rows] >= 0).nonzero().squeeze(1)
            drawn[hits, own[rows][hits]] = _EXCLUDED
            highest = torch.maximum(drawn.amax(dim=1), true[rows])
            drawn.sub_(highest[:, None]).exp_()
            of_true = (true[rows] - highest).exp()
            total = drawn.sum(dim=1) + of_true
            loss += ((total.log() + highest - true[rows]) * weights[rows]).sum()
            drawn.mul_((weights[rows] / total)[:, None])
            grad_true[rows] = (of_true / total - 1) * weights[rows]
            grad_offset += drawn.sum(dim=0)
            grad = drawn.to(dtype)
            torch.mm(grad, of_samples, out=grad_hidden[rows])
            grad_samples += torch.mm(grad.t(), hidden[rows])
        return loss, grad_samples, grad_offset

    loss, grad_samples, grad_offset = sums_over_groups(
        row_blocks(n_rows, _ROWS_IN_CACHE), losses_of_blocks, hidden.device
    )
    grad_hidden += (grad_true[:, None] * of_targets).to(dtype)
    grad_weight = torch.zeros_like(weight)
    grad_weight.index_add_(0, targets, grad_true[:, None] * hidden)
    grad_weight.index_add_(0, samples, grad_samples)
    grad_bias = torch.zeros_like(bias)
    grad_bias.index_add_(0, words, torch.cat([grad_true, grad_offset]))
    return loss, grad_hidden, grad_weight, grad_bias


def _log_expected_count(words: Tensor, n_words: int, n_tries: int) -> Tensor:
    numbers = words.double()
    probability = torch.log((numbers + 2) / (numbers + 1)) / math.log(n_words + 1)
    # 1 - (1 - p)^tries
    return torch.log(-torch.expm1(n_tries * torch.log1p(-probability))).float()


class _WithGradients(torch.autograd.Function):
    """A scalar whose gradients by some inputs are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *inputs_and_gradients: Tensor) -> Tensor:
        gradients = inputs_and_gradients[len(inputs_and_gradients) // 2 :]
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        scaled = [gradient * grad.to(gradient.dtype) for gradient in gradients]
        return None, *scaled, *([None] * len(gradients))


def _with_gradients(
    value: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Tensor:
    result: Tensor = _WithGradients.apply(  # type: ignore[no-untyped-call]
        value, *inputs, *gradients
    )
    return result
