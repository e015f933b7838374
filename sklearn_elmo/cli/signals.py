"""Signals that end a command unwind its stack, so that files are cleaned up."""

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
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

    It is raised again where it is dropped: Python does that in a ``__del__`` or a
    callback, and some libraries have an ``except`` for whatever comes.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    # Only the main thread may set handlers. Windows sends none of these but Ctrl-C.
    if not in_main_thread or os.name == "nt":
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once is enough: files are cleaned up
        raise watch(Ended(number))

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # A signal that is ignored stays so: nohup ignores SIGHUP.
    before = {n: signal.getsignal(n) for n in numbers}
    before = {n: handler for n, handler in before.items() if handler != signal.SIG_IGN}
    with _raised_again_when_dropped() as watch:
        for number in before:
            signal.signal(number, end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _raised_again_when_dropped() -> Iterator[Callable[[Ended], Ended]]:
    """Yield a function that watches over an exception on its way out of the block."""
    watched: set[weakref.ref[Ended]] = set()
    alarm_before = signal.getsignal(signal.SIGALRM)

    def watch(error: Ended) -> Ended:
        number = error.number

        def raise_again(_: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGALRM, alarm_before)
            raise watch(Ended(number))

        def dropped(reference: "weakref.ref[Ended]") -> None:
            if reference in watched:
                watched.remove(reference)
                # Later: here it would be dropped once more.
                signal.signal(signal.SIGALRM, raise_again)
                signal.setitimer(signal.ITIMER_REAL, _SECONDS_UNTIL_RAISED_AGAIN)

        watched.add(weakref.ref(error, dropped))
        return error

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, Ended):
            hook_before(unraisable)

    hook_before, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield watch
    finally:
        sys.unraisablehook = hook_before
        watched.clear()
        if signal.getsignal(signal.SIGALRM) != alarm_before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm_before)
