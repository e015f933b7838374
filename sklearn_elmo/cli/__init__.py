# PYTHON_ARGCOMPLETE_OK
"""The command line: arguments and messages, nothing else.

Each command is a module with ``add_parser(subparsers)`` and ``run(arguments)``. Such a
module imports only the standard library and `sklearn_elmo.errors` at its top, so that
help and usage errors come at once. What fails raises; `main` words it.
"""

import argparse
import contextlib
import errno
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, TextIO

import sklearn_elmo
from sklearn_elmo.cli.signals import Ended, signals_as_exceptions
from sklearn_elmo.errors import SklearnElmoError
from sklearn_elmo.messages import printable

__all__ = ["build_parser", "main"]

PROGRAM = "sklearn-elmo"

# In the order of the help. ``pretrain`` brings ``perplexity`` with it.
_MODULES = (
    "sklearn_elmo.cli.vectorize",
    "sklearn_elmo.cli.elmo",
    "sklearn_elmo.cli.pretrain",
    "sklearn_elmo.cli.models",
    "sklearn_elmo.cli.cache",
)

DONE, FAILED = 0, 1
# What a shell reports of a program that a signal ended.
_SIGNALLED = 128
_SIGPIPE = 13  # not in the signal module of Windows

_LONGEST_MESSAGE = 1000  # characters

_REMEDIES = {
    errno.ENOSPC: "Free some space, or write elsewhere.",
    errno.EDQUOT: "Free some space, or write elsewhere.",
    errno.EFBIG: "Raise the limit (ulimit -f), or write to another file system.",
    errno.EACCES: "Check the permissions, or choose another path.",
    errno.EPERM: "Check the permissions, or choose another path.",
    errno.EROFS: "Choose a path on a file system that can be written to.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Name a file in it.",
    errno.EMFILE: "Raise the limit with 'ulimit -n'.",
}


class _Parser(argparse.ArgumentParser):
    """A parser that, like all its subparsers, knows ``--debug``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the traceback of an error",
        )


def main(
    argv: Sequence[str] | None = None,
    *,
    program: str = PROGRAM,
    module_names: Sequence[str] | None = None,
) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.
    program : str, default="sklearn-elmo"
        Name in messages.
    module_names : sequence of str, optional
        Modules of the program's commands; all of this package's by default.

    Returns
    -------
    int
        0: done. 1: it failed, and one line on stderr says why. 2: wrong usage. 128 + n:
        ended by signal n (130: Ctrl-C; 141: nobody reads the output any more).
    """
    command, debug = program, False
    try:
        with signals_as_exceptions():
            parser, _, modules = build_parser(program, module_names or _MODULES)
            _complete(parser)
            arguments = parser.parse_args(argv)
            command = f"{program} {arguments.command}"
            debug = getattr(arguments, "debug", False)
            with _warnings_on_one_line(command):
                modules[arguments.command].run(arguments)
            return _flush(DONE)
    except SystemExit as end:  # argparse has said what there is to say
        return _flush(end.code if isinstance(end.code, int) else FAILED)
    except BrokenPipeError:
        _forget_stdout()
        return _SIGNALLED + _SIGPIPE
    except Ended as end:
        return _SIGNALLED + end.number
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"{command}: error: {_explain(error)}\n")
        return FAILED


def build_parser(
    program: str, module_names: Sequence[str]
) -> tuple[_Parser, Any, dict[str, ModuleType]]:
    """Return the parser, its subparsers, and the module of each command."""
    parser = _Parser(
        prog=program,
        description="ELMo word and sentence vectors.",
        epilog=f"'{program} COMMAND --help' explains a command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"{program} {sklearn_elmo.__version__}"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    modules: dict[str, ModuleType] = {}
    for name in module_names:
        module = importlib.import_module(name)
        module.add_parser(subparsers)
        for command in subparsers.choices:
            modules.setdefault(command, module)
    return parser, subparsers, modules


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, which ends the process."""
    if "_ARGCOMPLETE" in os.environ:
        with contextlib.suppress(ImportError):
            importlib.import_module("argcomplete").autocomplete(parser)


def _explain(error: Exception) -> str:
    """Return on one line why a command failed."""
    if isinstance(error, OSError) and error.strerror is not None:
        parts = [error.strerror]
        if error.filename is not None:
            parts.append(f": {os.fsdecode(error.filename)!r}")
        parts.append(f". {_REMEDIES.get(error.errno or 0, '')}")
        text = "".join(parts)
    elif isinstance(error, SklearnElmoError | OSError) and str(error):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = (
            f"Not enough memory ({error or 'MemoryError'}). Try a smaller "
            "--batch-tokens, or cut texts with --max-tokens."
        )
    else:
        text = (
            f"{type(error).__name__}: {error}. This was not foreseen; --debug shows "
            "where it happened."
        )
    text = printable(" ".join(text.split()))
    if len(text) > _LONGEST_MESSAGE:
        return text[: _LONGEST_MESSAGE - 3] + "..."
    return text


@contextlib.contextmanager
def _warnings_on_one_line(command: str) -> Iterator[None]:
    """Show warnings as messages of the command, without lines of source code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = printable(" ".join(str(message).split()))
        (file or sys.stderr).write(f"{command}: warning: {text}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _flush(code: int) -> int:
    """Write what stdout still holds, while a broken pipe can be told from success."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return _SIGNALLED + _SIGPIPE
    return code


def _forget_stdout() -> None:
    """Keep Python from writing to a broken pipe once more when it exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
