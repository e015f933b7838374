"""A progress bar on stderr."""

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sklearn_elmo.bars import Bar

__all__ = ["ProgressCallback", "TrainingProgress", "progress_bar"]

_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"


class TrainingProgress(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    share : float
        Share of the budget that is used up, from 0 to 1.
    n_tokens : int
        Tokens read by each direction.
    seconds_left : float
        Estimated time to the end of the budget.
    loss : float
        Smoothed loss of the language model in nats per word.
    """

    share: float
    n_tokens: int
    seconds_left: float
    loss: float


ProgressCallback = Callable[[TrainingProgress, float | None], None]
"""Receives the progress, and the held-out perplexity after an evaluation."""


@contextlib.contextmanager
def progress_bar(verbose: bool) -> Iterator[ProgressCallback | None]:
    """Yield a callback that shows progress with the time left, or None."""
    if not verbose:
        yield None
        return
    with Bar(total=1.0, desc="training", bar_format=_BAR_FORMAT) as bar:
        shown: dict[str, str] = {}

        def show(progress: TrainingProgress, perplexity: float | None) -> None:
            left = datetime.timedelta(seconds=round(progress.seconds_left))
            shown["left"] = str(left)
            shown["tokens"] = f"{progress.n_tokens:,}"
            shown["loss"] = f"{progress.loss:.3f}"
            if perplexity is not None:
                shown["held_out_perplexity"] = f"{perplexity:.1f}"
            bar.set_postfix(shown, refresh=False)
            bar.update(min(1.0, progress.share) - bar.n)
            if perplexity is not None:
                bar.refresh()

        yield show
