"""Texts -> token lists, in which every token is a piece of its text.

``"words"`` is NLTK's Penn-Treebank-like word tokenizer with three repairs. NLTK
expects one sentence at a time, so here sentence ends inside a text are found
first (see `_detach_sentence_ends`); it rewrites ``"`` to two backticks or two
apostrophes, so tokens are read back from the text; and it knows only the straight
apostrophe, so the typographic one is shown to it as such.
"""

import re
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

# NLTK sees this many characters at once (cut at white space), so that its regular
# expressions never come near their own time limit of 5 s, whatever the text.
CHUNK_LENGTH = 10_000
LONGEST_WORD = 100_000  # a run without white space is cut here; ELMo reads 50
MEMO_CHARACTERS = 8 * 2**20  # of texts whose tokens are kept

# A word that NLTK leaves alone. Behind it no period of the text is the last one
# of the input, so that `_detach_sentence_ends` alone decides about periods.
_SENTINEL = " x"

# Their period stays with them whatever follows.
_ABBREVIATION_LIST = (
    "adm al approx apt assn asst ave blvd brig bros capt cf cie cmdr co col comdr "
    "corp cpl dept det dr drs esp esq est etc ext ft gen gov govt hon hr hrs inc "
    "insp jr lb lbs lt ltd maj messrs mfg misc mlle mme mr mrs ms msgr mt mts ph "
    "pres prof pseud pvt rd rep rev sen sens sgt spp sq sr st ste supt tel univ v "
    "viz vs yr yrs"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
# Words and sentence ends too: their period stays with them before a number only.
_BEFORE_NUMBER_LIST = (
    "app apr art aug c ca ch chap dec eq feb fig figs fol jan jul jun mar no nos "
    "nov oct op p par pp pt ref sec sect sep sept ver vol vols"
)
_BEFORE_NUMBERS = frozenset(_BEFORE_NUMBER_LIST.split())
_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # U.S, e.g, Ph.D
_LONGEST_ABBREVIATION = 20  # characters to look back from a period

# A single period at the end of a word: before white space, the end, or a mark that
# NLTK makes a token of. Group 1 is the first character behind all of these.
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
    r"""Split a text into words and punctuation, Penn Treebank fashion.

    Parameters
    ----------
    text : str
        Any text, of any number of sentences, raw or tokenised already.

    Returns
    -------
    list of str
        Pieces of `text` in its order; only white space is lost. Empty for an
        empty text. The time taken is linear in the length of the text.

    Notes
    -----
    A single period at the end of a word is a token of its own, also inside the
    text, unless it belongs to the word: after an abbreviation (``Mr.``, ``etc.``),
    after letters with periods between (``U.S.``, ``Ph.D.``), after an initial
    before a word (``J. Smith``), and after ``No.``, ``Fig.``, ``Jan.`` and the
    like before a number. Two and more periods in a row are one token.

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
        As ``str.split`` gives them.

    Examples
    --------
    >>> whitespace("It's  fine.")
    ["It's", 'fine.']
    """
    return text.split()


def pretokenized(tokens: list[str]) -> list[str]:
    """Give back the tokens of a text that is tokenised already.

    Parameters
    ----------
    tokens : list of str
        One text, as `as_texts` gives it with ``pretokenized=True``.

    Returns
    -------
    list of str
        `tokens` itself; empty and white-space tokens stay.

    Examples
    --------
    >>> pretokenized(["a", "", "cat"])
    ['a', '', 'cat']
    """
    return tokens


class _Memo:
    """Token lists of the texts met last, for as many characters as there is room.

    A grid search tokenises the same texts in every fold of every candidate, and with a
    cache of embeddings that would be all the work there is.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[str]] = {}
        self._spellings: dict[str, str] = {}  # one copy of each token
        self._n_characters = 0

    def words(self, text: str) -> list[str]:
        """Return the tokens that `words` finds; the list is shared."""
        found = self._lists.get(text)
        if found is not None:
            return found
        tokens = list(_iterate_words(text))
        if len(text) > MEMO_CHARACTERS // 100:
            return tokens
        # No lock, which a fork could leave locked: threads that meet here lose at most
        # some texts, or count them twice.
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
    """Find the function that a ``tokenizer`` parameter stands for.

    Parameters
    ----------
    tokenizer : {"words", "whitespace", "pretokenized"} or callable
        A callable maps a str to a list of str.
    estimator : str
        Class name that the message speaks of.

    Returns
    -------
    callable
        Maps one text to its tokens. A callable comes back as it is:
        `tokenize_texts` checks what it returns.

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
    """Tokenise a column of texts, or a part of one.

    Parameters
    ----------
    values : sequence of (str, list of str or None), length n
        What `as_texts` returned; lists if `tokenizer` is ``"pretokenized"``.
    tokenizer : {"words", "whitespace", "pretokenized"} or callable
        See `resolve_tokenizer`.
    estimator : str
        Class name that messages speak of.
    max_tokens : int or None, default=None
        Keep this many tokens of each text; None keeps all.
    first_row : int, default=0
        Number that messages give to the first text.

    Returns
    -------
    list of (list of str or None), length n
        The tokens of each text, an empty list for ``""`` and white space, None
        for a missing text. Do not change the lists: with ``"pretokenized"`` they
        may be the caller's own, with ``"words"`` they are kept for the next call.

    Raises
    ------
    InvalidParameterError
        `tokenizer` is neither a known name nor callable.
    TextTypeError
        A callable returned something else than a list, tuple or 1-D array of
        str; names the text's row. What a callable raises itself passes through,
        with a note that names the row.

    Examples
    --------
    >>> tokenize_texts(["a cat sat", None], "words", estimator="E", max_tokens=2)
    [['a', 'cat'], None]
    """
    tokenize = resolve_tokenizer(tokenizer, estimator=estimator)
    if tokenize is words:  # stops reading a long text after max_tokens
        if max_tokens is None:
            return [None if text is None else _MEMO.words(text) for text in values]
        return [
            None if text is None else list(islice(_iterate_words(text), max_tokens))
            for text in values
        ]
    is_own = tokenize in _BY_NAME.values()
    token_lists: list[list[str] | None] = []
    for row, text in enumerate(values, start=first_row):
        if text is None:
            token_lists.append(None)
            continue
        if is_own:
            tokens = tokenize(text)
        else:
            tokens = _call_tokenizer(tokenize, row, text, estimator)
        token_lists.append(tokens if max_tokens is None else tokens[:max_tokens])
    return token_lists


def _call_tokenizer(
    tokenizer: Tokenizer, row: int, text: str | list[str], estimator: str
) -> list[str]:
    """Apply a user's tokenizer to one text and check what it returns."""
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
        f"({quote(tokens)}) for row {row}; it must return a list of str. "
        "Return a list of the tokens, and [] for a text without any."
    )
    raise TextTypeError(message)


def _iterate_words(text: str) -> Iterator[str]:
    """Yield the tokens of a text, reading it in chunks."""
    tokenize = _load_nltk_tokenizer()
    for chunk in _iterate_chunks(text):
        shown = _CURLY_APOSTROPHE.sub("'", chunk)
        tokens = tokenize(_detach_sentence_ends(shown) + _SENTINEL)
        tokens.pop()  # the sentinel
        if shown is chunk and '"' not in chunk and "''" not in chunk:
            yield from tokens  # NLTK has put in spaces, nothing else
        else:
            yield from _read_back(tokens, chunk)


@cache
def _load_nltk_tokenizer() -> Callable[[str], list[str]]:
    """Import NLTK's tokenizer at its first use: `import nltk` takes its time."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize


def _iterate_chunks(text: str) -> Iterator[str]:
    """Cut a text at white space after a word, where no rule looks across."""
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
    """Put a space before each period that ends a sentence."""
    return _PERIOD.sub(_detach_period, text)


def _detach_period(period: re.Match[str]) -> str:
    """Decide whether a word-final period is a token of its own."""
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
    """Tell whether a word may be the first letter of a name."""
    return len(word) == 1 and word.isupper() and word != "I"


def _read_back(tokens: list[str], text: str) -> Iterator[str]:
    """Yield the pieces of a text that NLTK's tokens stand for."""
    position = 0
    for token in tokens:
        start = _NOT_SPACE.search(text, position)
        position = start.start() if start else len(text)
        is_rewritten = token in ("``", "''") and text[position : position + 1] == '"'
        length = 1 if is_rewritten else len(token)
        yield text[position : position + length]
        position += length
