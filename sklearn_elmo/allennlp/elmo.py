"""`Elmo`: a PyTorch module that mixes the layers of a biLM with learned weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm, StateMode
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.allennlp.old_places import OldPlaces
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.registrable import build
from sklearn_elmo.allennlp.saved_weights import SavedWeights
from sklearn_elmo.allennlp.scalar_mix import ScalarMix
from sklearn_elmo.allennlp.sequences import remove_sentence_boundaries
from sklearn_elmo.errors import (
    InvalidParameterError,
    TextValueError,
    UnusedParameterWarning,
)
from sklearn_elmo.messages import warn_caller

__all__ = ["Elmo"]


class Elmo(OldPlaces):
    """ELMo vectors of sentences, with AllenNLP's arguments, outputs and names.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        The two files of the model; neither for the bundled model. If `weight_file` is
        None, `options_file` may be a registered name, a folder or a zip file.
    num_output_representations : int, default=1
        Number of mixes of the layers, each with its own weights.
    requires_grad : bool, default=False
        Whether the biLM is trained too. The weights of the mixes always are, unless
        `scalar_mix_parameters` sets them.
    do_layer_norm : bool, default=False
        Normalise layers over the whole batch before mixing; see `ScalarMix`.
    dropout : float, default=0.5
        Dropout of the mixed vectors in training mode. A new module is in training
        mode: call ``.eval()`` or pass 0 to get plain vectors.
    vocab_to_cache : sequence of str, optional
        Words whose token vectors are computed once. Index 0 is padding, so put a
        placeholder first. Pass the indices to ``forward`` as `word_inputs`.
    keep_sentence_boundaries : bool, default=False
        Keep the positions of ``<S>`` and ``</S>``.
    scalar_mix_parameters : sequence of float, optional
        Weights of the layers *before* the softmax, for all mixes. They are frozen, with
        gamma at 1. ``[-9e10, 1, -9e10]`` selects the middle layer.
    module : torch.nn.Module, optional
        Replaces the biLM; leave the files out. It has ``num_layers`` and returns
        ``{"activations": [...], "mask": ...}`` with boundaries.
    state : {"carry", "zero", "warm"}, default="carry"
        State that row r of a batch starts from: the final state of row r of the
        previous batch (AllenNLP's behaviour), zeros, or one fixed state that depends
        only on the model.
    saved_weights : {"all", "trained"}, default="all"
        ``"trained"``: while the biLM is frozen, ``state_dict()`` and pickles leave its
        weights out and hold their digest, which is compared on loading.

    See Also
    --------
    ElmoTokenEmbedder : One mix and an optional projection.
    ElmoEmbedder : All layers as numpy arrays.

    Examples
    --------
    >>> elmo = Elmo(options_file, weight_file, 2, dropout=0)  # doctest: +SKIP
    >>> ids = batch_to_ids([["First", "sentence", "."], ["Another", "."]])
    ... # doctest: +SKIP
    >>> [r.shape for r in elmo(ids)["elmo_representations"]]  # doctest: +SKIP
    [torch.Size([2, 3, 1024]), torch.Size([2, 3, 1024])]
    """

    _read_only: ClassVar = {
        "_scalar_mixes": "Replace scalar_mix_0, scalar_mix_1, ... instead."
    }

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
                "Elmo was given a 'module' and also options_file or weight_file. Leave "
                "out the files, or the module."
            )
            raise InvalidParameterError(message)
        self._elmo_lstm = module
        self._has_cached_vocab = vocab_to_cache is not None
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
        """Build from a dict of arguments, as in AllenNLP's configs."""
        return build(cls, Params(config), "Elmo")

    @classmethod
    def from_params(cls, params: Any) -> Self:
        """Build from `Params`, which are emptied, or from a dict of arguments."""
        return build(cls, params, "Elmo")

    @property
    def _scalar_mixes(self) -> tuple[nn.Module, ...]:
        """The mixes, in order."""
        return tuple(
            self.get_submodule(f"scalar_mix_{number}")
            for number in range(self._n_mixes)
        )

    def get_output_dim(self) -> int:
        """Return the width D of a token's vector."""
        width: Any = self._elmo_lstm.get_output_dim()  # type: ignore[operator]
        return int(width)

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the carried state of all rows, or of those where `mask` is 1."""
        self._elmo_lstm.reset_states(mask)  # type: ignore[operator]

    def forward(
        self, inputs: Tensor, word_inputs: Tensor | None = None
    ) -> dict[str, list[Tensor] | Tensor]:
        """Embed a batch of sentences.

        Parameters
        ----------
        inputs : Tensor
            Character ids as `batch_to_ids` makes them, or with more leading axes; any
            integer type. *Shape:* ``(B, T, 50)``. Not read where `word_inputs` has
            the index of a cached word.
        word_inputs : Tensor, optional
            Indices into `vocab_to_cache`, 0 for padding; a word outside of it is read
            by its characters. *Shape:* ``(B, T)``.

        Returns
        -------
        dict
            ``"elmo_representations"``: list of `num_output_representations` tensors
            ``(B, T, D)``, padding 0, and ``"mask"``: ``(B, T)``, int64. T grows by 2
            with `keep_sentence_boundaries`.
        """
        if word_inputs is not None and not self._has_cached_vocab:
            warn_caller(
                "word_inputs have no effect on an Elmo without vocab_to_cache.",
                UnusedParameterWarning,
            )
            word_inputs = None
        leading = inputs.shape[:-2] if word_inputs is None else word_inputs.shape[:-1]
        if len(leading) == 0:
            message = (
                f"The character ids have the shape {tuple(inputs.shape)}; Elmo needs "
                "(sentences, tokens, characters). Make them with batch_to_ids."
            )
            raise TextValueError(message)
        flat_inputs, flat_words = _flatten(inputs, word_inputs, math.prod(leading))
        output = self._elmo_lstm(flat_inputs, flat_words)
        layers, mask = output["activations"], output["mask"]
        shorter_mask = mask
        representations = []
        for mix in self._scalar_mixes:
            mixed = mix(layers, mask)
            if not self._keep_sentence_boundaries:
                mixed, shorter_mask = remove_sentence_boundaries(mixed, mask)
            representations.append(self._dropout(mixed))
        return {
            "elmo_representations": [
                mixed.reshape(*leading, *mixed.shape[-2:]) for mixed in representations
            ],
            "mask": shorter_mask.reshape(*leading, shorter_mask.shape[-1]),
        }


def _flatten(
    inputs: Tensor, word_inputs: Tensor | None, n_rows: int
) -> tuple[Tensor, Tensor | None]:
    """Merge all axes before the tokens into one."""
    if word_inputs is None:
        return inputs.reshape(n_rows, *inputs.shape[-2:]), None
    if inputs.ndim == word_inputs.ndim + 1:
        inputs = inputs.reshape(n_rows, *inputs.shape[-2:])
    else:  # word indices again: old code without characters
        inputs = inputs.reshape(n_rows, inputs.shape[-1])
    return inputs, word_inputs.reshape(n_rows, word_inputs.shape[-1])
