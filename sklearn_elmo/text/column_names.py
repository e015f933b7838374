"""The name of a column of texts, if it has one."""

from typing import Any

__all__ = ["column_name", "frame_column"]


def column_name(X: Any) -> str | None:
    """Return the name of a column.

    Parameters
    ----------
    X : object
        Any container of texts.

    Returns
    -------
    str or None
        The name of a Series or of the only column of a frame or Arrow table, if it is
        a non-empty str; None for everything else.

    Examples
    --------
    >>> import pandas as pd
    >>> column_name(pd.DataFrame({"review": ["good"]}))
    'review'
    >>> column_name(["good"]) is None
    True
    """
    # Open files have a name as well, but no dtype.
    name = getattr(X, "name", None) if hasattr(X, "dtype") else None
    return frame_column(X) or (name if isinstance(name, str) and name else None)


def frame_column(X: Any) -> str | None:
    """Return the name of the only column of a frame or Arrow table, None for others.

    Parameters and result as in `column_name`.
    """
    columns = getattr(X, "column_names", None)  # of an Arrow table
    if columns is None:
        columns = getattr(X, "columns", None)
    if columns is None or len(columns) != 1:
        return None
    (name,) = columns
    return name if isinstance(name, str) and name else None
