"""A progress bar on stderr."""

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(
    verbose: bool,
) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Give a function that shows a row of the history, or None."""
    if not verbose:
        yield None
        return
    with tqdm(total=None, unit=" tokens", unit_scale=True, desc="training") as bar:

        def report(row: dict[str, Any]) -> None:
            if "tokens" not in row:
                bar.set_postfix(held_out_perplexity=f"{row['held_out_average']:.1f}")
                return
            bar.n = row["tokens"]
            left = datetime.timedelta(seconds=int(row["seconds_left"]))
            bar.set_postfix(loss=f"{row['smoothed_loss']:.3f}", left=str(left))

        yield report
