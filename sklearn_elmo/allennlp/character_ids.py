"""Tokens to the character ids that a biLM reads."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sklearn_elmo.bilm.characters import (
    BEGIN_SENTENCE,
    DEFAULT_MAX_CHARACTERS,
    END_SENTENCE,
    token_to_character_ids,
)
from sklearn_elmo.errors import SklearnElmoWarning, TextTypeError
from sklearn_elmo.messages import quote, warn_caller

__all__ = [
    "ElmoCharacterMapper",
    "TokenTypeError",
    "batch_to_ids",
    "make_boundary_characters",
    "text_of",
]


class TokenTypeError(TextTypeError, AttributeError):
    """A token is not a string; AllenNLP raised AttributeError in its place."""


def batch_to_ids(
    batch: Sequence[Sequence[Any]],
    *,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
) -> Tensor:
    """Turn sentences into the character ids that `Elmo` takes.

    Parameters
    ----------
    batch : sequence of token lists
        Tokens are strings, or objects whose ``text`` is one, such as spaCy's. A
        sentence that is a bare str is taken letter by letter, as AllenNLP does it, with
        a warning.
    max_characters : int, default=50
        Number of ids per token; only models of bilm-tf have other numbers than 50.

    Returns
    -------
    Tensor
        *Shape:* ``(B, T, max_characters)``, int64; T is the number of tokens of the
        longest sentence, and 0 stands for no token.

    Raises
    ------
    TextTypeError
        If a token is not a string; the message names sentence and position.

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
    number: int, sentence: Sequence[Any], max_characters: int
) -> list[list[int]]:
    if isinstance(sentence, str):
        warn_caller(
            f"Sentence {number} is a str ({quote(sentence)}), so that each of its "
            "letters counts as a token. Pass a list of tokens.",
            SklearnElmoWarning,
        )
    return [
        token_to_character_ids(
            text_of(token, f"Token {position} of sentence {number}"), max_characters
        )
        for position, token in enumerate(sentence)
    ]


def text_of(token: Any, place: str = "A token") -> str:
    """Return the text of a str or of an object with ``text``, such as spaCy's tokens.

    Parameters
    ----------
    token : str or object
    place : str
        What to call the token in a message.

    Raises
    ------
    TokenTypeError
        If the token has no text.
    """
    text = token if isinstance(token, str) else getattr(token, "text", None)
    if not isinstance(text, str):
        message = (
            f"{place} is {type(token).__name__} ({quote(token)}); expected str, or an "
            "object whose 'text' is one. Convert it, or leave it out."
        )
        raise TokenTypeError(message)
    return text


def make_boundary_characters(
    character: int,
    padding_character: int,
    beginning_of_word_character: int,
    end_of_word_character: int,
    max_word_length: int,
) -> list[int]:
    """Return the character ids of a word of one character, such as ``<S>``.

    Character mappers of old code call it by AllenNLP's name ``_make_bos_eos``.
    """
    ids = [beginning_of_word_character, character, end_of_word_character]
    return ids + [padding_character] * (max_word_length - len(ids))


class _FixedConstants(type):
    """Class of classes whose constants cannot be set."""

    def __setattr__(cls, name: str, value: Any) -> None:
        message = (
            f"{cls.__name__}.{name} cannot be set: the new value would have no effect. "
            "Pass max_characters to batch_to_ids, or write a mapper of your own."
        )
        raise AttributeError(message)


class ElmoCharacterMapper(metaclass=_FixedConstants):
    """Character ids of words, with the constants of AllenNLP's ``ELMoCharacterMapper``.

    The constants are raw ids. `convert_word_to_char_ids` adds 1 to all of them, so that
    0 can stand for padding.

    Parameters
    ----------
    tokens_to_add : mapping of str to int, optional
        Tokens that stand for one raw character id of their own.

    Examples
    --------
    >>> ElmoCharacterMapper().convert_word_to_char_ids("a")[:4]
    [259, 98, 260, 261]
    """

    max_word_length: ClassVar = DEFAULT_MAX_CHARACTERS
    beginning_of_sentence_character: ClassVar = 256
    end_of_sentence_character: ClassVar = 257
    beginning_of_word_character: ClassVar = 258
    end_of_word_character: ClassVar = 259
    padding_character: ClassVar = 260
    bos_token: ClassVar = BEGIN_SENTENCE
    eos_token: ClassVar = END_SENTENCE
    beginning_of_sentence_characters: ClassVar = make_boundary_characters(
        256, 260, 258, 259, DEFAULT_MAX_CHARACTERS
    )
    end_of_sentence_characters: ClassVar = make_boundary_characters(
        257, 260, 258, 259, DEFAULT_MAX_CHARACTERS
    )

    def __init__(self, tokens_to_add: Mapping[str, int] | None = None) -> None:
        self.tokens_to_add = dict(tokens_to_add or {})

    def convert_word_to_char_ids(
        self: "ElmoCharacterMapper | str", word: str | None = None
    ) -> list[int]:
        """Return the 50 character ids of a word, 1 to 261.

        Can be called on the class, too: until AllenNLP 0.4 it was a static method.
        """
        if isinstance(self, str):
            return token_to_character_ids(self)
        if word is None:
            message = "convert_word_to_char_ids needs a word."
            raise TokenTypeError(message)
        return token_to_character_ids(word, tokens_to_add=self.tokens_to_add or None)

    def __eq__(self, other: object) -> bool:
        """Return whether both map all words to the same ids."""
        if isinstance(other, ElmoCharacterMapper):
            return self.tokens_to_add == other.tokens_to_add
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # tokens_to_add can change
