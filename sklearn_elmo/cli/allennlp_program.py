"""AllenNLP's program, of which only the command ``elmo`` exists here.

``python -m sklearn_elmo.allennlp elmo ...`` is the program, `call` the function
``allennlp.commands.main`` of old code.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from sklearn_elmo.cli import build_parser, elmo, main
from sklearn_elmo.cli.elmo import run

__all__ = ["PROGRAM", "add_parser", "call", "run", "run_program"]

PROGRAM = "allennlp"
_MODULES = ("sklearn_elmo.cli.allennlp_program",)


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the arguments of ``elmo``."""
    elmo.add_parser(subparsers)
    # Without a default, so that ElmoEmbedder says that it is not AllenNLP's.
    subparsers.choices["elmo"].set_defaults(model=None)


def run_program() -> int:
    """Run the program with the arguments of the process; return its exit code."""
    return main(program=PROGRAM, module_names=_MODULES)


def call(
    prog: str | None = None,
    subcommand_overrides: Mapping[str, Any] | None = None,
) -> None:
    """Run a command with the arguments of the process, as ``allennlp.commands.main``.

    Errors are raised; argparse ends the process for wrong usage.

    Parameters
    ----------
    prog : str, optional
        Name of the program in messages.
    subcommand_overrides : mapping of str to Subcommand, optional
        Further commands: objects with ``add_subparser(name, subparsers)``, which sets
        the default ``func`` to a function of the parsed arguments.
    """
    parser, subparsers, _ = build_parser(prog or PROGRAM, _MODULES)
    for name, command in (subcommand_overrides or {}).items():
        command.add_subparser(name, subparsers)
    arguments = parser.parse_args()
    getattr(arguments, "func", run)(arguments)
