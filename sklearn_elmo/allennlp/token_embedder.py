"""`ElmoTokenEmbedder`: one mix of a biLM's layers, for a stack of embedders."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor, nn

from sklearn_elmo.allennlp.elmo import Elmo
from sklearn_elmo.allennlp.elmo_bilm import StateMode
from sklearn_elmo.allennlp.file_bilm import SavedWeights
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["ElmoTokenEmbedder"]


class ElmoTokenEmbedder(nn.Module):
    """One ELMo vector a token; AllenNLP's ``elmo_token_embedder``.

    Parameters
    ----------
    options_file, weight_file, do_layer_norm, dropout, requires_grad
        As for `Elmo`.
    projection_dim : int, optional
        Width of a learned linear map behind the dropout; none by default.
    vocab_to_cache, scalar_mix_parameters, state, saved_weights
        As for `Elmo`.
    """

    def __init__(
        self,
        options_file: FileName | None = None,
        weight_file: FileName | None = None,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        requires_grad: bool = False,
        projection_dim: int | None = None,
        vocab_to_cache: Sequence[str] | None = None,
        scalar_mix_parameters: Sequence[float] | None = None,
        *,
        state: StateMode = "carry",
        saved_weights: SavedWeights = "all",
    ) -> None:
        super().__init__()
        self._elmo = Elmo(
            options_file,
            weight_file,
            1,
            requires_grad=requires_grad,
            do_layer_norm=do_layer_norm,
            dropout=dropout,
            vocab_to_cache=vocab_to_cache,
            scalar_mix_parameters=scalar_mix_parameters,
            state=state,
            saved_weights=saved_weights,
        )
        self.output_dim = projection_dim or self._elmo.get_output_dim()
        self._projection = (
            nn.Linear(self._elmo.get_output_dim(), projection_dim)
            if projection_dim
            else None
        )

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], vocabulary: Sequence[str] | None = None
    ) -> Self:
        """Build from an AllenNLP config's ``elmo_token_embedder``.

        Parameters
        ----------
        config : mapping
            Arguments of this class; ``type`` is passed over, and
            ``namespace_to_cache`` stands for ``vocab_to_cache``.
        vocabulary : sequence of str, optional
            The words of that namespace in the order of their ids.
        """
        arguments = {key: value for key, value in config.items() if key != "type"}
        if arguments.pop("namespace_to_cache", None) is not None:
            if vocabulary is None:
                message = (
                    "The config caches a namespace of words; give its words, in the "
                    "order of their ids, as 'vocabulary'."
                )
                raise InvalidParameterError(message)
            arguments["vocab_to_cache"] = list(vocabulary)
        try:
            return cls(**arguments)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            message = (
                f"The config of an elmo_token_embedder is not known here: {error}."
            )
            raise InvalidParameterError(message) from error

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        return self.output_dim

    def reset_states(self, mask: Tensor | None = None) -> None:
        """Forget the state carried from batch to batch."""
        self._elmo.reset_states(mask)

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> Tensor:
        """Embed a batch. *Shape:* ``(..., T, 50)`` -> ``(..., T, output_dim)``."""
        vectors: Tensor = self._elmo(inputs, word_inputs)["elmo_representations"][0]
        if self._projection is not None:
            vectors = self._projection(vectors)
        return vectors
