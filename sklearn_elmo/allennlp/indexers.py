"""Token indexers: tokens to the ids that an embedder takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sklearn_elmo.allennlp.character_ids import ElmoCharacterMapper, text_of
from sklearn_elmo.allennlp.registrable import Registrable
from sklearn_elmo.allennlp.vocabulary import Vocabulary
from sklearn_elmo.bilm.characters import DEFAULT_MAX_CHARACTERS
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.messages import warn_caller

__all__ = [
    "ELMoTokenCharactersIndexer",
    "SingleIdTokenIndexer",
    "TokenIndexer",
]

Indices = Mapping[str, list[Any]]
Lengths = Mapping[str, int]


class TokenIndexer(Registrable):
    """Base of the token indexers.

    Subclasses get a name in configurations with ``@TokenIndexer.register("name")``.

    Parameters
    ----------
    token_min_padding_length : int, default=0
        Smallest number of tokens that sentences are padded to.
    """

    default_implementation: ClassVar = "single_id"
    _homes: ClassVar = {"characters": "sklearn_elmo.allennlp.character_indexer"}

    def __init__(self, token_min_padding_length: int = 0) -> None:
        self._token_min_padding_length = token_min_padding_length

    def __class_getitem__(cls, token_type: Any) -> type["TokenIndexer"]:
        """Return the class itself, for old code that writes ``TokenIndexer[int]``."""
        return cls

    def count_vocab_items(self, token: Any, counter: Any) -> None:
        """Add the vocabulary items of a token to ``counter[namespace][item]``."""
        raise NotImplementedError

    def tokens_to_indices(
        self, tokens: Sequence[Any], vocabulary: Any, index_name: str
    ) -> dict[str, list[Any]]:
        """Return ``{index_name: one entry per token}``."""
        raise NotImplementedError

    def as_padded_tensor(
        self,
        tokens: Indices,
        desired_num_tokens: Lengths,
        padding_lengths: Lengths | None = None,
    ) -> dict[str, Tensor]:
        """Pad or cut the result of `tokens_to_indices` to a number of tokens."""
        raise NotImplementedError

    def get_padding_token(self) -> Any:
        """Return 0 with a FutureWarning, as AllenNLP 0.9 does; it pads with tensors."""
        warn_caller(
            "get_padding_token is deprecated. Use as_padded_tensor.", FutureWarning
        )
        return 0

    def get_padding_lengths(self, token: Any) -> dict[str, int]:
        """Return the sizes within a token that must be padded; none by default."""
        return {}

    def get_token_min_padding_length(self) -> int:
        """Return `token_min_padding_length`."""
        return self._token_min_padding_length

    def get_keys(self, index_name: str) -> list[str]:
        """Return the keys of the result of `tokens_to_indices`."""
        return [index_name]

    def as_batch(
        self, sentences: Iterable[Sequence[Any]], vocabulary: Vocabulary | None = None
    ) -> Tensor:
        """Return the ids of a batch.

        Parameters
        ----------
        sentences : iterable of token lists
        vocabulary : Vocabulary, optional
            Needed by indexers that look words up.

        Returns
        -------
        Tensor
            *Shape:* ``(B, T)`` or ``(B, T, n_characters)``, int64.
        """
        rows = [
            self.tokens_to_indices(tokens, vocabulary, "ids")["ids"]
            for tokens in sentences
        ]
        least = self._token_min_padding_length if rows else 0
        n_tokens = {"ids": max([least, *map(len, rows)])}
        lengths: dict[str, int] = dict(self.get_padding_lengths([]))
        for row in rows:
            for token in row:
                for name, length in self.get_padding_lengths(token).items():
                    lengths[name] = max(lengths[name], length)
        # An empty row gives the shape of an empty batch.
        padded = [
            self.as_padded_tensor({"ids": row}, n_tokens, lengths)["ids"]
            for row in rows or [[]]
        ]
        return torch.stack(padded)[: len(rows)]

    def __eq__(self, other: object) -> bool:
        """Return whether both are of one class and have the same settings."""
        if type(other) is type(self):
            return self.__dict__ == other.__dict__
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compared by its settings


@TokenIndexer.register("elmo_characters")
class ELMoTokenCharactersIndexer(TokenIndexer):
    """Character ids of tokens, as AllenNLP's indexer ``elmo_characters``.

    Parameters
    ----------
    namespace : str, default="elmo_characters"
        Stored only: characters need no vocabulary.
    tokens_to_add : mapping of str to int, optional
        Tokens that stand for one character of their own. Ids are below 261; the unused
        bytes 1 to 32 are best.
    token_min_padding_length : int, default=0
        Smallest number of tokens that sentences are padded to.

    Examples
    --------
    >>> indexer = ELMoTokenCharactersIndexer()
    >>> ids = indexer.tokens_to_indices(["a"], None, "elmo")["elmo"]
    >>> ids[0][:4]
    [259, 98, 260, 261]
    """

    def __init__(
        self,
        namespace: str = "elmo_characters",
        tokens_to_add: Mapping[str, int] | None = None,
        token_min_padding_length: int = 0,
    ) -> None:
        super().__init__(token_min_padding_length)
        self._namespace = namespace
        self._mapper = ElmoCharacterMapper(tokens_to_add)

    def count_vocab_items(self, token: Any, counter: Any) -> None:
        """Count nothing: there is no vocabulary."""

    def tokens_to_indices(
        self, tokens: Sequence[Any], vocabulary: Any, index_name: str
    ) -> dict[str, list[list[int]]]:
        """Return ``{index_name: 50 ids per token}``; `vocabulary` is not read."""
        convert = self._mapper.convert_word_to_char_ids
        return {index_name: [convert(text_of(token)) for token in tokens]}

    def as_padded_tensor(
        self,
        tokens: Indices,
        desired_num_tokens: Lengths,
        padding_lengths: Lengths | None = None,
    ) -> dict[str, Tensor]:
        """Pad with zeros or cut to a number of tokens.

        Returns
        -------
        dict of str to Tensor
            *Shape:* ``(desired_num_tokens[key], 50)``, int64.
        """
        return {
            key: _padded(rows, (desired_num_tokens[key], DEFAULT_MAX_CHARACTERS))
            for key, rows in tokens.items()
        }

    def pad_token_sequence(
        self,
        tokens: Indices,
        desired_num_tokens: Lengths,
        padding_lengths: Lengths | None = None,
    ) -> dict[str, list[list[int]]]:
        """Pad or cut like `as_padded_tensor`, as lists (AllenNLP 0.8)."""
        tensors = self.as_padded_tensor(tokens, desired_num_tokens, padding_lengths)
        return {key: tensor.tolist() for key, tensor in tensors.items()}


@TokenIndexer.register("single_id")
class SingleIdTokenIndexer(TokenIndexer):
    """One id per word, as AllenNLP's indexer ``single_id``: 0 padding, 1 unknown.

    Parameters
    ----------
    namespace : str, default="tokens"
        Part of the vocabulary that has the words.
    lowercase_tokens : bool, default=False
        Whether words are looked up in lower case.
    start_tokens, end_tokens : list of str, optional
        Words to add before and after each sentence.
    token_min_padding_length : int, default=0
        Smallest number of tokens that sentences are padded to.

    Examples
    --------
    >>> vocabulary = Vocabulary(tokens_to_add={"tokens": ["the", "cat"]})
    >>> indexer = SingleIdTokenIndexer(lowercase_tokens=True)
    >>> indexer.as_batch([["The", "cat", "sat"], ["The"]], vocabulary).tolist()
    [[2, 3, 1], [2, 0, 0]]
    """

    def __init__(
        self,
        namespace: str = "tokens",
        lowercase_tokens: bool = False,
        start_tokens: Sequence[str] | None = None,
        end_tokens: Sequence[str] | None = None,
        token_min_padding_length: int = 0,
    ) -> None:
        super().__init__(token_min_padding_length)
        self.namespace = namespace
        self.lowercase_tokens = lowercase_tokens
        self._start_tokens = list(start_tokens or [])
        self._end_tokens = list(end_tokens or [])

    def count_vocab_items(self, token: Any, counter: Any) -> None:
        """Count the word."""
        if getattr(token, "text_id", None) is None:
            counter[self.namespace][self._word(token)] += 1

    def tokens_to_indices(
        self, tokens: Sequence[Any], vocabulary: Any, index_name: str
    ) -> dict[str, list[int]]:
        """Return ``{index_name: one id per token}``.

        A token with a ``text_id`` has this id.
        """
        if vocabulary is None:
            message = (
                "A SingleIdTokenIndexer needs a vocabulary to look words up. Pass "
                "Vocabulary(tokens_to_add={'tokens': words})."
            )
            raise InvalidParameterError(message)
        ids = []
        for token in (*self._start_tokens, *tokens, *self._end_tokens):
            text_id = getattr(token, "text_id", None)
            if text_id is None:
                text_id = vocabulary.get_token_index(self._word(token), self.namespace)
            ids.append(text_id)
        return {index_name: ids}

    def _word(self, token: Any) -> str:
        text = text_of(token)
        return text.lower() if self.lowercase_tokens else text

    def as_padded_tensor(
        self,
        tokens: Indices,
        desired_num_tokens: Lengths,
        padding_lengths: Lengths | None = None,
    ) -> dict[str, Tensor]:
        """Pad with 0 or cut. *Shape:* ``(desired_num_tokens[key],)``, int64."""
        return {
            key: _padded(ids, (desired_num_tokens[key],)) for key, ids in tokens.items()
        }


def _padded(rows: list[Any], shape: tuple[int, ...]) -> Tensor:
    """Return the first rows in a tensor of zeros."""
    tensor = torch.zeros(shape, dtype=torch.int64)
    kept = rows[: shape[0]]
    if kept:
        tensor[: len(kept)] = torch.tensor(kept)
    return tensor
