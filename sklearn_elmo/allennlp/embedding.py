"""One vector per word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.allennlp.token_embedder import TokenEmbedder
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.word_vectors.reader import WordVectors, read_word_vectors

__all__ = ["Embedding", "initial_weights"]


@TokenEmbedder.register("embedding")
class Embedding(TokenEmbedder):
    """A table of word vectors, as AllenNLP's ``embedding``.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
    projection_dim : int, optional
        Width of a learned linear map after the table; none by default.
    weight : Tensor, optional
        The table. Drawn with Xavier's uniform distribution by default.
        *Shape:* ``(num_embeddings, embedding_dim)``.
    padding_index : int, optional
        Row that is 0 and stays 0.
    trainable : bool, default=True
        Whether the table can be trained.

    Examples
    --------
    >>> import torch
    >>> embedding = Embedding(3, 2, weight=torch.ones(3, 2), padding_index=0)
    >>> embedding(torch.tensor([[2, 0]])).tolist()
    [[[1.0, 1.0], [0.0, 0.0]]]
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        projection_dim: int | None = None,
        weight: Tensor | None = None,
        padding_index: int | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        if weight is None:
            weight = nn.init.xavier_uniform_(torch.empty(num_embeddings, embedding_dim))
        elif weight.shape != (num_embeddings, embedding_dim):
            message = (
                f"The weight of an Embedding has the shape {tuple(weight.shape)}; "
                f"expected ({num_embeddings}, {embedding_dim})."
            )
            raise InvalidParameterError(message)
        self.num_embeddings = num_embeddings
        self.padding_index = padding_index
        self.output_dim = projection_dim or embedding_dim
        self.weight = nn.Parameter(weight, requires_grad=trainable)
        if padding_index is not None:
            self.weight.data[padding_index] = 0.0
        self._projection = (
            nn.Linear(embedding_dim, projection_dim) if projection_dim else None
        )

    def get_output_dim(self) -> int:
        """Return the width of a word's vector."""
        return self.output_dim

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed ids. *Shape:* ``(..., T)`` -> ``(..., T, output_dim)``."""
        vectors = nn.functional.embedding(
            inputs, self.weight, padding_idx=self.padding_index
        )
        return vectors if self._projection is None else self._projection(vectors)

    @classmethod
    def from_params(  # type: ignore[override]  # AllenNLP's signature
        cls, vocab: Any = None, params: Any = None
    ) -> "Embedding":
        """Build from a configuration.

        Parameters
        ----------
        vocab : Vocabulary, optional
            Its size is the number of rows if ``num_embeddings`` is not given.
        params : Params or mapping
            Arguments of this class, and ``pretrained_file``: a file of word vectors.
            Words that it lacks are drawn with its mean and standard deviation.
        """
        params = params if isinstance(params, Params) else Params(params)
        params.pop("type", None)
        namespace = params.pop("vocab_namespace", "tokens")
        n_rows = params.pop_int("num_embeddings", None)
        if n_rows is None:
            if vocab is None:
                message = (
                    "The configuration of an 'embedding' has no 'num_embeddings', and "
                    "no vocabulary was passed. Add one of them."
                )
                raise InvalidParameterError(message)
            n_rows = vocab.get_vocab_size(namespace)
        width = params.pop_int("embedding_dim")
        assert width is not None
        weight = None
        file = params.pop("pretrained_file", None)
        if file is not None:
            words = (
                [] if vocab is None else vocab.get_token_to_index_vocabulary(namespace)
            )
            weight = _read_weights(file, list(words), width)
        embedding = cls(
            n_rows,
            width,
            projection_dim=params.pop_int("projection_dim", None),
            weight=weight,
            padding_index=params.pop_int("padding_index", None),
            trainable=bool(params.pop_bool("trainable", True)),
        )
        params.assert_empty("an 'embedding'")
        return embedding


def _read_weights(file: str, words: Sequence[str], width: int) -> Tensor:
    """Return the vectors of a vocabulary's words. *Shape:* ``(n_words, width)``."""
    vectors = read_word_vectors(file, only=set(words))
    if vectors.width != width:
        message = (
            f"The configuration asks for an embedding_dim of {width}, but {file!r} has "
            f"{vectors.width} numbers per word. Correct the configuration."
        )
        raise InvalidParameterError(message)
    return initial_weights(words, vectors, width)


def initial_weights(
    words: Sequence[str],
    vectors: WordVectors | None,
    width: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the vectors of words; words that the file lacks are drawn like the others.

    *Shape:* ``(n_words, width)``.
    """
    drawn: Tensor = torch.randn(len(words), width, generator=generator)
    if vectors is None or len(vectors.matrix) == 0:
        scaled: Tensor = drawn / width**0.5
        return scaled
    matrix = torch.from_numpy(vectors.matrix.astype(np.float32))
    weights: Tensor = drawn * matrix.std(correction=0) + matrix.mean()
    known = [(row, vectors.rows.get(word)) for row, word in enumerate(words)]
    rows = [row for row, source in known if source is not None]
    weights[rows] = matrix[[source for _, source in known if source is not None]]
    return weights
