"""Signals that end a command unwind its stack, so that files are cleaned up."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

__all__ = ["Ended", "signals_as_exceptions"]

_SECONDS_UNTIL_RAISED_AGAIN = 0.02


class Ended(BaseException):
    """A signal asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise `Ended` at SIGTERM and SIGHUP, as Ctrl-C raises KeyboardInterrupt.

    Either is raised again where Python drops it: in a ``__del__`` or a callback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once is enough: files are cleaned up
        raise Ended(number)

    numbers = _known("SIGTERM", "SIGHUP")
    # A signal that is ignored stays so: nohup ignores SIGHUP.
    before = {n: signal.getsignal(n) for n in numbers}
    before = {n: handler for n, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        with _raised_again_when_lost():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _raised_again_when_lost() -> Iterator[None]:
    """Let no `Ended` and no KeyboardInterrupt of the main thread be ignored."""
    if not _known("SIGALRM"):
        yield  # Windows: Ctrl-C can be pressed again, and nothing sends SIGTERM
        return
    lost: list[BaseException] = []
    alarm_before = signal.getsignal(signal.SIGALRM)

    def raise_again(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, alarm_before)
        raise lost.pop().with_traceback(None)

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        error = unraisable.exc_value
        if (
            isinstance(error, Ended | KeyboardInterrupt)
            and threading.current_thread() is threading.main_thread()
        ):
            lost.append(error)
            # Later: here it would be dropped once more.
            signal.signal(signal.SIGALRM, raise_again)
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_UNTIL_RAISED_AGAIN)
        else:
            hook_before(unraisable)

    hook_before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        sys.unraisablehook = hook_before
        if lost:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm_before)


def _known(*names: str) -> list[int]:
    """Return the numbers of the signals that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
