"""Tokens to tensors: the biLM's character ids, and ids of whole words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.bilm.characters import DEFAULT_MAX_CHARACTERS, token_to_character_ids
from sklearn_elmo.errors import SklearnElmoWarning, TextTypeError
from sklearn_elmo.messages import quote, warn_caller

__all__ = [
    "PADDING_TOKEN",
    "UNKNOWN_TOKEN",
    "ELMoTokenCharactersIndexer",
    "SingleIdTokenIndexer",
    "TokenTypeError",
    "batch_to_ids",
]

PADDING_TOKEN = "@@PADDING@@"
UNKNOWN_TOKEN = "@@UNKNOWN@@"


class TokenTypeError(TextTypeError, AttributeError):
    """A token is no str; AllenNLP raised AttributeError in its place."""


def batch_to_ids(
    batch: Sequence[Sequence[str]],
    *,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
) -> Tensor:
    """Turn sentences into the character ids that `Elmo` takes.

    Parameters
    ----------
    batch : sequence of token lists
        A sentence that is a bare str is taken letter by letter, as AllenNLP does
        it, with a warning.
    max_characters : int, default=50
        Ids of a token; only models of bilm-tf have other numbers than 50.

    Returns
    -------
    Tensor
        *Shape:* ``(B, T, max_characters)``, int64; T is the longest sentence's
        number of tokens, and 0 stands for no token.

    Raises
    ------
    TextTypeError
        A token is no str; sentence and position are named.

    Examples
    --------
    >>> ids = batch_to_ids([["First", "sentence", "."], ["Another", "."]])
    >>> ids.shape
    torch.Size([2, 3, 50])
    >>> ids[0, 2, :4].tolist()
    [259, 47, 260, 261]
    """
    rows = [
        _sentence_ids(number, sentence, max_characters)
        for number, sentence in enumerate(batch)
    ]
    n_tokens = max(map(len, rows), default=0)
    ids = np.zeros((len(rows), n_tokens, max_characters), dtype=np.int64)
    for number, row in enumerate(rows):
        if row:
            ids[number, : len(row)] = row
    return torch.from_numpy(ids)


def _sentence_ids(
    number: int, sentence: Sequence[str], max_characters: int
) -> list[list[int]]:
    if isinstance(sentence, str):
        warn_caller(
            f"Sentence {number} is a str ({quote(sentence)}), so that each of its "
            "letters counts as a token; give a list of tokens.",
            SklearnElmoWarning,
        )
    ids = []
    for position, token in enumerate(sentence):
        if not isinstance(token, str):
            message = (
                f"Token {position} of sentence {number} is {type(token).__name__} "
                f"({quote(token)}); expected str. Convert it, or leave it out."
            )
            raise TokenTypeError(message)
        ids.append(token_to_character_ids(token, max_characters))
    return ids


def _text_of(token: Any) -> str:
    """Return the text of a str or of an AllenNLP-like token with ``.text``."""
    text = token if isinstance(token, str) else getattr(token, "text", None)
    if not isinstance(text, str):
        message = (
            f"A token has no text ({quote(token)}); expected str or an object whose "
            "'text' is one."
        )
        raise TokenTypeError(message)
    return text


class ELMoTokenCharactersIndexer:
    """Character ids of tokens, as AllenNLP's indexer ``elmo_characters`` has them.

    Parameters
    ----------
    namespace : str, default="elmo_characters"
        Kept, and of no effect: characters need no vocabulary.
    tokens_to_add : mapping of str to int, optional
        Tokens that stand for one character of their own; ids below 261, best the
        unused bytes 1 to 32.
    token_min_padding_length : int, default=0
        Fewest tokens that a padded sentence has.

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
        self._namespace = namespace
        self._tokens_to_add = dict(tokens_to_add or {})
        self._token_min_padding_length = token_min_padding_length

    def count_vocab_items(self, token: Any, counter: dict[str, dict[str, int]]) -> None:
        """Count nothing: there is no vocabulary."""

    def tokens_to_indices(
        self, tokens: Sequence[Any], vocabulary: Any, index_name: str
    ) -> dict[str, list[list[int]]]:
        """Return ``{index_name: one list of 50 ids a token}``."""
        ids = [
            token_to_character_ids(
                _text_of(token), tokens_to_add=self._tokens_to_add or None
            )
            for token in tokens
        ]
        return {index_name: ids}

    def get_padding_token(self) -> list[int]:
        """Return an empty list: `as_padded_tensor` pads with zeros."""
        return []

    def get_padding_lengths(self, token: list[int]) -> dict[str, int]:
        """Return no lengths: every token has as many ids."""
        return {}

    def get_token_min_padding_length(self) -> int:
        """Return `token_min_padding_length`."""
        return self._token_min_padding_length

    def get_keys(self, index_name: str) -> list[str]:
        """Return the one key of `tokens_to_indices`."""
        return [index_name]

    def as_padded_tensor(
        self,
        tokens: Mapping[str, list[list[int]]],
        desired_num_tokens: Mapping[str, int],
        padding_lengths: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Pad or cut to a number of tokens.

        Returns
        -------
        dict of str to Tensor
            *Shape:* ``(desired_num_tokens[key], 50)``, int64.
        """
        padded = {}
        for key, rows in tokens.items():
            n_tokens = max(desired_num_tokens[key], self._token_min_padding_length)
            ids = torch.zeros(n_tokens, DEFAULT_MAX_CHARACTERS, dtype=torch.int64)
            kept = rows[:n_tokens]
            if kept:
                ids[: len(kept)] = torch.tensor(kept)
            padded[key] = ids
        return padded

    def pad_token_sequence(
        self,
        tokens: Mapping[str, list[list[int]]],
        desired_num_tokens: Mapping[str, int],
        padding_lengths: Mapping[str, int] | None = None,
    ) -> dict[str, list[list[int]]]:
        """Pad or cut like `as_padded_tensor`, as lists (AllenNLP 0.8)."""
        tensors = self.as_padded_tensor(tokens, desired_num_tokens, padding_lengths)
        return {key: tensor.tolist() for key, tensor in tensors.items()}

    def as_batch(self, sentences: Iterable[Sequence[Any]]) -> Tensor:
        """Return the ids of a whole batch. *Shape:* ``(B, T, 50)``, int64."""
        rows = [self.tokens_to_indices(tokens, None, "ids") for tokens in sentences]
        longest = {"ids": max((len(row["ids"]) for row in rows), default=0)}
        padded = [self.as_padded_tensor(row, longest)["ids"] for row in rows]
        if padded:
            return torch.stack(padded)
        return torch.zeros(0, 0, DEFAULT_MAX_CHARACTERS, dtype=torch.int64)


class SingleIdTokenIndexer:
    """One id a word, as AllenNLP's indexer ``single_id``: 0 padding, 1 unknown.

    Parameters
    ----------
    words : iterable of str
        The vocabulary in order; the first word that is not special has the id 2.
    lowercase_tokens : bool, default=False
        Look words up in lower case.

    Examples
    --------
    >>> indexer = SingleIdTokenIndexer(["the", "cat"], lowercase_tokens=True)
    >>> indexer.as_batch([["The", "cat", "sat"], ["The"]]).tolist()
    [[2, 3, 1], [2, 0, 0]]
    """

    def __init__(self, words: Iterable[str], lowercase_tokens: bool = False) -> None:
        self.lowercase_tokens = lowercase_tokens
        self.ids = {PADDING_TOKEN: 0, UNKNOWN_TOKEN: 1}
        for word in words:
            self.ids.setdefault(word, len(self.ids))

    def __iter__(self) -> Iterator[str]:
        """Iterate over all words in the order of their ids, the special ones first."""
        return iter(self.ids)

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.ids)

    def id_of(self, token: Any) -> int:
        """Return the id of a token; 1 if it is not in the vocabulary."""
        text = _text_of(token)
        return self.ids.get(text.lower() if self.lowercase_tokens else text, 1)

    def as_batch(self, sentences: Iterable[Sequence[Any]]) -> Tensor:
        """Return the ids of a batch. *Shape:* ``(B, T)``, int64."""
        rows = [[self.id_of(token) for token in tokens] for tokens in sentences]
        ids = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
        return ids
