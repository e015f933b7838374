"""The bidirectional language model: token vectors and the layers above them.

This is the readable form, with gradients, that the fast ones are tested against.
`sklearn_elmo.inference.encoder.Encoder` reads many texts at a time, and
`sklearn_elmo.pretraining.network.LanguageModel` takes training steps.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sklearn_elmo.bilm.char_cnn import CharacterCnn
from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    END_SENTENCE,
    tokens_to_character_ids,
)
from sklearn_elmo.bilm.layout import WeightLayout
from sklearn_elmo.bilm.lstm import BiLstm, LstmState
from sklearn_elmo.bilm.options import BiLmOptions

__all__ = ["BiLm", "BiLmOutput"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BiLmOutput:
    """Outputs of a biLM for a batch of sentences.

    Attributes
    ----------
    layers : list of Tensor
        L + 1 tensors: the token vector, concatenated with itself, then each biLSTM
        layer. ``<S>`` and ``</S>`` are included; padded positions are 0.
        *Shape:* ``(B, T + 2, 2P)``.
    mask : Tensor
        True at a token, ``<S>`` or ``</S>``. *Shape:* ``(B, T + 2)``, bool.
    state : tuple of Tensor
        h ``(L, B, 2P)`` and c ``(L, B, 2C)`` after each row's last step.
    """

    layers: list[Tensor]
    mask: Tensor
    state: LstmState


class BiLm(nn.Module):
    """A bidirectional language model without its softmax (Peters et al. 2018).

    Parameters
    ----------
    options : BiLmOptions
    has_output_projection : bool
        False for models of bilm-tf without ``W_P_0``: their cells are not projected.
    has_token_projection : bool
        False for models of bilm-tf without ``CNN_proj``: their convolutions are as wide
        as their output.
    """

    def __init__(
        self,
        options: BiLmOptions,
        *,
        has_output_projection: bool = True,
        has_token_projection: bool = True,
    ) -> None:
        super().__init__()
        self.options = options
        self._token_embedder = CharacterCnn(
            options, has_projection=has_token_projection
        )
        self._elmo_lstm = BiLstm(options, has_projection=has_output_projection)

    @classmethod
    def from_arrays(cls, options: BiLmOptions, arrays: dict[str, FloatArray]) -> Self:
        """Build the model from the data sets of a weight file.

        Parameters
        ----------
        options : BiLmOptions
        arrays : dict of str to ndarray
            The checked arrays of `sklearn_elmo.bilm.weights.read_model`. They are
            copied.
        """
        layout = WeightLayout.of(options, arrays)
        # Built without initial values, which would draw from the user's random numbers.
        with torch.device("meta"):
            model = cls(
                options,
                has_output_projection=layout.has_output_projection,
                has_token_projection=layout.has_token_projection,
            )
        # Assigned, not copied into empty parameters: `to_empty` imports SymPy and parts
        # of PyTorch's compiler, a tenth of the time to the first row.
        state_dict = {
            name: torch.from_numpy(np.array(array, order="C"))
            for name, array in layout.to_parameters(arrays).items()
        }
        model.load_state_dict(state_dict, assign=True)
        return model

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return the weights as the float32 data sets of a weight file."""
        parameters = {
            name: tensor.detach().to("cpu", torch.float32).numpy()
            for name, tensor in self.state_dict().items()
        }
        return WeightLayout.of_parameters(self.options, parameters).to_arrays(
            parameters
        )

    def forward(
        self, character_ids: Tensor, state: LstmState | None = None
    ) -> BiLmOutput:
        """Run sentences through all layers.

        Parameters
        ----------
        character_ids : Tensor
            *Shape:* ``(B, T, max_characters)``, int64. Ids of 0 are padding, at the end
            of a row only. ``<S>`` and ``</S>`` are added here.
        state : tuple of Tensor, optional
            Initial state, as in `BiLmOutput`; zeros by default.
        """
        ids, mask = self.add_boundaries(character_ids)
        vectors = self._token_embedder(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])
        return self.contextualize(vectors, mask, state)

    def contextualize(
        self, vectors: Tensor, mask: Tensor, state: LstmState | None = None
    ) -> BiLmOutput:
        """Run token vectors, those of the boundaries included, through the layers.

        Parameters
        ----------
        vectors : Tensor
            *Shape:* ``(B, T, P)``.
        mask : Tensor
            *Shape:* ``(B, T)``, bool.
        state : tuple of Tensor, optional
        """
        layers, state = self._elmo_lstm(vectors, mask.sum(dim=1), state)
        token_layer = torch.cat([vectors, vectors], dim=-1) * mask.unsqueeze(-1)
        return BiLmOutput([token_layer, *layers], mask, state)

    def add_boundaries(self, character_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Add ``<S>`` before and ``</S>`` after the tokens of each row.

        *Shape:* ``(B, T, max_characters)`` -> ``(B, T + 2, max_characters)``, and the
        mask ``(B, T + 2)``.
        """
        n_rows, n_steps, n_characters = character_ids.shape
        lengths = (character_ids > 0).any(dim=-1).sum(dim=1)  # (B,)
        begin, end = torch.from_numpy(
            tokens_to_character_ids([BEGIN_SENTENCE, END_SENTENCE], n_characters)
        ).to(character_ids.device)
        ids = character_ids.new_zeros(n_rows, n_steps + 2, n_characters)
        ids[:, 0] = begin
        ids[:, 1:-1] = character_ids
        ids[torch.arange(n_rows, device=ids.device), lengths + 1] = end
        positions = torch.arange(n_steps + 2, device=ids.device)
        return ids, positions < lengths[:, None] + 2
