"""Texts -> token lists, in which every token is a piece of its text.

``"words"`` is NLTK's Penn Treebank word tokenizer with three corrections. NLTK expects
one sentence at a time, so sentence ends inside a text are found first (see
`_detach_sentence_ends`); it rewrites ``"`` to two backticks or two apostrophes, so
tokens are read back from the text; and it knows only the straight apostrophe, so the
typographic one is replaced before.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from sklearn_elmo.errors import InvalidParameterError, TextTypeError, TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.text.containers import check_tokens

TOKENIZERS = ("words", "whitespace", "pretokenized")

Tokenizer = Callable[[Any], list[str]]

# NLTK gets this many characters at once (cut at white space), so that its regular
# expressions stay far from their own time limit of 5 s for any text.
CHUNK_LENGTH = 10_000
LONGEST_WORD = 100_000  # longer runs without white space are cut; ELMo reads 50
MEMO_CHARACTERS = 8 * 2**20  # of texts whose tokens are kept

# A word that NLTK leaves alone. With it at the end, no period of the text is the last
# one of the input, so that only `_detach_sentence_ends` decides about periods.
_SENTINEL = " x"

# They keep their period in any context.
_ABBREVIATION_LIST = (
    "adm al approx apt assn asst ave blvd brig bros capt cf cie cmdr co col comdr "
    "corp cpl dept det dr drs esp esq est etc ext ft gen gov govt hon hr hrs inc "
    "insp jr lb lbs lt ltd maj messrs mfg misc mlle mme mr mrs ms msgr mt mts ph "
    "pres prof pseud pvt rd rep rev sen sens sgt spp sq sr st ste supt tel univ v "
    "viz vs yr yrs"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
# They can also be words at the end of a sentence: they keep their period only before a
# number.
_BEFORE_NUMBER_LIST = (
    "app apr art aug c ca ch chap dec eq feb fig figs fol jan jul jun mar no nos "
    "nov oct op p par pp pt ref sec sect sep sept ver vol vols"
)
_BEFORE_NUMBERS = frozenset(_BEFORE_NUMBER_LIST.split())
_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # U.S, e.g, Ph.D
_LONGEST_ABBREVIATION = 20  # characters to look back from a period

# A single period at the end of a word: before white space, the end, or a mark that is a
# token for NLTK. Group 1 is the first character after all of these.
_MARKS = r"\]\[(){}<>\"'`,;:?!@#$%&*\u00ab\u00bb\u2012-\u2015\u2018\u2019\u201c-\u201e"
_PERIOD = re.compile(
    rf"(?<=[^.\s])\.(?=(?:\s|--|[{_MARKS}]|\Z)[\s{_MARKS}]*+(.)?)", re.DOTALL
)

# U+2018, U+2019 and U+02BC inside a word, or before a clitic that stands alone.
_CURLY_APOSTROPHE = re.compile(
    r"(?<=\w)[\u2018\u2019\u02bc](?=\w)"
    r"|(?<!\w)[\u2018\u2019\u02bc](?=(?:re|ve|ll|[mtsd])\b)",
    re.IGNORECASE,
)
_WORD_END = re.compile(r"(?<=\w)\s")
_NOT_SPACE = re.compile(r"\S")


def words(text: str) -> list[str]:
    r"""Split a text into words and punctuation in the style of the Penn Treebank.

    Parameters
    ----------
    text : str
        Any number of sentences, raw or already tokenized.

    Returns
    -------
    list of str
        Pieces of `text` in order; only white space is lost. Empty for an empty text.
        The time is linear in the length of the text.

    Notes
    -----
    A single period at the end of a word is a separate token, also inside the text,
    unless it belongs to the word: after an abbreviation (``Mr.``, ``etc.``), after
    letters separated by periods (``U.S.``, ``Ph.D.``), after an initial before a word
    (``J. Smith``), and after ``No.``, ``Fig.``, ``Jan.`` and the like before a number.
    Two or more consecutive periods are one token.

    Examples
    --------
    >>> words('Mr. Fox didn\'t eat. "Why?" I asked.')  # doctest: +NORMALIZE_WHITESPACE
    ['Mr.', 'Fox', 'did', "n't", 'eat', '.', '"', 'Why', '?', '"', 'I', 'asked', '.']
    """
    return list(_MEMO.words(text))


def whitespace(text: str) -> list[str]:
    """Split a text at white space.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of str
        As returned by ``str.split``.

    Examples
    --------
    >>> whitespace("It's  fine.")
    ["It's", 'fine.']
    """
    return text.split()


def pretokenized(tokens: list[str]) -> list[str]:
    """Return the tokens of a text that is already tokenized.

    Parameters
    ----------
    tokens : list of str
        One text, as returned by `as_texts` with ``pretokenized=True``.

    Returns
    -------
    list of str
        `tokens` itself; empty and white-space tokens are kept.

    Examples
    --------
    >>> pretokenized(["a", "", "cat"])
    ['a', '', 'cat']
    """
    return tokens


class _Memo:
    """Token lists of recent texts, up to a number of characters.

    A grid search tokenizes the same texts in every fold of every candidate; with a
    cache of embeddings this would be most of the work.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[str]] = {}
        self._spellings: dict[str, str] = {}  # one copy of each token
        self._n_characters = 0

    def words(self, text: str) -> list[str]:
        """Return the tokens of `words`; the list is shared."""
        found = self._lists.get(text)
        if found is not None:
            return found
        tokens = list(_iterate_words(text))
        if len(text) > MEMO_CHARACTERS // 100:
            return tokens
        # No lock, as a fork could leave it locked: threads that race lose some texts or
        # count them twice, which does no harm.
        if self._n_characters + len(text) > MEMO_CHARACTERS:
            self._lists, self._spellings, self._n_characters = {}, {}, 0
        spell = self._spellings.setdefault
        self._lists[text] = tokens = [spell(token, token) for token in tokens]
        self._n_characters += len(text)
        return tokens


_MEMO = _Memo()

_BY_NAME: dict[str, Tokenizer] = {
    "words": words,
    "whitespace": whitespace,
    "pretokenized": pretokenized,
}


def resolve_tokenizer(tokenizer: str | Tokenizer, *, estimator: str) -> Tokenizer:
    """Return the function of a ``tokenizer`` parameter.

    Parameters
    ----------
    tokenizer : {"words", "whitespace", "pretokenized"} or callable
        A callable maps a str to a list of str.
    estimator : str
        Class name that the message speaks of.

    Returns
    -------
    callable
        Maps one text to its tokens. A callable is returned unchanged; `tokenize_texts`
        checks its results.

    Raises
    ------
    InvalidParameterError
        Neither a known name nor callable.

    Examples
    --------
    >>> resolve_tokenizer("whitespace", estimator="ElmoVectorizer")("a cat")
    ['a', 'cat']
    """
    if isinstance(tokenizer, str) and tokenizer in _BY_NAME:
        return _BY_NAME[tokenizer]
    if callable(tokenizer):
        return tokenizer
    names = ", ".join(repr(name) for name in TOKENIZERS)
    message = (
        f"The 'tokenizer' parameter of {estimator} must be a str among {{{names}}} or "
        f"a callable. Got {quote(tokenizer)} instead."
    )
    raise InvalidParameterError(message)


def tokenize_with_spans(
    text: str, tokenizer: str | Tokenizer, *, estimator: str, row: int = 0
) -> list[tuple[str, int, int]]:
    """Tokenize one text, and find its tokens in it.

    Parameters
    ----------
    text : str
    tokenizer : {"words", "whitespace"} or callable
        See `resolve_tokenizer`.
    estimator : str
        Class name for messages.
    row : int, default=0
        Position of the text, for messages.

    Returns
    -------
    list of (str, int, int)
        Token, start and end, such that ``text[start:end]`` is the token.

    Raises
    ------
    TextValueError
        A token does not occur in the text after the token before it.

    Examples
    --------
    >>> tokenize_with_spans("It's fine.", "words", estimator="E")
    [('It', 0, 2), ("'s", 2, 4), ('fine', 5, 9), ('.', 9, 10)]
    """
    (tokens,) = tokenize_texts([text], tokenizer, estimator=estimator, first_row=row)
    spans = []
    end = 0
    for number, token in enumerate(tokens or []):
        start = text.find(token, end)
        if start < 0:
            message = (
                f"Token {number} of row {row}, {quote(token)}, does not occur in the "
                f"text after character {end}; the tokenizer of {estimator} changes "
                "what it splits. Offsets need one that returns pieces of the text."
            )
            raise TextValueError(message)
        end = start + len(token)
        spans.append((token, start, end))
    return spans


def tokenize_texts(
    values: Sequence[Any],
    tokenizer: str | Tokenizer,
    *,
    estimator: str,
    max_tokens: int | None = None,
    first_row: int = 0,
) -> list[list[str] | None]:
    """Tokenize a column of texts, or a part of it.

    Parameters
    ----------
    values : sequence of (str, list of str or None), length n
        As returned by `as_texts`; lists if `tokenizer` is ``"pretokenized"``.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable
        See `resolve_tokenizer`.
    estimator : str
        Name of the class, for messages.
    max_tokens : int or None, default=None
        Number of tokens kept of each text; None keeps all.
    first_row : int, default=0
        Row number of the first text, for messages.

    Returns
    -------
    list of (list of str or None), length n
        The tokens of each text; an empty list for ``""`` and white space, None for a
        missing text. Do not modify the lists: with ``"pretokenized"`` they may be the
        caller's own, with ``"words"`` they are kept for the next call.

    Raises
    ------
    InvalidParameterError
        `tokenizer` is neither a known name nor callable.
    TextTypeError
        A callable returned something other than a list, tuple or 1-D array of str; the
        row is named. Exceptions of the callable itself pass through, with a note that
        names the row.

    Examples
    --------
    >>> tokenize_texts(["a cat sat", None], "words", estimator="E", max_tokens=2)
    [['a', 'cat'], None]
    """
    return list(
        iterate_tokens(
            values,
            tokenizer,
            estimator=estimator,
            max_tokens=max_tokens,
            first_row=first_row,
        )
    )


def iterate_tokens(
    values: Sequence[Any],
    tokenizer: str | Tokenizer,
    *,
    estimator: str,
    max_tokens: int | None = None,
    first_row: int = 0,
) -> Iterator[list[str] | None]:
    """Yield what `tokenize_texts` returns, with the tokens of one text at a time.

    Parameters and errors as in `tokenize_texts`.
    """
    tokenize = resolve_tokenizer(tokenizer, estimator=estimator)
    is_own = tokenize in _BY_NAME.values()
    # islice takes no larger number.
    most = None if max_tokens is None else min(max_tokens, sys.maxsize)
    for row, text in enumerate(values, start=first_row):
        if text is None:
            yield None
        elif tokenize is words:
            if most is None:
                yield _MEMO.words(text)
            else:  # stops reading a long text
                yield list(islice(_iterate_words(text), most))
        else:
            tokens = (
                tokenize(text)
                if is_own
                else _call_tokenizer(tokenize, row, text, estimator)
            )
            yield tokens if most is None else tokens[:most]


def _call_tokenizer(
    tokenizer: Tokenizer, row: int, text: str | list[str], estimator: str
) -> list[str]:
    """Apply a user's tokenizer to one text and check its result."""
    try:
        tokens: Any = tokenizer(text)
    except Exception as error:
        error.add_note(f"Raised by the tokenizer of {estimator} for row {row}.")
        raise
    if isinstance(tokens, np.ndarray) and tokens.ndim == 1:
        tokens = tokens.tolist()
    if isinstance(tokens, (list, tuple)):
        return check_tokens(
            row, tokens, estimator, source="what the tokenizer returned"
        )
    message = (
        f"The tokenizer of {estimator} returned {type(tokens).__name__} "
        f"({quote(tokens)}) for row {row}; expected a list of str. "
        "Return the list of tokens, and [] for a text without tokens."
    )
    raise TextTypeError(message)


def _iterate_words(text: str) -> Iterator[str]:
    """Yield the tokens of a text, chunk by chunk."""
    tokenize = _load_nltk_tokenizer()
    for chunk in _iterate_chunks(text):
        shown = _CURLY_APOSTROPHE.sub("'", chunk)
        tokens = tokenize(_detach_sentence_ends(shown) + _SENTINEL)
        tokens.pop()  # the sentinel
        if shown is chunk and '"' not in chunk and "''" not in chunk:
            yield from tokens  # NLTK has only added spaces
        else:
            yield from _read_back(tokens, chunk)


@cache
def _load_nltk_tokenizer() -> Callable[[str], list[str]]:
    """Import NLTK's tokenizer on first use, because `import nltk` is slow."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize


def _iterate_chunks(text: str) -> Iterator[str]:
    """Cut a text at white space after a word, which no rule looks across."""
    start = 0
    while len(text) - start > CHUNK_LENGTH:
        least = start + CHUNK_LENGTH
        most = least + LONGEST_WORD
        space = _WORD_END.search(text, least, most)
        stop = space.start() if space else min(most, len(text))
        yield text[start:stop]
        start = stop
    yield text[start:]


def _detach_sentence_ends(text: str) -> str:
    """Insert a space before each period that ends a sentence."""
    return _PERIOD.sub(_detach_period, text)


def _detach_period(period: re.Match[str]) -> str:
    """Decide whether the period at the end of a word is a separate token."""
    end = period.start()
    before = period.string[max(0, end - _LONGEST_ABBREVIATION) : end]
    word = before.split()[-1].lstrip("([{<\"'`\u2018\u201c\u201e\u00ab")
    following = period.group(1) or ""
    belongs_to_word = (
        word.lower() in _ABBREVIATIONS
        or _DOTTED.fullmatch(word)
        or (following.isdigit() and word.lower() in _BEFORE_NUMBERS)
        or (following.isalpha() and _is_initial(word))
    )
    return "." if belongs_to_word else " ."


def _is_initial(word: str) -> bool:
    """Return True if a word may be the initial of a name."""
    return len(word) == 1 and word.isupper() and word != "I"


def _read_back(tokens: list[str], text: str) -> Iterator[str]:
    """Yield the pieces of a text that correspond to NLTK's tokens."""
    position = 0
    for token in tokens:
        start = _NOT_SPACE.search(text, position)
        position = start.start() if start else len(text)
        is_rewritten = token in ("``", "''") and text[position : position + 1] == '"'
        length = 1 if is_rewritten else len(token)
        yield text[position : position + length]
        position += length
