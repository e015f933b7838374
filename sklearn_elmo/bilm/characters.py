"""Tokens to character ids: UTF-8 bytes between a begin and an end mark.

The ids are those of AllenNLP's ``ELMoCharacterMapper``: byte b has the id b + 1, and 0
means that there is no token.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

__all__ = [
    "BEGIN_SENTENCE",
    "DEFAULT_MAX_CHARACTERS",
    "END_SENTENCE",
    "N_CHARACTER_IDS",
    "PADDING_ID",
    "token_bytes",
    "token_to_character_ids",
    "tokens_to_character_ids",
]

BEGIN_SENTENCE = "<S>"
END_SENTENCE = "</S>"
DEFAULT_MAX_CHARACTERS = 50

_BEGIN_SENTENCE_ID = 257
_END_SENTENCE_ID = 258
_BEGIN_WORD_ID = 259
_END_WORD_ID = 260
PADDING_ID = 261
N_CHARACTER_IDS = 262


def token_bytes(token: str, max_characters: int = DEFAULT_MAX_CHARACTERS) -> bytes:
    """Return the bytes of a token that the model reads.

    Parameters
    ----------
    token : str
    max_characters : int
        Characters per token, the begin and end marks included.

    Returns
    -------
    bytes
        The first ``max_characters - 2`` bytes in UTF-8, which may end inside a
        character. Lone surrogates have no bytes.

    Examples
    --------
    >>> token_bytes("a" * 1000, max_characters=6)
    b'aaaa'
    """
    n_bytes = max_characters - 2
    encoded = token[:n_bytes].encode("utf-8", "ignore")
    if len(encoded) < n_bytes < len(token):  # lone surrogates at the start
        encoded = token.encode("utf-8", "ignore")
    return encoded[:n_bytes]


def token_to_character_ids(
    token: str | bytes,
    max_characters: int = DEFAULT_MAX_CHARACTERS,
    tokens_to_add: Mapping[str, int] | None = None,
) -> list[int]:
    """Return the character ids of one token.

    Parameters
    ----------
    token : str or bytes
        A string, which may be empty, or what `token_bytes` returned for one. The bytes
        of ``"<S>"`` and ``"</S>"`` are ordinary ones; the strings have ids of their
        own.
    max_characters : int
        Length of the result.
    tokens_to_add : mapping of str to int, optional
        Tokens with a single character id of their own, given without the +1.

    Returns
    -------
    list of int
        ``max_characters`` ids from 1 to 261.

    Examples
    --------
    >>> token_to_character_ids("ab", max_characters=6)
    [259, 98, 99, 260, 261, 261]
    """
    if isinstance(token, bytes):
        inner = [byte + 1 for byte in token]
    elif tokens_to_add is not None and token in tokens_to_add:
        inner = [tokens_to_add[token] + 1]
    elif token == BEGIN_SENTENCE:
        inner = [_BEGIN_SENTENCE_ID]
    elif token == END_SENTENCE:
        inner = [_END_SENTENCE_ID]
    else:
        inner = [byte + 1 for byte in token_bytes(token, max_characters)]
    padding = [PADDING_ID] * (max_characters - 2 - len(inner))
    return [_BEGIN_WORD_ID, *inner, _END_WORD_ID, *padding]


def tokens_to_character_ids(
    tokens: Iterable[str | bytes],
    max_characters: int = DEFAULT_MAX_CHARACTERS,
) -> npt.NDArray[np.int64]:
    """Return the character ids of several tokens; see `token_to_character_ids`.

    Returns
    -------
    ndarray of shape (n_tokens, max_characters), int64
    """
    rows = [token_to_character_ids(token, max_characters) for token in tokens]
    return np.array(rows, dtype=np.int64).reshape(len(rows), max_characters)
