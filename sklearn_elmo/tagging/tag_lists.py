"""Any column of tag lists -> lists of Python str or int; all messages about tags."""

from collections.abc import Mapping, Sequence, Set, Sized
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.errors import TextTypeError, TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.text.containers import is_missing

__all__ = ["as_tag_lists", "check_lengths", "join_tags"]


def as_tag_lists(y: Any, name: str = "y") -> list[list[Any]]:
    """List the tag lists of a container.

    Parameters
    ----------
    y : iterable of iterables
        List, tuple, numpy array, generator, or a pandas, polars or pyarrow column.
    name : str, default="y"
        Name of the argument, for the messages.

    Returns
    -------
    list of list
        Empty for a missing tag list (None, NaN, NA), as for a missing text.

    Raises
    ------
    TextTypeError
        If `y` is not a column, or a row is not a list; names the row.

    Examples
    --------
    >>> from sklearn_elmo.tagging.tag_lists import as_tag_lists
    >>> as_tag_lists((["DET", "NOUN"], None, ("VERB",)))
    [['DET', 'NOUN'], [], ['VERB']]
    """
    rows = None if _has_columns(y) else _as_list(y)
    if rows is None:
        message = (
            f"{name} is {_type_name(y)} ({quote(y)}); expected one list of tags per "
            "text. Pass a list of lists, or the column of a frame."
        )
        raise TextTypeError(message)
    return [_as_row(value, row, name) for row, value in enumerate(rows)]


def check_lengths(
    first: Sequence[Sized], second: Sequence[Sized], names: tuple[str, str]
) -> None:
    """Make sure that two columns have equally long lists.

    Parameters
    ----------
    first, second : sequence of sized
    names : (str, str)
        What the lists hold, for the message, such as ``("tokens in X", "tags in y")``.

    Raises
    ------
    TextValueError
        Names the first row of unequal length and both lengths, or the numbers of rows
        if those differ.
    """
    if len(first) != len(second):
        message = (
            f"There are {len(first)} lists of {names[0]}, but {len(second)} lists of "
            f"{names[1]}; expected one for one. Pass columns of the same rows."
        )
        raise TextValueError(message)
    for row, (one, other) in enumerate(zip(first, second, strict=True)):
        if len(one) != len(other):
            message = (
                f"Row {row} has {len(one)} {names[0]}, but {len(other)} {names[1]}; "
                "expected one tag per token. Fix the row, or drop it."
            )
            raise TextValueError(message)


def join_tags(tag_lists: Sequence[list[Any]]) -> npt.NDArray[Any]:
    """Concatenate tag lists to one array of str or of int.

    Parameters
    ----------
    tag_lists : sequence of list

    Returns
    -------
    ndarray of shape (n_tokens,)

    Raises
    ------
    TextTypeError
        If a tag is neither a str nor an int, or they are mixed: numpy would turn 1
        into "1". Names row and position.

    Examples
    --------
    >>> from sklearn_elmo.tagging.tag_lists import join_tags
    >>> join_tags([["DET", "NOUN"], [], ["VERB"]])
    array(['DET', 'NOUN', 'VERB'], dtype='<U4')
    """
    joined = list(chain.from_iterable(tag_lists))
    expected = str if joined and isinstance(joined[0], str) else Integral
    if all(isinstance(tag, expected) for tag in joined):
        return np.array(joined)
    row, position, tag = next(
        (row, position, tag)
        for row, tags in enumerate(tag_lists)
        for position, tag in enumerate(tags)
        if not isinstance(tag, expected)
    )
    message = (
        f"Tag {position} of row {row} of y is {_type_name(tag)} ({quote(tag)}); "
        "expected tags that are all str or all int. Convert them to one type."
    )
    raise TextTypeError(message)


def _as_row(value: Any, row: int, name: str) -> list[Any]:
    if is_missing(value):
        return []
    tags = _as_list(value)
    if tags is None:
        message = (
            f"Row {row} of {name} is {_type_name(value)} ({quote(value)}); expected a "
            "list of tags, one per token. Pass one list per text."
        )
        raise TextTypeError(message)
    return tags


def _as_list(values: Any) -> list[Any] | None:
    """Return the elements as Python objects; None if it is not a list of any kind."""
    # numpy and pandas, polars, pyarrow: all turn their scalars into Python's.
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            values = getattr(values, method)()
            break
    has_no_order = isinstance(values, str | bytes | Mapping | Set)
    return None if has_no_order or not hasattr(values, "__iter__") else list(values)


def _has_columns(y: Any) -> bool:
    """Return True for a frame: iterating over one gives names or columns."""
    return hasattr(y, "columns") or hasattr(y, "column_names")


def _type_name(value: Any) -> str:
    return type(value).__name__
