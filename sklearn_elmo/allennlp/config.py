"""Embedders and indexers from the ``text_field_embedder`` of an AllenNLP config."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.indexers import (
    PADDING_TOKEN,
    UNKNOWN_TOKEN,
    ELMoTokenCharactersIndexer,
    SingleIdTokenIndexer,
)
from sklearn_elmo.allennlp.token_embedder import ElmoTokenEmbedder
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.word_vectors.reader import WordVectors, read_word_vectors

__all__ = ["TextFieldEmbedder", "WordEmbedder", "text_field_embedder"]

Config = Mapping[str, Any]
Indexer = ELMoTokenCharactersIndexer | SingleIdTokenIndexer

_EMBEDDING_KEYS = {
    "type",
    "embedding_dim",
    "pretrained_file",
    "trainable",
    "projection_dim",
    "vocab_namespace",
    "num_embeddings",
}


class WordEmbedder(nn.Module):
    """One vector a word; AllenNLP's ``embedding``.

    Parameters
    ----------
    weights : Tensor
        Row 0 is padding. *Shape:* ``(n_words, width)``.
    trainable : bool, default=True
    projection_dim : int, optional
        Width of a learned linear map; none by default.
    """

    def __init__(
        self, weights: Tensor, trainable: bool = True, projection_dim: int | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights, requires_grad=trainable)
        self.output_dim = projection_dim or weights.shape[1]
        self._projection = (
            nn.Linear(weights.shape[1], projection_dim) if projection_dim else None
        )

    def get_output_dim(self) -> int:
        """Return the width of a word's vector."""
        return self.output_dim

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed ids. *Shape:* ``(..., T)`` -> ``(..., T, output_dim)``."""
        vectors = nn.functional.embedding(inputs, self.weight, padding_idx=0)
        return vectors if self._projection is None else self._projection(vectors)


class TextFieldEmbedder(nn.Module):
    """Several embedders' vectors of the same tokens, side by side.

    Attributes
    ----------
    indexers : dict of str to indexer
        What makes each embedder's ids; the same keys as the embedders.
    """

    def __init__(
        self, embedders: Mapping[str, nn.Module], indexers: Mapping[str, Indexer]
    ) -> None:
        super().__init__()
        self.indexers = dict(indexers)
        for name, embedder in embedders.items():
            # AllenNLP's parameter names.
            self.add_module(f"token_embedder_{name}", embedder)

    def get_output_dim(self) -> int:
        """Return the sum of the embedders' widths."""
        return sum(self._embedder(name).get_output_dim() for name in self.indexers)

    def index(self, sentences: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
        """Turn a batch of token lists into what `forward` takes.

        Examples
        --------
        >>> embedder = text_field_embedder(
        ...     {"tokens": {"type": "embedding", "embedding_dim": 3}},
        ...     vocabulary=["a", "cat"],
        ... )
        >>> embedder.index([["a", "dog"], ["cat"]])["tokens"].tolist()
        [[2, 1], [3, 0]]
        """
        return {
            name: indexer.as_batch(sentences) for name, indexer in self.indexers.items()
        }

    def forward(self, text_field_input: Mapping[str, Tensor]) -> Tensor:
        """Embed a batch.

        Parameters
        ----------
        text_field_input : mapping of str to Tensor
            From `index`.

        Returns
        -------
        Tensor
            *Shape:* ``(B, T, output_dim)``; the embedders in alphabetical order, as in
            AllenNLP.
        """
        vectors = [
            self._embedder(name)(text_field_input[name])
            for name in sorted(self.indexers)
        ]
        return torch.cat(vectors, dim=-1)

    def _embedder(self, name: str) -> Any:
        return self.get_submodule(f"token_embedder_{name}")


def text_field_embedder(
    config: Config,
    token_indexers: Config | None = None,
    *,
    vocabulary: Iterable[str] | None = None,
    random_state: int | None = None,
) -> TextFieldEmbedder:
    """Build the embedders that an AllenNLP config describes.

    Parameters
    ----------
    config : mapping
        The ``text_field_embedder`` part, or a whole config that holds it under
        ``model`` (its encoder and the rest are AllenNLP's, and not built here). Known
        types: ``embedding`` and ``elmo_token_embedder``.
    token_indexers : mapping, optional
        The ``token_indexers`` part of the dataset reader; taken from a whole config
        where there is one. Known types: ``single_id`` and ``elmo_characters``. By
        default each embedder gets the one that fits it.
    vocabulary : iterable of str, optional
        Words that ``embedding`` knows; all those of its ``pretrained_file`` by default.
    random_state : int, optional
        Seed of the vectors that no file has; the words' vectors of a file give mean
        and spread.

    Returns
    -------
    TextFieldEmbedder
        A torch module with ``indexers``; its width is the sum of the parts' widths.

    Raises
    ------
    InvalidParameterError
        A type or key that is not known here, with the ones that are.

    Examples
    --------
    >>> embedder = text_field_embedder(
    ...     {
    ...         "tokens": {"type": "embedding", "pretrained_file": "glove.txt.gz"},
    ...         "elmo": {"type": "elmo_token_embedder", "dropout": 0.5},
    ...     },
    ...     {
    ...         "tokens": {"type": "single_id", "lowercase_tokens": True},
    ...         "elmo": {"type": "elmo_characters"},
    ...     },
    ... )  # doctest: +SKIP
    >>> embedder(embedder.index([["Hello", "world"]])).shape  # doctest: +SKIP
    torch.Size([1, 2, 1124])
    """
    embedder_configs, found_indexers = _find_parts(config)
    indexer_configs = dict(token_indexers or found_indexers)
    words = None if vocabulary is None else list(vocabulary)
    generator = torch.Generator()
    if random_state is not None:
        generator.manual_seed(random_state)
    embedders: dict[str, nn.Module] = {}
    indexers: dict[str, Indexer] = {}
    for name, part in embedder_configs.items():
        kind = part.get("type", "embedding")
        builder = _BUILDERS.get(kind)
        if builder is None:
            raise InvalidParameterError(_unknown_type(name, kind))
        indexer = _check_indexer(name, kind, indexer_configs.get(name, {}))
        embedders[name], indexers[name] = builder(part, indexer, words, generator)
    return TextFieldEmbedder(embedders, indexers)


def _find_parts(config: Config) -> tuple[Config, Config]:
    """Return the embedders' and the indexers' configs."""
    indexers = config.get("dataset_reader", {}).get("token_indexers", {})
    for key in ("model", "text_field_embedder", "token_embedders"):
        config = config.get(key, config)
    parts = {}
    for name, part in config.items():
        if isinstance(part, Mapping) and name not in ("dataset_reader", "model"):
            parts[name] = part
        elif name not in ("type", "allow_unmatched_keys"):
            message = (
                f"The config's {name!r} is {part!r}; expected token embedders, each a "
                "dict with a 'type'. Pass the 'text_field_embedder' part."
            )
            raise InvalidParameterError(message)
    if not parts:
        message = "The config has no token embedders. Pass its 'text_field_embedder'."
        raise InvalidParameterError(message)
    return parts, indexers


def _unknown_type(name: str, kind: Any) -> str:
    known = " and ".join(_BUILDERS)
    if kind in ("alternating_lstm", "stacked_bidirectional_lstm", "lstm", "gru"):
        return (
            f"{name!r} is of the type {kind!r}, an encoder of AllenNLP's own that "
            f"stays out of this package; only embedders are built here ({known}). Feed "
            "their output to an encoder of yours, for example torch.nn.LSTM."
        )
    return (
        f"{name!r} is of the type {kind!r}, which is not known here; there are {known}."
    )


def _check_indexer(name: str, kind: str, config: Config) -> Config:
    """Make sure that an embedder's indexer is the one that it can read."""
    expected = {"embedding": "single_id", "elmo_token_embedder": "elmo_characters"}
    found = config.get("type", expected[kind])
    if found != expected[kind]:
        message = (
            f"The token indexer {name!r} is of the type {found!r}; the embedder "
            f"{kind!r} needs {expected[kind]!r}."
        )
        raise InvalidParameterError(message)
    return config


def _build_elmo(
    config: Config,
    indexer_config: Config,
    vocabulary: Sequence[str] | None,
    generator: torch.Generator,
) -> tuple[nn.Module, Indexer]:
    words = None
    if vocabulary is not None:
        words = [PADDING_TOKEN, UNKNOWN_TOKEN, *vocabulary]
    allowed = {"namespace", "tokens_to_add", "token_min_padding_length"}
    arguments = {key: indexer_config[key] for key in allowed & set(indexer_config)}
    return (
        ElmoTokenEmbedder.from_config(config, words),
        ELMoTokenCharactersIndexer(**arguments),
    )


def _build_embedding(
    config: Config,
    indexer_config: Config,
    vocabulary: Sequence[str] | None,
    generator: torch.Generator,
) -> tuple[nn.Module, Indexer]:
    if unknown := set(config) - _EMBEDDING_KEYS:
        message = (
            f"The key {min(unknown)!r} of an 'embedding' is not known here; there are "
            f"{', '.join(sorted(_EMBEDDING_KEYS))}."
        )
        raise InvalidParameterError(message)
    file: str | None = config.get("pretrained_file")
    if file is None and vocabulary is None:
        message = (
            "An 'embedding' without a pretrained_file needs the words to embed; pass "
            "them as 'vocabulary'."
        )
        raise InvalidParameterError(message)
    lowercase = bool(indexer_config.get("lowercase_tokens", False))
    words = None
    if vocabulary is not None:
        words = [word.lower() if lowercase else word for word in vocabulary]
    vectors = None
    if file is not None:
        vectors = read_word_vectors(file, only=None if words is None else set(words))
        words = words or list(vectors.rows)
    indexer = SingleIdTokenIndexer(words or [], lowercase)
    width = config.get("embedding_dim", vectors.width if vectors else None)
    if width is None or (vectors is not None and vectors.width != width):
        found = vectors.width if vectors else "no"
        message = (
            f"The config asks for an embedding_dim of {width}, but the file has "
            f"{found} numbers a word. Correct the config."
        )
        raise InvalidParameterError(message)
    weights = _initial_weights(indexer, vectors, width, generator)
    embedder = WordEmbedder(
        weights, config.get("trainable", True), config.get("projection_dim")
    )
    return embedder, indexer


def _initial_weights(
    indexer: SingleIdTokenIndexer,
    vectors: WordVectors | None,
    width: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the words' vectors; those that the file lacks are drawn like the others.

    *Shape:* ``(n_words, width)``; row 0, padding, is 0.
    """
    drawn: Tensor = torch.randn(len(indexer), width, generator=generator)
    weights: Tensor
    if vectors is None or len(vectors.matrix) == 0:
        weights = drawn / width**0.5
    else:
        matrix = torch.from_numpy(vectors.matrix.astype(np.float32))
        weights = drawn * matrix.std(correction=0) + matrix.mean()
        known = [(row, vectors.rows.get(word)) for row, word in enumerate(indexer)]
        pairs = [(row, source) for row, source in known if source is not None]
        rows, sources = (list(part) for part in zip(*pairs, strict=True))
        weights[rows] = matrix[sources]
    weights[0] = 0.0
    return weights


_Builder = Callable[
    [Config, Config, Sequence[str] | None, torch.Generator], tuple[nn.Module, Indexer]
]
_BUILDERS: dict[str, _Builder] = {
    "embedding": _build_embedding,
    "elmo_token_embedder": _build_elmo,
}
