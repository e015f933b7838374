"""The biLM's token vectors alone."""

from torch import Tensor

from sklearn_elmo.allennlp.elmo_bilm import ElmoBiLm
from sklearn_elmo.allennlp.model_files import FileName

__all__ = ["ElmoCharacterEncoder"]


class ElmoCharacterEncoder(ElmoBiLm):
    """Token vectors alone, as AllenNLP's ``_ElmoCharacterEncoder`` gives them.

    Parameters
    ----------
    options_file, weight_file : path, URL or None
        As for `Elmo`.
    requires_grad : bool, default=False
    """

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        requires_grad: bool = False,
    ) -> None:
        super().__init__(options_file, weight_file, requires_grad, state="zero")
        del self._elmo_lstm

    def get_output_dim(self) -> int:
        """Return the width P of a token vector."""
        return self.options.projection_dim

    def forward(  # type: ignore[override]  # AllenNLP's signature, not BiLm's
        self, inputs: Tensor
    ) -> dict[str, Tensor]:
        """Embed tokens, ``<S>`` and ``</S>`` included.

        *Shape:* ``(B, T, max_characters)`` -> ``"token_embedding"``
        ``(B, T + 2, P)``, where padding holds the vector of no characters, and
        ``"mask"`` ``(B, T + 2)``, int64.
        """
        self._check_inputs(inputs)
        ids, mask = self.add_boundaries(inputs)
        flat = self._vectors(ids.flatten(0, 1))
        vectors = flat.reshape(*mask.shape, flat.shape[1])
        return {"token_embedding": vectors, "mask": mask.long()}
