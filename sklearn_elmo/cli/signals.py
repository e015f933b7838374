"""Signals become exceptions, so that ``finally`` blocks remove unfinished files."""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = [
    "GO_ON_FROM_CACHE",
    "Ended",
    "advice_if_interrupted",
    "signals_as_exceptions",
]

GO_ON_FROM_CACHE = "Run the same command again to go on from what is in the cache."
"""Advice of the commands that fill a cache."""

_RETRY_S = 0.02


class Ended(KeyboardInterrupt):
    """A signal asks the process to end.

    Ctrl-C raises this class too, because CPython reports death by SIGINT, whatever the
    exit code, once a plain KeyboardInterrupt has left an ``exec``, as in an import.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise `Ended` on Ctrl-C, SIGTERM and SIGHUP.

    Python drops exceptions in a ``__del__``, and some libraries catch all of them.
    Therefore a timer raises `Ended` again until it leaves the block, but never while
    it is being handled, so it interrupts no cleanup. Objects that it left half made,
    such as tqdm's bars, complain in their ``__del__``: nobody hears them.
    """
    # Only the main thread may set handlers. Windows sends nothing but Ctrl-C.
    if threading.current_thread() is not threading.main_thread() or os.name == "nt":
        yield
        return
    ended: list[Ended] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(Ended(number))
        for handled in before:
            signal.signal(handled, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, end_again)
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S, _RETRY_S)
        raise ended[0]

    def end_again(number: int, frame: FrameType | None) -> None:
        if not _is_handled(ended[0]):
            raise ended[0]

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not ended:
            hook_before(unraisable)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    # A signal that is ignored stays ignored: nohup ignores SIGHUP.
    before = {n: handler for n, handler in before.items() if handler != signal.SIG_IGN}
    alarm_before = signal.getsignal(signal.SIGALRM)
    hook_before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        if ended:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm_before)
            traceback.clear_frames(ended[0].__traceback__)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook_before


@contextlib.contextmanager
def advice_if_interrupted(
    command: str, advice: str | Callable[[], str]
) -> Iterator[None]:
    """Say on stderr how to go on, if a signal ends the block.

    Parameters
    ----------
    command : str
        Name of the command, for the message.
    advice : str or callable
        Whole sentences, or a function without arguments that returns them, for what is
        known only after the interruption.
    """
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            text = advice if isinstance(advice, str) else advice()
            sys.stderr.write(f"sklearn-elmo {command}: interrupted. {text}\n")
        raise


def _is_handled(error: BaseException) -> bool:
    """Return True inside an ``except`` or ``finally`` block that runs for `error`."""
    handled = sys.exc_info()[1]
    while handled is not None and handled is not error:
        handled = handled.__context__
    return handled is error
