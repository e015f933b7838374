"""Texts as their tokens and what is between them."""

from typing import Any, NamedTuple

from sklearn_elmo.errors import InvalidParameterError, TextValueError
from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["Piece", "split_pieces"]


class Piece(NamedTuple):
    """A token, and what is between it and the token before."""

    gap: str
    token: str


def split_pieces(vectorizer: ElmoTokenVectorizer, text: Any) -> list[Piece]:
    """Return the tokens of a text, each with the gap before it.

    Parameters
    ----------
    vectorizer : ElmoTokenVectorizer
    text : str, or list of str with ``tokenizer="pretokenized"``
        Gaps are single spaces if tokens have no place in a text: in a token list, or
        if a callable tokenizer rewrites them.

    Returns
    -------
    list of Piece

    Examples
    --------
    >>> pieces = split_pieces(ElmoTokenVectorizer(), "Don't go.")
    >>> [tuple(piece) for piece in pieces]
    [('', 'Do'), ('', "n't"), (' ', 'go'), ('', '.')]
    """
    # Its type says nothing about return_offsets.
    tokenize: Any = vectorizer.tokenize
    try:
        _, [spans] = tokenize([text], return_offsets=True)
    except (InvalidParameterError, TextValueError):
        [tokens] = tokenize([text])
        return [Piece(" " if i else "", token) for i, token in enumerate(tokens)]
    starts = [start for start, _ in spans]
    ends = [end for _, end in spans]
    return [
        Piece(text[previous:start], text[start:end])
        for previous, start, end in zip([0, *ends], starts, ends, strict=False)
    ]
