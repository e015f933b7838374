"""Signals that end a command unwind its stack, so that files are cleaned up."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

__all__ = ["Ended", "signals_as_exceptions"]

_SECONDS_UNTIL_RAISED_AGAIN = 0.02


class Ended(KeyboardInterrupt):
    """A signal asks the process to end.

    A class of its own also for Ctrl-C: CPython ends a process by SIGINT, whatever its
    exit code, once a plain KeyboardInterrupt has left an `exec`, as in an import.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise `Ended` at Ctrl-C, SIGTERM and SIGHUP.

    It is raised again where Python drops it: in a ``__del__`` or a callback.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    # Only the main thread may set handlers. Windows sends none of these but Ctrl-C.
    if not in_main_thread or os.name == "nt":
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once is enough: files are cleaned up
        raise Ended(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
    """Let no `Ended` be ignored."""
    lost: list[Ended] = []
    alarm_before = signal.getsignal(signal.SIGALRM)

    def raise_again(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, alarm_before)
        raise lost.pop().with_traceback(None)

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, Ended):
            lost.append(unraisable.exc_value)
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
