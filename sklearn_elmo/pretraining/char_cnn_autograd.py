"""The character convolutions, with a gradient written by hand: the training form.

Three forms of this computation exist. `sklearn_elmo.bilm.char_cnn` is the readable
reference that this one is tested against; `sklearn_elmo.inference.token_cache` is the
fast inference form.

The gradient of a maximum touches one position of each word, and short words have few
positions. Words are therefore sorted by length and processed a few at a time, so that
the data of a block stays in the processor's cache.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.char_cnn import character_windows, filter_bank
from sklearn_elmo.bilm.characters import PADDING_ID
from sklearn_elmo.parallel import in_groups, row_blocks, sums_over_groups

__all__ = ["pooled_features"]

_WORDS_AT_ONCE = 128


def pooled_features(
    character_ids: Tensor, embedding: Tensor, filters: list[Tensor], dtype: torch.dtype
) -> Tensor:
    """Return the maximum of each filter over the positions of each word, without bias.

    Parameters
    ----------
    character_ids : Tensor
        All characters of the words. *Shape:* ``(U, max_characters)``, int64.
    embedding : Tensor
        *Shape:* ``(262, E)``.
    filters : list of Tensor
        *Shape:* ``(n, E, width)``.
    dtype : torch.dtype
        Data type of the matrix products.

    Returns
    -------
    Tensor
        *Shape:* ``(U, F)``, float32.
    """
    bank = filter_bank(filters)  # (F, E, widest)
    widest = bank.shape[2]
    lengths = (character_ids != PADDING_ID).sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    n_short = int((lengths + widest <= character_ids.shape[1]).sum())
    short = _PooledFilters.apply(  # type: ignore[no-untyped-call]
        character_ids[order[:n_short]], lengths[order[:n_short]], embedding, bank, dtype
    )
    parts = [short]
    if n_short < len(order):  # long words fill the window: there is no padding to cut
        long_ids = character_ids[order[n_short:]]
        parts.append(_pool_all_positions(long_ids, embedding, filters, dtype))
    restore = torch.empty_like(order)
    restore[order] = torch.arange(len(order), device=order.device)
    return torch.cat(parts)[restore]


def _pool_all_positions(
    character_ids: Tensor, embedding: Tensor, filters: list[Tensor], dtype: torch.dtype
) -> Tensor:
    """Do the same over all positions, with automatic gradients."""
    characters = nn.functional.embedding(character_ids, embedding).to(dtype)
    maps = [
        (characters.unfold(1, weight.shape[2], 1).flatten(2))
        @ weight.to(dtype).flatten(1).t()
        for weight in filters
    ]
    return torch.cat([m.amax(dim=1).float() for m in maps], dim=1)


class _PooledFilters(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ids: Tensor,
        lengths: Tensor,
        embedding: Tensor,
        bank: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        n_filters, _, width = bank.shape
        # In a window, characters are the outer axis and their embedding the inner one.
        flat = bank.transpose(1, 2).reshape(n_filters, -1).to(dtype)  # (F, width * E)
        table = embedding.to(dtype)
        pooled = torch.empty(len(ids), n_filters, device=ids.device)
        argmax = torch.empty(len(ids), n_filters, dtype=torch.uint8, device=ids.device)

        def pool(blocks: list[slice]) -> None:
            for rows in blocks:
                length = int(lengths[rows][-1])
                windows = character_windows(ids[rows], length, table, width)
                maps = windows @ flat.t()  # (u, positions, F)
                best = maps[:, 0].clone()
                best_position = torch.zeros_like(best, dtype=torch.uint8)
                for position in range(1, maps.shape[1]):
                    current = maps[:, position]
                    best_position.masked_fill_(current > best, position)
                    torch.maximum(best, current, out=best)
                pooled[rows] = best
                argmax[rows] = best_position

        in_groups(row_blocks(len(ids), _WORDS_AT_ONCE), pool, ids.device)
        ctx.save_for_backward(ids, lengths, table, flat, argmax)
        ctx.shape = bank.shape
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ids, lengths, table, flat, argmax = ctx.saved_tensors
        n_filters, n_features, width = ctx.shape
        grad = grad.to(table.dtype)
        zero = torch.zeros((), dtype=table.dtype, device=flat.device)

        def gradients_of_blocks(blocks: list[slice]) -> tuple[Tensor, Tensor]:
            grad_flat = torch.zeros(flat.shape, device=flat.device)
            grad_table = torch.zeros(table.shape, device=flat.device)
            for rows in blocks:
                length = int(lengths[rows][-1])
                windows = character_windows(ids[rows], length, table, width)
                n_words, n_positions, _ = windows.shape
                maps = grad.new_empty(n_words, n_positions, n_filters)
                for position in range(n_positions):
                    is_maximum = argmax[rows] == position
                    torch.where(is_maximum, grad[rows], zero, out=maps[:, position])
                flat_maps = maps.flatten(0, 1)
                grad_flat += flat_maps.t() @ windows.flatten(0, 1)
                grad_windows = (flat_maps @ flat).view(
                    n_words, n_positions, width, n_features
                )
                _add_character_gradients(grad_table, ids[rows], grad_windows)
            return grad_flat, grad_table

        blocks = row_blocks(len(ids), _WORDS_AT_ONCE)
        grad_flat, grad_table = sums_over_groups(
            blocks, gradients_of_blocks, ids.device
        )
        grad_bank = grad_flat.view(n_filters, width, n_features).transpose(1, 2)
        return None, None, grad_table, grad_bank, None


def _add_character_gradients(
    grad_table: Tensor, character_ids: Tensor, grad_windows: Tensor
) -> None:
    """Add the gradients of windows to those of the characters in them.

    *Shape:* table ``(262, E)``, ids ``(u, max_characters)``, windows
    ``(u, positions, width, E)``.
    """
    _, n_positions, width, _ = grad_windows.shape
    for offset in range(width):
        seen = character_ids[:, offset : offset + n_positions]
        of_offset = grad_windows[:, :, offset].flatten(0, 1).float()
        grad_table.index_add_(0, seen.flatten(), of_offset)
