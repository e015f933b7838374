"""Convolutions over characters and their maximum, with a gradient of their own.

The gradient of a maximum touches one position of a word, and short words have few
positions: words are taken by length, a few at a time, so that everything stays in the
processor's cache.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.char_cnn import character_windows, filter_bank
from sklearn_elmo.bilm.characters import PADDING_ID
from sklearn_elmo.parallel import (
    in_groups,
    row_blocks,
    sums_over_groups,
)

__all__ = ["pooled_features"]

_WORDS_AT_ONCE = 128


def pooled_features(
    character_ids: Tensor, embedding: Tensor, filters: list[Tensor], kind: torch.dtype
) -> Tensor:
    """Return the maximum of each filter over the positions of each word, no bias.

    Parameters
    ----------
    character_ids : Tensor
        All characters of the words. *Shape:* ``(U, max_characters)``, int64.
    embedding : Tensor
        *Shape:* ``(262, E)``.
    filters : list of Tensor
        *Shape:* ``(n, E, width)``.
    kind : torch.dtype
        Type of the products.

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
        character_ids[order[:n_short]], lengths[order[:n_short]], embedding, bank, kind
    )
    parts = [short]
    if n_short < len(order):  # words that fill the window: no padding to cut
        characters = nn.functional.embedding(
            character_ids[order[n_short:]], embedding
        ).to(kind)
        maps = [
            (characters.unfold(1, weight.shape[2], 1).flatten(2))
            @ weight.to(kind).flatten(1).t()
            for weight in filters
        ]
        parts.append(torch.cat([m.amax(dim=1).float() for m in maps], dim=1))
    restore = torch.empty_like(order)
    restore[order] = torch.arange(len(order), device=order.device)
    return torch.cat(parts)[restore]


class _PooledFilters(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ids: Tensor,
        lengths: Tensor,
        embedding: Tensor,
        bank: Tensor,
        kind: torch.dtype,
    ) -> Tensor:
        n_filters, _, width = bank.shape
        # Windows have the characters outside, the embedding inside.
        flat = bank.transpose(1, 2).reshape(n_filters, -1).to(kind)  # (F, width * E)
        table = embedding.to(kind)
        pooled = torch.empty(len(ids), n_filters, device=ids.device)
        places = torch.empty(len(ids), n_filters, dtype=torch.uint8, device=ids.device)

        def pool(blocks: list[slice]) -> None:
            for rows in blocks:
                length = int(lengths[rows][-1])
                windows = character_windows(ids[rows], length, table, width)
                maps = windows @ flat.t()  # (u, positions, F)
                best = maps[:, 0].clone()
                place = torch.zeros_like(best, dtype=torch.uint8)
                for position in range(1, maps.shape[1]):
                    current = maps[:, position]
                    place.masked_fill_(current > best, position)
                    torch.maximum(best, current, out=best)
                pooled[rows] = best
                places[rows] = place

        in_groups(row_blocks(len(ids), _WORDS_AT_ONCE), pool, ids.device)
        ctx.save_for_backward(ids, lengths, table, flat, places)
        ctx.shape = bank.shape
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ids, lengths, table, flat, places = ctx.saved_tensors
        n_filters, n_features, width = ctx.shape
        grad = grad.to(table.dtype)
        zero = torch.zeros((), dtype=table.dtype, device=flat.device)

        def go_back(blocks: list[slice]) -> tuple[Tensor, Tensor]:
            grad_flat = torch.zeros(flat.shape, device=flat.device)
            grad_table = torch.zeros(table.shape, device=flat.device)
            for rows in blocks:
                length = int(lengths[rows][-1])
                windows = character_windows(ids[rows], length, table, width)
                n_words, n_positions, _ = windows.shape
                maps = grad.new_empty(n_words, n_positions, n_filters)
                for position in range(n_positions):
                    here = places[rows] == position
                    torch.where(here, grad[rows], zero, out=maps[:, position])
                flat_maps = maps.flatten(0, 1)
                grad_flat += flat_maps.t() @ windows.flatten(0, 1)
                grad_windows = (flat_maps @ flat).view(
                    n_words, n_positions, width, n_features
                )
                characters = ids[rows]
                for offset in range(width):
                    seen = characters[:, offset : offset + n_positions]
                    grad_table.index_add_(
                        0,
                        seen.flatten(),
                        grad_windows[:, :, offset].flatten(0, 1).float(),
                    )
            return grad_flat, grad_table

        blocks = row_blocks(len(ids), _WORDS_AT_ONCE)
        grad_flat, grad_table = sums_over_groups(blocks, go_back, ids.device)
        grad_bank = grad_flat.view(n_filters, width, n_features).transpose(1, 2)
        return None, None, grad_table, grad_bank, None
