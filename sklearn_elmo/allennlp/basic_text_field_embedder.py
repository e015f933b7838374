"""Several token embedders side by side."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.params import Params, plain_dict
from sklearn_elmo.allennlp.registrable import Registrable
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["BasicTextFieldEmbedder", "IndexerMap", "TextFieldEmbedder"]

IndexerMap = Mapping[str, Sequence[str | None] | Mapping[str, str]]


class TextFieldEmbedder(nn.Module, Registrable):
    """Module from the ids of a text field to one vector per token.

    Examples
    --------
    >>> from sklearn_elmo.allennlp import TextFieldEmbedder
    >>> type(TextFieldEmbedder.by_name("basic")({})).__name__
    'BasicTextFieldEmbedder'
    """

    default_implementation: ClassVar = "basic"

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        raise NotImplementedError


@TextFieldEmbedder.register("basic")
class BasicTextFieldEmbedder(TextFieldEmbedder):
    """Vectors of several embedders for the same tokens, concatenated.

    Parameters
    ----------
    token_embedders : mapping of str to torch.nn.Module
    embedder_to_indexer_map : mapping, optional
        For each embedder, the names of its inputs: a list in the order of the arguments
        of its ``forward``, with None for arguments to leave out, or a mapping from
        argument to name. By default each embedder has one input with its own name.
    allow_unmatched_keys : bool, default=False
        Whether there may be inputs without an embedder of the same name.
    """

    def __init__(
        self,
        token_embedders: Mapping[str, nn.Module],
        embedder_to_indexer_map: IndexerMap | None = None,
        allow_unmatched_keys: bool = False,
    ) -> None:
        super().__init__()
        if embedder_to_indexer_map is not None:
            _check_map(embedder_to_indexer_map, token_embedders)
        self._names = sorted(token_embedders)
        self._embedder_to_indexer_map = embedder_to_indexer_map
        self._allow_unmatched_keys = allow_unmatched_keys
        for name, embedder in token_embedders.items():
            # AllenNLP's names of parameters.
            self.add_module(f"token_embedder_{name}", embedder)

    @property
    def _token_embedders(self) -> dict[str, nn.Module]:
        """The embedders by name."""
        return {name: self._embedder(name) for name in self._names}

    def _embedder(self, name: str) -> Any:
        return self.get_submodule(f"token_embedder_{name}")

    def get_output_dim(self) -> int:
        """Return the sum of the embedders' widths."""
        return sum(self._embedder(name).get_output_dim() for name in self._names)

    def input_names(self, name: str) -> list[str]:
        """Return the names of an embedder's inputs."""
        if self._embedder_to_indexer_map is None:
            return [name]
        inputs = self._embedder_to_indexer_map[name]
        named = inputs.values() if isinstance(inputs, Mapping) else inputs
        return [each for each in named if each is not None]

    def forward(
        self,
        text_field_input: Mapping[str, Tensor],
        num_wrapping_dims: int = 0,
        **arguments: Any,
    ) -> Tensor:
        """Embed a batch.

        Parameters
        ----------
        text_field_input : mapping of str to Tensor
            Ids by the name of their indexer.
        num_wrapping_dims : int, default=0
            Number of axes between the batch and the tokens.
        **arguments
            Passed to the embedders whose ``forward`` has such an argument, for example
            ``lang``.

        Returns
        -------
        Tensor
            *Shape:* ``(B, T, output_dim)``; the embedders in alphabetical order, as in
            AllenNLP.

        Raises
        ------
        InvalidParameterError
            If the inputs do not match the embedders.
        """
        self._check_inputs(text_field_input)
        vectors = []
        for name in self._names:
            embedder = self._embedder(name)
            accepted = inspect.signature(embedder.forward).parameters
            extra = {key: arguments[key] for key in arguments if key in accepted}
            positional, named = self._inputs_of(name, text_field_input)
            tensors = [t for t in (*positional, *named.values()) if t is not None]
            wrapping = tensors[0].shape[: num_wrapping_dims + 1]

            def flat(tensor: Tensor | None) -> Tensor | None:
                return None if tensor is None else tensor.flatten(0, num_wrapping_dims)

            embedded = embedder(
                *map(flat, positional),
                **{key: flat(tensor) for key, tensor in named.items()},
                **extra,
            )
            vectors.append(embedded.reshape(*wrapping, *embedded.shape[1:]))
        return torch.cat(vectors, dim=-1)

    def _inputs_of(
        self, name: str, inputs: Mapping[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """Return an embedder's positional and named inputs."""
        if self._embedder_to_indexer_map is None:
            return [inputs[name]], {}
        chosen = self._embedder_to_indexer_map[name]
        if isinstance(chosen, Mapping):
            return [], {argument: inputs[key] for argument, key in chosen.items()}
        return [None if key is None else inputs[key] for key in chosen], {}

    def _check_inputs(self, inputs: Mapping[str, Tensor]) -> None:
        needed = {each for name in self._names for each in self.input_names(name)}
        missing = needed - inputs.keys()
        if not missing and self._allow_unmatched_keys:
            return
        surplus = inputs.keys() - set(self._names)
        absent = missing | (set(self._names) - inputs.keys())
        if absent:
            message = (
                f"Mismatched token keys: the inputs are {sorted(inputs)}, and "
                f"{sorted(absent)} are missing. Pass one input per indexer."
            )
            raise InvalidParameterError(message)
        if surplus:
            message = (
                f"The text field is generating more keys {sorted(inputs)} than there "
                f"are embedders {self._names}. Remove the indexers "
                f"{sorted(surplus)}, or set allow_unmatched_keys."
            )
            raise InvalidParameterError(message)

    @classmethod
    def from_params(  # type: ignore[override]  # AllenNLP's signature
        cls, vocab: Any = None, params: Any = None
    ) -> "BasicTextFieldEmbedder":
        """Build from the ``text_field_embedder`` part of a configuration.

        Parameters
        ----------
        vocab : Vocabulary or None
            Passed on to the embedders.
        params : Params or mapping
            ``token_embedders``, or the embedders themselves (old style), beside
            ``embedder_to_indexer_map`` and ``allow_unmatched_keys``.
        """
        params = params if isinstance(params, Params) else Params(params)
        params.pop("type", None)
        indexer_map = plain_dict(params.pop("embedder_to_indexer_map", None))
        allow_unmatched = bool(params.pop_bool("allow_unmatched_keys", False))
        parts = params.pop("token_embedders", None)
        if parts is None:
            parts = {name: params.pop(name) for name in list(params)}
        params.assert_empty(cls.__name__)
        embedders = {
            name: TokenEmbedder.from_params(part, vocab=vocab)
            for name, part in parts.items()
        }
        return cls(embedders, indexer_map, allow_unmatched)


def _check_map(indexer_map: IndexerMap, embedders: Mapping[str, nn.Module]) -> None:
    if indexer_map.keys() != embedders.keys():
        message = (
            f"embedder_to_indexer_map has the embedders {sorted(indexer_map)}, but "
            f"there are {sorted(embedders)}. Name the same ones."
        )
        raise InvalidParameterError(message)
    for name, inputs in indexer_map.items():
        is_right = isinstance(inputs, Mapping) or (
            isinstance(inputs, Sequence) and not isinstance(inputs, str)
        )
        if not is_right or not inputs:
            message = (
                f"embedder_to_indexer_map[{name!r}] is {inputs!r}; expected a list of "
                "indexers, or a dict from argument to indexer."
            )
            raise InvalidParameterError(message)
