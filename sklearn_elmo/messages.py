"""Quoting user text in messages, and warnings that point at the caller."""

import reprlib
import sys
import warnings
from typing import Any

__all__ = ["QUOTE_LENGTH", "printable", "quote", "warn_caller"]

# Users' texts are private and logs are shared, so a message shows little of them.
QUOTE_LENGTH = 40

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = QUOTE_LENGTH
_REPR.maxlevel = 2

# Packages between a user's line and ours: they call `fit` and wrap `transform`.
_NOT_CALLERS = frozenset(
    {"sklearn_elmo", "sklearn", "joblib", "skrub", "torch", "contextlib"}
)


def quote(value: Any) -> str:
    r"""Return the repr of a value on one line, cut to `QUOTE_LENGTH` characters.

    Parameters
    ----------
    value : object

    Returns
    -------
    str

    Examples
    --------
    >>> from sklearn_elmo.messages import quote
    >>> print(quote(b"caf\xc3\xa9"))
    b'caf\xc3\xa9'
    >>> len(quote("a" * 1000))
    40
    """
    if isinstance(value, (str, bytes)):
        shown = repr(value[: QUOTE_LENGTH + 1])
    else:
        shown = _REPR.repr(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= QUOTE_LENGTH else shown[: QUOTE_LENGTH - 3] + "..."


def printable(text: str) -> str:
    r"""Return a text with an escape in place of each character that cannot be seen.

    A name from a file of a stranger could move the cursor of a terminal.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> from sklearn_elmo.messages import printable
    >>> print(printable("cafe \x1b[31m\n"))
    cafe \x1b[31m\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line of user code that called into the package.

    Frames of this package and of the libraries that call it (scikit-learn, joblib,
    skrub, torch) are skipped. If there are no others, the warning points at the
    outermost frame.

    Parameters
    ----------
    message : str
    category : type of Warning
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _NOT_CALLERS:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
