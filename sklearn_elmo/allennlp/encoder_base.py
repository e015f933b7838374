"""Recurrent encoders that carry their state from batch to batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.allennlp.sequences import (
    get_lengths_from_binary_sequence_mask,
    sort_batch_by_length,
)
from sklearn_elmo.errors import TextValueError

__all__ = ["EncoderBase"]

States = Tensor | tuple[Tensor, ...]


class EncoderBase(OldPlaces):
    """Sorting and state keeping, as AllenNLP's ``_EncoderBase`` does it.

    Parameters
    ----------
    stateful : bool, default=False
        Whether row r of a batch starts from the state that row r of the previous batch
        ended with.

    Attributes
    ----------
    stateful : bool
    _states : sequence of Tensor or None
        The carried state, one tensor ``(n_layers, rows, width)`` per part; setting it
        to None forgets the state. It is a plain attribute, not a buffer: as in
        AllenNLP it is neither in ``state_dict()`` nor moved to other devices.
    """

    def __init__(self, stateful: bool = False) -> None:
        # Not super(): the other base of a subclass takes arguments.
        nn.Module.__init__(self)
        self.stateful = stateful
        self._states: Sequence[Tensor] | None = None

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the carried state.

        Parameters
        ----------
        mask : Tensor, optional
            1 for rows to forget, 0 for rows to keep; all rows by default.
            *Shape:* ``(rows,)``, as many as the largest batch so far.

        Raises
        ------
        TextValueError
            If the mask has another length.
        """
        if mask is None:
            self._states = None
            return
        n_rows = 0 if self._states is None else self._states[0].shape[1]
        if mask.ndim != 1 or len(mask) != n_rows:
            message = (
                f"The mask has the shape {tuple(mask.shape)}, but the carried state "
                f"has {n_rows} rows. Pass one value per row, or no mask."
            )
            raise TextValueError(message)
        self._states = tuple(
            state.masked_fill((mask != 0)[None, :, None].to(state.device), 0.0)
            for state in self._states or ()
        )

    def sort_and_run_forward(
        self,
        module: Callable[..., tuple[Any, Any]],
        inputs: Tensor,
        mask: Tensor,
        hidden_state: States | None = None,
    ) -> tuple[Any, Any, Tensor]:
        """Run a PyTorch recurrent network on the rows that have tokens.

        Parameters
        ----------
        module : callable
            Takes a packed sequence, longest row first, and the initial states.
        inputs : Tensor
            *Shape:* ``(B, T, D)``.
        mask : Tensor
            *Shape:* ``(B, T)``.
        hidden_state : Tensor or tuple of Tensor, optional
            Initial states if the encoder is not stateful.
            *Shape:* ``(n_layers, B, width)``.

        Returns
        -------
        output, states
            What the module returns, for the rows with tokens.
        restoration_indices : Tensor
            Undoes the sorting once the missing rows are appended. *Shape:* ``(B,)``.
        """
        n_valid = int(mask[:, 0].sum())
        lengths = get_lengths_from_binary_sequence_mask(mask)
        sorted_inputs, sorted_lengths, restoration_indices, permutation = (
            sort_batch_by_length(inputs, lengths)
        )
        packed = pack_padded_sequence(
            sorted_inputs[:n_valid], sorted_lengths[:n_valid].tolist(), batch_first=True
        )
        if self.stateful:
            initial = self._get_initial_states(len(mask), n_valid, permutation)
        elif hidden_state is None:
            initial = None
        else:
            initial = _map_states(
                lambda state: state.index_select(1, permutation)[:, :n_valid],
                hidden_state,
            )
        output, states = module(packed, initial)
        return output, states, restoration_indices

    def _get_initial_states(
        self, batch_size: int, num_valid: int, sorting_indices: Tensor
    ) -> States | None:
        """Return the carried state of a batch's rows, sorted, those with tokens only.

        Rows that no batch has had so far are added to the carried state as zeros.
        """
        if self._states is None:
            return None
        missing = batch_size - self._states[0].shape[1]
        if missing > 0:
            self._states = tuple(
                nn.functional.pad(state, (0, 0, 0, missing)) for state in self._states
            )
        chosen = tuple(
            state[:, :batch_size]
            .index_select(1, sorting_indices)[:, :num_valid]
            .contiguous()
            for state in self._states
        )
        return chosen[0] if len(chosen) == 1 else chosen

    def _update_states(
        self, final_states: Sequence[Tensor], restoration_indices: Tensor
    ) -> None:
        """Keep the final states of a batch; rows that are all zero keep their old one.

        Parameters
        ----------
        final_states : sequence of Tensor
            Sorted rows, those without tokens as zeros. *Shape:* ``(n_layers, B, D)``.
        restoration_indices : Tensor
            From `sort_and_run_forward`.
        """
        new_states = [
            state.detach().index_select(1, restoration_indices)
            for state in final_states
        ]
        if self._states is None:
            self._states = tuple(new_states)
            return
        kept = []
        for old, new in zip(self._states, new_states, strict=True):
            was_used = (new[0].sum(dim=-1) != 0)[None, :, None]
            merged = torch.where(was_used, new, old[:, : new.shape[1]])
            kept.append(torch.cat([merged, old[:, new.shape[1] :]], dim=1))
        self._states = tuple(kept)


def _map_states(change: Callable[[Tensor], Tensor], states: States) -> States:
    if isinstance(states, Tensor):
        return change(states).contiguous()
    return tuple(change(state).contiguous() for state in states)
