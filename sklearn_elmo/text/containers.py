"""Any column of texts -> a list of str, with the messages for bad input.

A text is a str, or a list of str (tokens) if the caller asks for token lists; a missing
text (None, NaN, ``pd.NA``) becomes None. Data frame libraries are never imported here:
an object can only belong to one that is in ``sys.modules`` already.
"""

import sys
from collections.abc import Iterable, Mapping, Set
from numbers import Number
from typing import Any

import numpy as np

from sklearn_elmo.errors import TextTypeError, TextValueError
from sklearn_elmo.messages import quote


def as_texts(
    X: Any,
    *,
    estimator: str,
    pretokenized: bool = False,
    refuse_missing: bool = False,
) -> list[str | list[str] | None]:
    """List the texts of a container.

    Parameters
    ----------
    X : iterable
        List, tuple, generator or other iterable; numpy array (object, ``U``,
        ``StringDType``); pandas, polars or pyarrow column of any text type,
        categories included. A frame or array of shape ``(n, 1)`` counts as its
        column. An iterator is read once, to its end.
    estimator : str
        Name of the class, for messages.
    pretokenized : bool, default=False
        Whether every text is a list, tuple or 1-D array of str, or of objects whose
        ``text`` is one, such as spaCy's tokens and documents. A 2-D array of more than
        one column is refused, even one of str: its rows could be texts of equal length,
        or its columns features. A *list* of token lists of equal length is accepted.
    refuse_missing : bool, default=False
        Whether a missing text is an error.

    Returns
    -------
    list of (str, list of str or None), length n
        A new list of the caller's own str objects; None where a text is missing.
        Subclasses of str (``np.str_``, enums) become plain str. A token list may be the
        caller's own list: do not modify it.

    Raises
    ------
    TextValueError
        A bare str, a 0-d array, a frame or array that is not one column, or a
        missing text if `refuse_missing`; names its row.
    TextTypeError
        A container without order (dict, set) or of no texts (sparse matrix,
        bytes), or an element that is not a text; names its row, type and value.

    Examples
    --------
    >>> as_texts(("a cat", None, float("nan")), estimator="ElmoVectorizer")
    ['a cat', None, None]
    >>> as_texts([["a", "cat"]], estimator="ElmoVectorizer", pretokenized=True)
    [['a', 'cat']]
    """
    values = _list_elements(X, estimator, pretokenized)
    if pretokenized:
        values = [_as_tokens(row, value, estimator) for row, value in enumerate(values)]
    elif not set(map(type, values)) <= {str, type(None)}:
        values = [_as_text(row, value, estimator) for row, value in enumerate(values)]
    if refuse_missing and None in values:
        message = (
            f"Row {values.index(None)} of the input is missing (None, NaN or NA), "
            f"which {estimator} refuses with missing='error'. Fill it, drop it, or set "
            "missing='zero'."
        )
        raise TextValueError(message)
    return values


def is_missing(value: Any) -> bool:
    """Return True if an element is a missing text.

    Parameters
    ----------
    value : object
        One element of a column.

    Returns
    -------
    bool
        True for None, NaN of any float type, ``pd.NA`` and ``pd.NaT``.

    Examples
    --------
    >>> is_missing(float("nan")), is_missing("")
    (True, False)
    """
    if value is None:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)  # only NaN differs from itself
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _list_elements(X: Any, estimator: str, pretokenized: bool) -> list[Any]:
    """List the elements of a container, of any type."""
    _refuse_non_columns(X, estimator)
    if isinstance(X, np.ndarray):
        return _list_array(X, estimator, pretokenized)
    if (column := _list_library_column(X, estimator)) is not None:
        return column
    try:
        elements = iter(X)
    except TypeError as cause:
        message = (
            f"The input is {_name_type(X)} ({quote(X)}); {estimator} needs an "
            "iterable of texts. Pass a list, array, Series or generator of str."
        )
        raise TextTypeError(message) from cause
    return list(elements)


def _refuse_non_columns(X: Any, estimator: str) -> None:
    """Raise for iterables that are not a column of texts."""
    if isinstance(X, str):
        message = (
            f"The input is a bare str ({quote(X)}); {estimator} needs an iterable "
            "of texts. Pass [text] for a single text."
        )
        raise TextValueError(message)
    if isinstance(X, (bytes, bytearray, memoryview)):
        message = (
            f"The input is {_name_type(X)} ({quote(X)}); {estimator} needs an "
            "iterable of str. Decode it, e.g. with .decode('utf-8'), and pass [text]."
        )
        raise TextTypeError(message)
    if isinstance(X, (Mapping, Set)):
        message = (
            f"The input is {_name_type(X)} of {len(X)} elements; {estimator} needs "
            "texts in a fixed order, one per row. Pass a list, e.g. list(X.values()) "
            "of a dict or sorted(X) of a set."
        )
        raise TextTypeError(message)
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(X):
        message = (
            f"The input is a sparse matrix of shape {X.shape}; {estimator} needs "
            "texts, not numbers. Pass the column of str that the matrix was made from."
        )
        raise TextTypeError(message)


def _list_array(X: np.ndarray, estimator: str, pretokenized: bool) -> list[Any]:
    """List the elements of an array of shape (n,) or (n, 1)."""
    if X.ndim == 1:
        return list(X.tolist())
    if X.ndim == 2 and X.shape[1] == 1:
        return [row[0] for row in X.tolist()]
    if X.ndim == 0:
        message = (
            f"The input is a 0-d array ({quote(X.item())}); {estimator} needs an "
            "iterable of texts. Pass [text] for a single text."
        )
        raise TextValueError(message)
    if pretokenized and X.dtype.kind in "OUT":
        message = (
            f"The input is an array of shape {X.shape}; {estimator} cannot tell "
            "tokens from columns. Pass X.tolist() if each row holds the "
            "tokens of one text, or select one column, e.g. with a ColumnTransformer."
        )
        raise TextValueError(message)
    raise _not_one_column(X.shape, estimator)


def _list_library_column(X: Any, estimator: str) -> list[Any] | None:
    """List the elements of a pandas, polars or pyarrow object; None for others."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(X, pandas.DataFrame):
            _check_one_column(X.shape, estimator)
            return list(X.iloc[:, 0].tolist())
        if isinstance(X, (pandas.Series, pandas.Index)):
            return list(X.tolist())
    polars = sys.modules.get("polars")
    if polars is not None:
        if isinstance(X, polars.DataFrame):
            _check_one_column(X.shape, estimator)
            return list(X.to_series(0).to_list())
        if isinstance(X, polars.Series):
            return list(X.to_list())
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None:
        if isinstance(X, pyarrow.Table):
            _check_one_column(X.shape, estimator)
            return list(X.column(0).to_pylist())
        if isinstance(X, (pyarrow.Array, pyarrow.ChunkedArray)):
            return list(X.to_pylist())
    # Iterating over any other frame yields its column names: silently wrong.
    if hasattr(X, "__dataframe__") or hasattr(X, "collect_schema"):
        message = (
            f"The input is {_name_type(X)}; {estimator} needs one column of texts. "
            "Pass a list, or a pandas or polars Series (collect a lazy frame first)."
        )
        raise TextTypeError(message)
    return None


def _check_one_column(shape: tuple[int, ...], estimator: str) -> None:
    """Raise unless a frame has exactly one column."""
    if shape[1] != 1:
        raise _not_one_column(shape, estimator)


def _not_one_column(shape: tuple[int, ...], estimator: str) -> TextValueError:
    """Return the error for a frame or array that is not one column."""
    return TextValueError(
        f"The input has shape {shape}; {estimator} needs one column of texts. "
        "Select it, e.g. X['text'], or name it in a ColumnTransformer: "
        f"ColumnTransformer([('text', {estimator}(), 'text')]), with one entry per "
        "column of texts."
    )


def _as_text(row: int, value: Any, estimator: str) -> str | None:
    """Convert one element to a plain str or None."""
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if is_missing(value):
        return None
    message = (
        f"Row {row} of the input is {_name_type(value)} ({quote(value)}); "
        f"{estimator} needs str. {_advise(value)}"
    )
    raise TextTypeError(message)


def _as_tokens(row: int, value: Any, estimator: str) -> list[str] | None:
    """Convert one element to a list of plain str or None."""
    if type(value) is list and set(map(type, value)) <= {str}:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    elif (column := _list_inner_column(value)) is not None:
        value = column
    elif isinstance(getattr(value, "text", None), str) and isinstance(value, Iterable):
        value = list(value)  # a document of spaCy's, or a part of one
    if isinstance(value, (list, tuple)):
        return check_tokens(row, value, estimator)
    if is_missing(value):
        return None
    message = (
        f"Row {row} of the input is {_name_type(value)} ({quote(value)}); {estimator} "
        'with tokenizer="pretokenized" needs a list of str. '
    )
    if isinstance(value, str):
        message += (
            "Split it, e.g. with .split(), wrap a single text as [tokens], or set "
            'tokenizer="words".'
        )
    else:
        message += "Pass a list of tokens, or None for a missing text."
    raise TextTypeError(message)


def check_tokens(
    row: int,
    tokens: list[Any] | tuple[Any, ...],
    estimator: str,
    source: str = "the input",
) -> list[str]:
    """Return the tokens of a text as str; refuse what is none.

    Parameters
    ----------
    row : int
        Position of the text, for the message.
    tokens : list or tuple
        The tokens of one text: str, or objects whose ``text`` is one, such as spaCy's.
    estimator : str
        Name of the class, for the message.
    source : str, default="the input"
        Where the tokens come from, for the message.

    Returns
    -------
    list of str
        `tokens` itself if it is a list of plain str, otherwise a new list.

    Raises
    ------
    TextTypeError
        A token is neither; names row, token position, type and value.

    Examples
    --------
    >>> check_tokens(0, ("a", "cat"), "ElmoVectorizer")
    ['a', 'cat']
    """
    if set(map(type, tokens)) <= {str}:
        return tokens if type(tokens) is list else list(tokens)
    texts = []
    for position, token in enumerate(tokens):
        text = token if isinstance(token, str) else getattr(token, "text", None)
        if not isinstance(text, str):
            message = (
                f"Token {position} of row {row} of {source} is {_name_type(token)} "
                f"({quote(token)}); {estimator} needs tokens that are str. "
                f"{_advise_token(token)}"
            )
            raise TextTypeError(message)
        texts.append(str.__str__(text))
    return texts


def _list_inner_column(value: Any) -> list[Any] | None:
    """List a pandas or polars Series that holds the tokens of one text."""
    for name in ("pandas", "polars"):
        library = sys.modules.get(name)
        if library is not None and isinstance(value, library.Series):
            return list(value.to_list())
    return None


def _name_type(value: Any) -> str:
    """Return the name of a type as users write it, e.g. ``numpy.int64``."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__name__
    return f"{kind.__module__}.{kind.__name__}"


def _advise(value: Any) -> str:
    """Return how to fix an element that is not a str."""
    if isinstance(value, (bytes, bytearray)):
        return "Decode it first, e.g. with .decode('utf-8')."
    if isinstance(value, (Number, np.generic)):
        return "Convert the column to text first, e.g. with .astype(str)."
    if isinstance(value, (list, tuple, np.ndarray)):
        return (
            'Set tokenizer="pretokenized" if every text is a list of tokens, or join '
            "its tokens to one str."
        )
    return "Convert it with str(...), or use None for a missing text."


def _advise_token(token: Any) -> str:
    """Return how to fix a token that is not a str."""
    if isinstance(token, (bytes, bytearray)):
        return "Decode it first, e.g. with .decode('utf-8')."
    if is_missing(token):
        return "Drop it; only a whole text may be missing."
    if isinstance(token, (list, tuple, np.ndarray)):
        return "Pass one flat list of tokens per text."
    return "Convert it with str(...)."
