"""`Elmo`: layers of a biLM, mixed with learned weights, as a PyTorch module."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm, StateMode
from sklearn_elmo.allennlp.file_bilm import SavedWeights
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.allennlp.scalar_mix import ScalarMix
from sklearn_elmo.errors import (
    InvalidParameterError,
    TextValueError,
    UnusedParameterWarning,
)
from sklearn_elmo.messages import warn_caller

__all__ = ["Elmo"]


class Elmo(nn.Module):
    """ELMo vectors of sentences, with AllenNLP's arguments, outputs and names.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        The model's two files; neither for the model in the box. With `weight_file`
        None, `options_file` may be a registered name, a folder or a zip file.
    num_output_representations : int, default=1
        How many mixes of the layers to give, each with weights of its own.
    requires_grad : bool, default=False
        Whether the biLM is trained too. The mixes' weights always are, unless
        `scalar_mix_parameters` sets them.
    do_layer_norm : bool, default=False
        Normalise layers over the whole batch before mixing; see `ScalarMix`.
    dropout : float, default=0.5
        Of the mixed vectors, in training mode, which a new module is in: call
        ``.eval()`` or pass 0 for plain vectors.
    vocab_to_cache : sequence of str, optional
        Words whose token vectors are computed once; put something at index 0, which
        is padding. Their indices go into ``forward`` as `word_inputs`.
    keep_sentence_boundaries : bool, default=False
        Keep the positions of ``<S>`` and ``</S>``.
    scalar_mix_parameters : sequence of float, optional
        The mixes' weights *before* the softmax, then frozen, with gamma at 1. For one
        layer alone: ``[-9e10, 1, -9e10]``.
    module : torch.nn.Module, optional
        In the biLM's place, without files: has ``num_layers`` and returns
        ``{"activations": [...], "mask": ...}`` with boundaries.
    state : {"carry", "zero", "warm"}, default="carry"
        What a batch's rows start from: where the same rows of the last batch ended
        (AllenNLP's way), zeros, or one fixed state that depends on the model alone.
    saved_weights : {"all", "trained"}, default="all"
        ``"trained"``: while the biLM is frozen, ``state_dict()`` and pickles leave
        its weights out and hold their digest, which loading compares.

    See Also
    --------
    ElmoTokenEmbedder : One mix and an optional projection.
    ElmoEmbedder : Plain layers as numpy arrays.

    Examples
    --------
    >>> elmo = Elmo(options_file, weight_file, 2, dropout=0)  # doctest: +SKIP
    >>> ids = batch_to_ids([["First", "sentence", "."], ["Another", "."]])
    ... # doctest: +SKIP
    >>> [r.shape for r in elmo(ids)["elmo_representations"]]  # doctest: +SKIP
    [torch.Size([2, 3, 1024]), torch.Size([2, 3, 1024])]
    """

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        num_output_representations: int = 1,
        requires_grad: bool = False,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        vocab_to_cache: Sequence[str] | None = None,
        keep_sentence_boundaries: bool = False,
        scalar_mix_parameters: Sequence[float] | None = None,
        module: nn.Module | None = None,
        *,
        state: StateMode = "carry",
        saved_weights: SavedWeights = "all",
    ) -> None:
        super().__init__()
        if num_output_representations < 1:
            message = (
                "The 'num_output_representations' parameter of Elmo must be at least "
                f"1. Got {num_output_representations!r} instead."
            )
            raise InvalidParameterError(message)
        if module is None:
            module = ElmoBiLm(
                options_file,
                weight_file,
                requires_grad,
                vocab_to_cache,
                state=state,
                saved_weights=saved_weights,
            )
        elif options_file is not None or weight_file is not None:
            message = (
                "Elmo was given a 'module' and also options_file or weight_file; leave "
                "the files out, or the module."
            )
            raise InvalidParameterError(message)
        self._elmo_lstm = module
        self._has_cached_vocab = vocab_to_cache is not None and isinstance(
            module, ElmoBiLm
        )
        self._keep_sentence_boundaries = keep_sentence_boundaries
        self._dropout = nn.Dropout(p=dropout)
        self._n_mixes = num_output_representations
        n_layers: Any = module.num_layers
        for number in range(num_output_representations):
            mix = ScalarMix(
                n_layers,
                do_layer_norm=do_layer_norm,
                initial_scalar_parameters=scalar_mix_parameters,
                trainable=scalar_mix_parameters is None,
            )
            self.add_module(f"scalar_mix_{number}", mix)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from the arguments of `Elmo` as a dict, as AllenNLP's configs do."""
        return cls(**{key: value for key, value in config.items() if key != "type"})

    def get_output_dim(self) -> int:
        """Return the width D of a token's vector."""
        width: Any = self._elmo_lstm.get_output_dim()  # type: ignore[operator]
        return int(width)

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the state carried from batch to batch, of all rows or where 1."""
        self._elmo_lstm.reset_states(mask)  # type: ignore[operator]

    def forward(
        self, inputs: Tensor, word_inputs: Tensor | None = None
    ) -> dict[str, list[Tensor] | Tensor]:
        """Embed a batch of sentences.

        Parameters
        ----------
        inputs : Tensor
            Character ids as `batch_to_ids` makes them. *Shape:* ``(B, T, 50)``, or
            with more axes in front.
        word_inputs : Tensor, optional
            Indices into `vocab_to_cache`, 0 for padding; a word with an index outside
            of it is read by its characters. *Shape:* ``(B, T)``.

        Returns
        -------
        dict
            ``"elmo_representations"``: list of `num_output_representations` tensors
            ``(B, T, D)``, padding 0, and ``"mask"``: ``(B, T)``, int64. T is 2 more
            with `keep_sentence_boundaries`.
        """
        if inputs.ndim < 3:
            message = (
                f"The character ids have the shape {tuple(inputs.shape)}; Elmo needs "
                "(sentences, tokens, characters), as batch_to_ids makes them."
            )
            raise TextValueError(message)
        leading = inputs.shape[:-2]
        n_rows = math.prod(leading)
        flat_words = None
        if word_inputs is not None:
            if self._has_cached_vocab:
                flat_words = word_inputs.reshape(n_rows, word_inputs.shape[-1])
            else:
                warn_caller(
                    "word_inputs have no effect on an Elmo without vocab_to_cache.",
                    UnusedParameterWarning,
                )
        output = self._elmo_lstm(inputs.reshape(n_rows, *inputs.shape[-2:]), flat_words)
        layers, mask = output["activations"], output["mask"]
        representations = []
        for number in range(self._n_mixes):
            mixed = self.get_submodule(f"scalar_mix_{number}")(layers, mask)
            if not self._keep_sentence_boundaries:
                mixed = _without_boundaries(mixed, mask)
            representations.append(self._dropout(mixed))
        if not self._keep_sentence_boundaries:
            mask = mask[:, 2:]
        return {
            "elmo_representations": [
                mixed.reshape(*leading, *mixed.shape[-2:]) for mixed in representations
            ],
            "mask": mask.reshape(*leading, mask.shape[-1]),
        }


def _without_boundaries(tensor: Tensor, mask: Tensor) -> Tensor:
    """Take ``<S>`` and ``</S>`` out of every row, padding with zeros.

    *Shape:* ``(B, T + 2, D)`` -> ``(B, T, D)``.
    """
    is_token = (mask[:, 2:] != 0).unsqueeze(-1)
    return torch.where(is_token, tensor[:, 1:-1], torch.zeros_like(tensor[:, 1:-1]))
