"""Progress bars on stderr with totals and remaining time."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from sklearn_elmo.cli.tables import Table

if TYPE_CHECKING:
    from sklearn_elmo.bars import Bar

__all__ = ["counted", "table_progress"]

Item = TypeVar("Item")


@contextlib.contextmanager
def table_progress(description: str, *, shown: bool) -> "Iterator[Bar]":
    """Yield a bar for the texts of a table; `counted` tells it how many there are.

    Parameters
    ----------
    description : str
    shown : bool
        If False, nothing is shown.
    """
    from sklearn_elmo.bars import Bar

    with Bar(desc=description, unit=" texts", disable=not shown) as bar:
        yield bar
        bar.total = bar.n
        bar.refresh()


def counted(
    pieces: Iterable[list[Item]], table: Table, bar: "Bar"
) -> Iterator[list[Item]]:
    """Yield lists of rows of a table, and tell a bar how many rows there are.

    The number of rows is not known before a file has been read, so it is estimated from
    the share of the file's bytes that the rows so far have taken.

    Parameters
    ----------
    pieces : iterable of lists
    table : Table
        The file that is being read.
    bar : Bar
    """
    n_read = 0
    for piece in pieces:
        n_read += len(piece)
        bar.total = table.n_rows or _estimate(n_read, table.share_read)
        bar.refresh()
        yield piece


def _estimate(n_texts: int, share: float | None) -> int | None:
    return round(n_texts / share) if share else None
