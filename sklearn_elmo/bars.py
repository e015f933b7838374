"""Progress bars on stderr."""

from tqdm.auto import tqdm

__all__ = ["Bar"]


class Bar(tqdm):
    """A bar of tqdm, without the thread that tqdm starts for all bars.

    It starts even if no bar is shown, and complains if a signal ends the process.
    """

    monitor_interval = 0
