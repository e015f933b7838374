"""Progress bars on stderr with totals and remaining time."""

import contextlib
from collections.abc import Callable, Iterator

from sklearn_elmo.cli.tables import Table

__all__ = ["table_progress"]


@contextlib.contextmanager
def table_progress(
    description: str, table: Table, *, shown: bool
) -> Iterator[Callable[[int], None]]:
    """Show how many texts of a table are done.

    The number of rows is not known before a file has been read, so it is estimated from
    the share of the file's bytes that the rows so far have taken.

    Parameters
    ----------
    description : str
    table : Table
        The file that is being read.
    shown : bool
        If False, nothing is shown.

    Yields
    ------
    callable
        Call it with the number of texts that have been done since the last call.
    """
    if not shown:
        yield lambda n_texts: None
        return
    from tqdm import tqdm

    with tqdm(desc=description, unit="text", total=table.n_rows) as bar:

        def update(n_texts: int) -> None:
            bar.total = table.n_rows or _estimate(bar.n + n_texts, table.share_read)
            bar.update(n_texts)

        yield update
        bar.total = bar.n
        bar.refresh()


def _estimate(n_texts: float, share: float | None) -> int | None:
    return round(n_texts / share) if share else None
