"""Tokens to the ids of their characters, which are counted in a vocabulary."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sklearn_elmo.allennlp.character_ids import text_of
from sklearn_elmo.allennlp.indexers import Indices, Lengths, TokenIndexer
from sklearn_elmo.allennlp.params import Params
from sklearn_elmo.errors import InvalidParameterError

__all__ = ["CHARACTER_NAMESPACE", "TokenCharactersIndexer"]

CHARACTER_NAMESPACE = "token_characters"


@TokenIndexer.register("characters")
class TokenCharactersIndexer(TokenIndexer):
    """Ids of the characters or bytes of each token, as AllenNLP's ``characters``.

    Parameters
    ----------
    namespace : str, default="token_characters"
        Part of the vocabulary that has the characters.
    character_tokenizer : mapping, optional
        ``byte_encoding``: name of an encoding whose bytes take the place of characters;
        byte b has the id b + 1. ``lowercase_characters``: bool. ``start_tokens`` and
        ``end_tokens``: characters, or ids, to add to each token.
    start_tokens, end_tokens : list of str, optional
        Tokens to add before and after each sentence.
    min_padding_length : int, default=0
        Smallest number of characters that tokens are padded to. The widest filter of a
        CNN needs it.
    token_min_padding_length : int, default=0
        Smallest number of tokens that sentences are padded to.
    """

    def __init__(
        self,
        namespace: str = CHARACTER_NAMESPACE,
        character_tokenizer: Mapping[str, Any] | None = None,
        start_tokens: Sequence[str] | None = None,
        end_tokens: Sequence[str] | None = None,
        min_padding_length: int = 0,
        token_min_padding_length: int = 0,
    ) -> None:
        super().__init__(token_min_padding_length)
        settings = Params(character_tokenizer or {})
        self._byte_encoding: str | None = settings.pop("byte_encoding", None)
        self._lowercase = bool(settings.pop_bool("lowercase_characters", False))
        self._first: list[str | int] = settings.pop("start_tokens", None) or []
        self._last: list[str | int] = settings.pop("end_tokens", None) or []
        settings.assert_empty("a 'character_tokenizer'")
        self.namespace = namespace
        self._min_padding_length = min_padding_length
        self._start_tokens = list(start_tokens or [])
        self._end_tokens = list(end_tokens or [])

    @property
    def reads_bytes(self) -> bool:
        """Whether bytes take the place of characters; they need no vocabulary."""
        return self._byte_encoding is not None

    def characters_of(self, token: Any) -> list[str | int]:
        """Return the characters of a token; those that have an id already as int."""
        text = text_of(token)
        if self._lowercase:
            text = text.lower()
        inner: list[str | int] = list(text)
        if self._byte_encoding is not None:
            inner = [byte + 1 for byte in text.encode(self._byte_encoding)]
        return [*self._first, *inner, *self._last]

    def count_vocab_items(self, token: Any, counter: Any) -> None:
        """Count the characters that have no id of their own."""
        for character in self.characters_of(token):
            if isinstance(character, str):
                counter[self.namespace][character] += 1

    def tokens_to_indices(
        self, tokens: Sequence[Any], vocabulary: Any, index_name: str
    ) -> dict[str, list[list[int]]]:
        """Return ``{index_name: one list of ids per token}``."""
        everything = (*self._start_tokens, *tokens, *self._end_tokens)
        return {
            index_name: [
                [self._id_of(c, vocabulary) for c in self.characters_of(token)]
                for token in everything
            ]
        }

    def _id_of(self, character: str | int, vocabulary: Any) -> int:
        if isinstance(character, int):
            return character
        if vocabulary is None:
            message = (
                "A TokenCharactersIndexer needs a vocabulary to look characters up, or "
                "a character_tokenizer with a 'byte_encoding'."
            )
            raise InvalidParameterError(message)
        return int(vocabulary.get_token_index(character, self.namespace))

    def get_padding_lengths(self, token: list[int]) -> dict[str, int]:
        """Return the number of characters that tokens are padded to."""
        return {"num_token_characters": max(len(token), self._min_padding_length)}

    def get_padding_token(self) -> list[int]:
        """Return a token without characters."""
        return []

    def as_padded_tensor(
        self,
        tokens: Indices,
        desired_num_tokens: Lengths,
        padding_lengths: Lengths | None = None,
    ) -> dict[str, Tensor]:
        """Pad or cut tokens and their characters.

        Returns
        -------
        dict of str to Tensor
            *Shape:* ``(desired_num_tokens[key],
            padding_lengths["num_token_characters"])``, int64.
        """
        assert padding_lengths is not None
        n_characters = padding_lengths["num_token_characters"]
        padded = {}
        for key, rows in tokens.items():
            ids = torch.zeros(desired_num_tokens[key], n_characters, dtype=torch.int64)
            for number, row in enumerate(rows[: len(ids)]):
                kept = row[:n_characters]
                ids[number, : len(kept)] = torch.tensor(kept, dtype=torch.int64)
            padded[key] = ids
        return padded
