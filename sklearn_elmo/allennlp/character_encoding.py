"""Word vectors from characters that are trained with the task.

AllenNLP's ``character_encoding``; the names of the parameters are AllenNLP's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from sklearn_elmo.allennlp.character_indexer import CHARACTER_NAMESPACE
from sklearn_elmo.allennlp.embedding import Embedding
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.registrable import build
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.errors import InvalidParameterError

__all__ = [
    "CnnEncoder",
    "RecurrentEncoder",
    "TimeDistributed",
    "TokenCharactersEncoder",
]

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
_RNNS: Mapping[str, type[nn.RNNBase]] = {
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "rnn": nn.RNN,
}


class TimeDistributed(nn.Module):
    """Apply a module to each token: merge the first two axes, and part them again.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module

    def forward(
        self, *inputs: Tensor, pass_through: Sequence[str] = (), **named: Any
    ) -> Tensor:
        """Run the module. *Shape:* ``(B, T, ...)`` -> ``(B, T, ...)``.

        Parameters
        ----------
        *inputs, **named
            Arguments of the module; tensors have the two axes.
        pass_through : sequence of str
            Names of tensors to pass on as they are.
        """
        flat = {
            name: value.flatten(0, 1)
            for name, value in named.items()
            if isinstance(value, Tensor) and name not in pass_through
        }
        leading = (inputs or [named[name] for name in flat])[0].shape[:2]
        outputs: Tensor = self._module(
            *(tensor.flatten(0, 1) for tensor in inputs), **{**named, **flat}
        )
        return outputs.reshape(*leading, *outputs.shape[1:])


class CnnEncoder(nn.Module):
    """Convolutions and the maximum over positions (Zhang and Wallace 2015).

    Parameters
    ----------
    embedding_dim, num_filters : int
        Width of the inputs, and number of filters of each size.
    ngram_filter_sizes : sequence of int, default=(2, 3, 4, 5)
    conv_layer_activation : str, default="relu"
    output_dim : int, optional
        Width of a learned linear map of the result; none by default.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_filters: int,
        ngram_filter_sizes: Sequence[int] = (2, 3, 4, 5),
        conv_layer_activation: str = "relu",
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        if conv_layer_activation not in _ACTIVATIONS:
            message = (
                "The 'conv_layer_activation' parameter of a cnn must be one of "
                f"{', '.join(_ACTIVATIONS)}. Got {conv_layer_activation!r} instead."
            )
            raise InvalidParameterError(message)
        self._n_layers = len(ngram_filter_sizes)
        for number, size in enumerate(ngram_filter_sizes):
            layer = nn.Conv1d(embedding_dim, num_filters, size)
            self.add_module(f"conv_layer_{number}", layer)
        self._activation = _ACTIVATIONS[conv_layer_activation]()
        width = num_filters * self._n_layers
        self.projection_layer = nn.Linear(width, output_dim) if output_dim else None
        self._output_dim = output_dim or width

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        return self._output_dim

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Encode. *Shape:* ``(N, C, embedding_dim)``, ``(N, C)`` -> ``(N, width)``."""
        channels = (tokens * mask.unsqueeze(-1).to(tokens)).transpose(1, 2)
        pooled = [
            self._activation(self.get_submodule(f"conv_layer_{number}")(channels))
            .max(dim=2)
            .values
            for number in range(self._n_layers)
        ]
        features = torch.cat(pooled, dim=1)
        if self.projection_layer is None:
            return features
        return self.projection_layer(features)  # type: ignore[no-any-return]


class RecurrentEncoder(nn.Module):
    """The final state of an LSTM, GRU or RNN, all directions of its top layer.

    Parameters
    ----------
    module : torch.nn.RNNBase
        With ``batch_first=True``.
    """

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        self._module = module
        self._n_directions = 2 if module.bidirectional else 1

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        return self._module.hidden_size * self._n_directions

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Encode; rows that are all padding are 0.

        *Shape:* ``(N, C, input_size)``, ``(N, C)`` -> ``(N, width)``.
        """
        lengths = mask.sum(dim=1)
        encoded = tokens.new_zeros(len(tokens), self.get_output_dim())
        rows = (lengths > 0).nonzero().flatten()
        if len(rows) == 0:
            return encoded
        packed = pack_padded_sequence(
            tokens[rows], lengths[rows].cpu(), batch_first=True, enforce_sorted=False
        )
        _, state = self._module(packed)
        h = state[0] if isinstance(state, tuple) else state
        top = torch.cat(h[-self._n_directions :].unbind(0), dim=-1)
        return encoded.index_copy(0, rows, top)


@TokenEmbedder.register("character_encoding")
class TokenCharactersEncoder(TokenEmbedder):
    """Embedded characters, encoded to one vector per token.

    Parameters
    ----------
    embedding : Embedding
    encoder : CnnEncoder or RecurrentEncoder
    dropout : float, default=0.0
    """

    def __init__(
        self, embedding: Embedding, encoder: nn.Module, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self._embedding = TimeDistributed(embedding)
        self._encoder = TimeDistributed(encoder)
        self._dropout = nn.Dropout(p=dropout)

    @classmethod
    def from_params(  # type: ignore[override]  # AllenNLP's signature
        cls, vocab: Any = None, params: Any = None
    ) -> "TokenCharactersEncoder":
        """Build from a configuration with ``embedding``, ``encoder`` and ``dropout``.

        Parameters
        ----------
        vocab : Vocabulary or None
            Has the characters if the embedding has no ``num_embeddings``.
        params : Params or mapping
            Encoders are of the type ``cnn``, ``lstm``, ``gru`` or ``rnn``.
        """
        params = params if isinstance(params, Params) else Params(params)
        params.pop("type", None)
        embedding = params.pop("embedding")
        embedding.params.setdefault("vocab_namespace", CHARACTER_NAMESPACE)
        encoder = params.pop("encoder")
        dropout = params.pop_float("dropout", 0.0)
        params.assert_empty("a 'character_encoding'")
        return cls(
            Embedding.from_params(vocab, embedding),
            _build_encoder(encoder),
            dropout or 0.0,
        )

    def get_output_dim(self) -> int:
        """Return the width of a token's vector."""
        width: Any = self._encoder._module.get_output_dim()  # type: ignore[operator]
        return int(width)

    def forward(self, token_characters: Tensor) -> Tensor:
        """Embed. *Shape:* ``(B, T, n_characters)`` -> ``(B, T, output_dim)``."""
        mask = (token_characters != 0).long()
        vectors = self._encoder(self._embedding(token_characters), mask)
        return self._dropout(vectors)  # type: ignore[no-any-return]


def _build_encoder(params: Params) -> nn.Module:
    kind = params.pop("type", "cnn")
    if kind == "cnn":
        return build(CnnEncoder, params, "an encoder of the type 'cnn'")
    if kind not in _RNNS:
        message = (
            f"The encoder of a 'character_encoding' is of the type {kind!r}; there are "
            f"'cnn', {', '.join(map(repr, _RNNS))}."
        )
        raise InvalidParameterError(message)
    arguments = params.params | {"batch_first": True}
    try:
        return RecurrentEncoder(_RNNS[kind](**arguments))
    except (TypeError, ValueError) as error:
        message = f"The configuration of an encoder of the type {kind!r}: {error}."
        raise InvalidParameterError(message) from error
