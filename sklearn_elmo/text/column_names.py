"""The name of a column of texts, if it has one."""

from typing import Any

__all__ = ["column_name"]


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
    columns = getattr(X, "column_names", None)  # of an Arrow table
    if columns is None:
        columns = getattr(X, "columns", None)
    if columns is not None:
        name = columns[0] if len(columns) == 1 else None
    else:
        # Open files have a name as well, but no dtype.
        name = getattr(X, "name", None) if hasattr(X, "dtype") else None
    return name if isinstance(name, str) and name else None
