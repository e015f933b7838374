"""Padded batches: sentence boundaries, masks and lengths, as in ``allennlp.nn.util``.

All masks are 1 (or True) at tokens and 0 at padding.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sklearn_elmo.errors import TextValueError

__all__ = [
    "add_sentence_boundary_token_ids",
    "get_device_of",
    "get_dropout_mask",
    "get_lengths_from_binary_sequence_mask",
    "get_mask_from_sequence_lengths",
    "get_text_field_mask",
    "move_to_device",
    "remove_sentence_boundaries",
    "sort_batch_by_length",
]


def add_sentence_boundary_token_ids(
    tensor: Tensor,
    mask: Tensor,
    sentence_begin_token: Tensor | float,
    sentence_end_token: Tensor | float,
) -> tuple[Tensor, Tensor]:
    """Insert boundaries before the first and after the last token of each row.

    The number of tokens in a row is the number of ones in its mask. If a row has gaps,
    the end boundary therefore overwrites one of its last positions, as in AllenNLP.

    Parameters
    ----------
    tensor : Tensor
        Ids or vectors. *Shape:* ``(B, T)`` or ``(B, T, D)``.
    mask : Tensor
        *Shape:* ``(B, T)``.
    sentence_begin_token, sentence_end_token : Tensor or number
        *Shape:* ``(D,)``.

    Returns
    -------
    tensor : Tensor
        *Shape:* ``(B, T + 2)`` or ``(B, T + 2, D)``.
    mask : Tensor
        1 where an id is not 0, or where any component of a vector is positive.
        *Shape:* ``(B, T + 2)``, int64.

    Raises
    ------
    TextValueError
        If the tensor has another number of axes.
    """
    if tensor.ndim not in (2, 3):
        message = (
            f"The tensor has the shape {tuple(tensor.shape)}; expected (sentences, "
            "tokens) or (sentences, tokens, width)."
        )
        raise TextValueError(message)
    n_rows, n_steps = tensor.shape[:2]
    lengths = mask.long().sum(dim=1)
    extended = tensor.new_zeros(n_rows, n_steps + 2, *tensor.shape[2:])
    extended[:, 1:-1] = tensor
    extended[:, 0] = torch.as_tensor(sentence_begin_token).to(tensor)
    rows = torch.arange(n_rows, device=tensor.device)
    extended[rows, lengths + 1] = torch.as_tensor(sentence_end_token).to(tensor)
    is_token = extended != 0 if tensor.ndim == 2 else (extended > 0).any(dim=-1)
    return extended, is_token.long()


def remove_sentence_boundaries(tensor: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Remove ``<S>`` and ``</S>`` from each row and fill up with zeros.

    Parameters
    ----------
    tensor : Tensor
        *Shape:* ``(B, T + 2, D)``.
    mask : Tensor
        *Shape:* ``(B, T + 2)``.

    Returns
    -------
    tensor : Tensor
        *Shape:* ``(B, T, D)``.
    mask : Tensor
        *Shape:* ``(B, T)``, int64.

    Examples
    --------
    >>> import torch
    >>> tensor = torch.arange(4.0).reshape(1, 4, 1)
    >>> tensor, mask = remove_sentence_boundaries(tensor, torch.tensor([[1, 1, 1, 0]]))
    >>> tensor.flatten().tolist(), mask.tolist()
    ([1.0, 0.0], [[1, 0]])
    """
    n_tokens = mask.long().sum(dim=1) - 2
    positions = torch.arange(tensor.shape[1] - 2, device=tensor.device)
    is_token = positions < n_tokens[:, None].to(tensor.device)  # (B, T)
    inner = tensor[:, 1:-1]
    return torch.where(is_token[..., None], inner, 0.0).to(tensor), is_token.long()


def get_lengths_from_binary_sequence_mask(mask: Tensor) -> Tensor:
    """Return the number of tokens per row. *Shape:* ``(B, T)`` -> ``(B,)``, int64."""
    return mask.long().sum(-1)


def get_mask_from_sequence_lengths(sequence_lengths: Tensor, max_length: int) -> Tensor:
    """Return the mask of rows of given lengths. *Shape:* ``(B, max_length)``, int64."""
    positions = torch.arange(max_length, device=sequence_lengths.device)
    return (positions < sequence_lengths[:, None]).long()


def sort_batch_by_length(
    tensor: Tensor, sequence_lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sort the rows of a batch, longest first.

    Parameters
    ----------
    tensor : Tensor
        *Shape:* ``(B, ...)``.
    sequence_lengths : Tensor
        *Shape:* ``(B,)``, int64.

    Returns
    -------
    sorted_tensor : Tensor
    sorted_lengths : Tensor
    restoration_indices : Tensor
        ``sorted_tensor.index_select(0, restoration_indices)`` is the batch again.
    permutation : Tensor
        ``tensor.index_select(0, permutation)`` is the sorted batch.
    """
    permutation = torch.argsort(sequence_lengths, descending=True, stable=True)
    restoration_indices = torch.argsort(permutation)
    return (
        tensor.index_select(0, permutation),
        sequence_lengths.index_select(0, permutation),
        restoration_indices,
        permutation,
    )


def get_text_field_mask(
    text_field_tensors: Mapping[str, Tensor], num_wrapping_dims: int = 0
) -> Tensor:
    """Return the mask of an indexed text field.

    Parameters
    ----------
    text_field_tensors : mapping of str to Tensor
        Ids of words ``(B, T)`` or of characters ``(B, T, n_characters)``; the tensor
        with the fewest axes counts. A tensor called ``"mask"`` is returned as it is.
    num_wrapping_dims : int, default=0
        Number of axes between B and T.

    Returns
    -------
    Tensor
        *Shape:* ``(B, T)``, int64.
    """
    if "mask" in text_field_tensors:
        return text_field_tensors["mask"]
    ids = min(text_field_tensors.values(), key=lambda tensor: tensor.ndim)
    n_axes = ids.ndim - num_wrapping_dims
    if n_axes == 2:
        return (ids != 0).long()
    if n_axes == 3:
        return (ids > 0).any(dim=-1).long()
    message = (
        f"The ids have {n_axes} axes; expected 2 (sentences, words) or 3 (sentences, "
        "words, characters)."
    )
    raise TextValueError(message)


def move_to_device(obj: Any, cuda_device: int) -> Any:
    """Move all tensors in nested dicts, lists and tuples to a GPU; -1 moves nothing."""
    if cuda_device < 0:
        return obj
    if isinstance(obj, Tensor):
        return obj.cuda(cuda_device)
    if isinstance(obj, dict):
        return {key: move_to_device(value, cuda_device) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        moved = [move_to_device(value, cuda_device) for value in obj]
        return type(obj)(*moved) if hasattr(obj, "_fields") else type(obj)(moved)
    return obj


def get_device_of(tensor: Tensor) -> int:
    """Return the number of the GPU that holds a tensor, -1 for the CPU."""
    return tensor.get_device() if tensor.is_cuda else -1


def get_dropout_mask(dropout_probability: float, tensor_for_masking: Tensor) -> Tensor:
    """Return a tensor's dropout mask: 0, or 1 / (1 - p) for what is kept."""
    kept = torch.rand_like(tensor_for_masking) > dropout_probability
    return kept.to(tensor_for_masking) / (1 - dropout_probability)
