"""The context-free token vectors of a biLM, boundaries included."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from sklearn_elmo.allennlp.highway import Highway
from sklearn_elmo.allennlp.model_files import (
    FileName,
    parameters_of,
    read_files,
    weight_path,
)
from sklearn_elmo.allennlp.old_places import OldPlaces, ReadOnlyDict
from sklearn_elmo.allennlp.sequences import add_sentence_boundary_token_ids
from sklearn_elmo.bilm.char_cnn import CharacterCnn
from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    tokens_to_character_ids,
)
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.weights import ModelFiles
from sklearn_elmo.errors import TextValueError

__all__ = ["ElmoCharacterEncoder"]

TOKENS_PER_CONVOLUTION = 512

_NEW_ENCODER = "Build another encoder from other files."
_READ_AT_ONCE = "All weights are read when the encoder is built."


class ElmoCharacterEncoder(OldPlaces, CharacterCnn):
    """Token vectors without context, as AllenNLP's ``_ElmoCharacterEncoder``.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        As in `Elmo`.
    requires_grad : bool, default=False
        Whether the weights can be trained.
    files : ModelFiles, optional
        Content of the two files, where the caller has read them already.
    """

    _read_only: ClassVar = {
        "output_dim": _NEW_ENCODER,
        "_options": _NEW_ENCODER,
        "_weight_file": _NEW_ENCODER,
        "_convolutions": "Replace char_conv_0, char_conv_1, ... instead.",
        "requires_grad": "Call requires_grad_() to freeze or thaw the weights.",
    }
    _absent: ClassVar = {
        "_load_weights": _READ_AT_ONCE,
        "_load_char_embedding": _READ_AT_ONCE,
        "_load_cnn_weights": _READ_AT_ONCE,
        "_load_highway": _READ_AT_ONCE,
        "_load_projection": _READ_AT_ONCE,
    }

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        requires_grad: bool = False,
        *,
        files: ModelFiles | None = None,
    ) -> None:
        if files is None:
            files = read_files(options_file, weight_file)
        layout = WeightLayout.of(files.options, files.arrays)
        super().__init__(files.options, has_projection=layout.has_token_projection)
        self._highways = Highway(files.options.n_filters, files.options.n_highway)
        self.load_state_dict(parameters_of(files, "_token_embedder."))
        self.requires_grad_(requires_grad)
        self._file_names = (options_file, weight_file)
        begin, end = torch.from_numpy(
            tokens_to_character_ids(
                [BEGIN_SENTENCE, END_SENTENCE], files.options.max_characters
            )
        )
        # Plain tensors under AllenNLP's names, not part of the state.
        self._beginning_of_sentence_characters = begin
        self._end_of_sentence_characters = end

    @property
    def output_dim(self) -> int:
        """Width P of a token vector."""
        return self.options.projection_dim

    def get_output_dim(self) -> int:
        """Return the width P of a token vector."""
        return self.output_dim

    @property
    def requires_grad(self) -> bool:
        """Whether any weight can be trained."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def _options(self) -> dict[str, Any]:
        """The options in the layout of ``options.json``; cannot be changed."""
        return ReadOnlyDict.of(self.options.to_dict(), "_options", _NEW_ENCODER)

    @property
    def _weight_file(self) -> str:
        """Path or URL of the weights."""
        return weight_path(*self._file_names)

    @property
    def _convolutions(self) -> list[torch.nn.Conv1d]:
        """The character convolutions."""
        return self.convolutions

    def forward(  # type: ignore[override]  # AllenNLP's signature, not CharacterCnn's
        self, inputs: Tensor
    ) -> dict[str, Tensor]:
        """Embed tokens, ``<S>`` and ``</S>`` included.

        Parameters
        ----------
        inputs : Tensor
            Character ids. *Shape:* ``(B, T, max_characters)``, any integer type.

        Returns
        -------
        dict
            ``"token_embedding"``: ``(B, T + 2, P)``, where padding has the vector of a
            token without characters, and ``"mask"``: ``(B, T + 2)``, int64.

        Raises
        ------
        TextValueError
            If the ids have another shape, or are not integers.
        """
        self._check_ids(inputs)
        ids, mask = add_sentence_boundary_token_ids(
            inputs.long(),
            (inputs > 0).any(dim=-1),
            self._beginning_of_sentence_characters,
            self._end_of_sentence_characters,
        )
        vectors = self._vectors(ids.flatten(0, 1))
        return {
            "token_embedding": vectors.reshape(*mask.shape, vectors.shape[1]),
            "mask": mask,
        }

    def _check_ids(self, ids: Tensor) -> None:
        expected = self.options.max_characters
        if ids.ndim != 3 or ids.shape[-1] != expected:
            message = (
                f"The character ids have the shape {tuple(ids.shape)}; this model "
                f"needs (..., tokens, {expected}). Make them with batch_to_ids("
                f"sentences, max_characters={expected})."
            )
            raise TextValueError(message)
        if ids.is_floating_point():
            message = (
                f"The character ids are of the type {ids.dtype}; expected integers. "
                "Make them with batch_to_ids(sentences)."
            )
            raise TextValueError(message)

    def _vectors(self, ids: Tensor) -> Tensor:
        """Return token vectors. *Shape:* ``(N, max_characters)`` -> ``(N, P)``.

        Without gradients each distinct token is computed once, in small groups: the
        convolutions of a whole batch would take about 400 kB per token.
        """
        if len(ids) == 0 or (torch.is_grad_enabled() and self.requires_grad):
            return CharacterCnn.forward(self, ids)
        unique, inverse = torch.unique(ids, dim=0, return_inverse=True)
        groups = [
            CharacterCnn.forward(self, group)
            for group in unique.split(TOKENS_PER_CONVOLUTION)
        ]
        return torch.cat(groups)[inverse]
