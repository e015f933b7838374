"""`ElmoTokenEmbedder`: one mix of a biLM's layers, among other token embedders."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor, nn

from sklearn_elmo.allennlp.elmo import Elmo
from sklearn_elmo.allennlp.elmo_bilm import StateMode
from sklearn_elmo.allennlp.model_files import FileName
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.registrable import build
from sklearn_elmo.allennlp.saved_weights import SavedWeights
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["ElmoTokenEmbedder", "cached_words"]


@TokenEmbedder.register("elmo_token_embedder")
class ElmoTokenEmbedder(TokenEmbedder):
    """One ELMo vector per token; AllenNLP's ``elmo_token_embedder``.

    Parameters
    ----------
    options_file, weight_file, do_layer_norm, dropout, requires_grad
        As in `Elmo`.
    projection_dim : int, optional
        Width of a learned linear map after the dropout; none by default.
    vocab_to_cache, scalar_mix_parameters, state, saved_weights
        As in `Elmo`.

    Examples
    --------
    >>> embedder = ElmoTokenEmbedder(projection_dim=100)  # doctest: +SKIP
    >>> embedder(batch_to_ids([["First", "one"]])).shape  # doctest: +SKIP
    torch.Size([1, 2, 100])
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
        """Build from the ``elmo_token_embedder`` part of an AllenNLP config.

        Parameters
        ----------
        config : mapping
            Arguments of this class; ``type`` is ignored, and ``namespace_to_cache``
            takes the place of ``vocab_to_cache``.
        vocabulary : sequence of str, optional
            The words of that namespace in the order of their ids.

        Raises
        ------
        InvalidParameterError
            If the config has an unknown key, or caches words that are not given.
        """
        params = Params(config)
        if params.pop("namespace_to_cache", None) is not None:
            if vocabulary is None:
                message = (
                    "The config caches a namespace of words. Pass its words, in the "
                    "order of their ids, as 'vocabulary'."
                )
                raise InvalidParameterError(message)
            params["vocab_to_cache"] = list(vocabulary)
        return build(cls, params, "an 'elmo_token_embedder'")

    @classmethod
    def from_params(  # type: ignore[override]  # AllenNLP's signature
        cls, vocab: Any = None, params: Any = None
    ) -> Self:
        """Build from a configuration, as `from_config` does.

        Parameters
        ----------
        vocab : Vocabulary or None
            Has the words of ``namespace_to_cache``.
        params : Params or mapping
            Emptied if it is `Params`.
        """
        embedder = cls.from_config(params, cached_words(vocab, params))
        if isinstance(params, Params):
            params.params.clear()
        return embedder

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


def cached_words(vocab: Any, params: Mapping[str, Any]) -> list[str] | None:
    """Return the words of a configuration's ``namespace_to_cache``, if it has one."""
    namespace = params.get("namespace_to_cache")
    if namespace is None or vocab is None:
        return None
    return list(vocab.get_token_to_index_vocabulary(namespace))
