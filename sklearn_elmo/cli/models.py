"""``sklearn-elmo models``: list, describe, download, check and import models."""

import argparse
import json
import sys
from typing import Any

from sklearn_elmo.cli.signals import advice_if_interrupted
from sklearn_elmo.errors import ModelFileError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "models",
        help="list, describe, fetch, verify and import models",
        description="Models that have a name. Only 'fetch' downloads.",
    )
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, title="actions"
    )
    action = actions.add_parser("list", help="all models that have a name")
    action.set_defaults(do=_list)

    action = actions.add_parser(
        "describe", help="show what is known about a model, as JSON"
    )
    action.add_argument("model", metavar="MODEL", help="name, folder or zip")
    action.set_defaults(do=_describe)

    action = actions.add_parser(
        "fetch",
        help="download a model once",
        description="Download a model into the user's cache folder. An interrupted "
        "download continues where it stopped. SKLEARN_ELMO_HOME chooses the folder, "
        "SKLEARN_ELMO_MIRROR another server.",
    )
    action.add_argument("model", metavar="NAME", nargs="+")
    action.add_argument(
        "--sha256",
        metavar="HEX",
        help="accept only weights with this SHA-256 (one NAME only)",
    )
    action.add_argument("--quiet", action="store_true", help="no progress bar")
    action.set_defaults(do=_fetch, usage_error=action.error)

    action = actions.add_parser(
        "verify", help="compare a model's files with their recorded hashes"
    )
    action.add_argument(
        "model",
        metavar="NAME",
        nargs="*",
        help="default: the bundled model and all that were fetched or imported",
    )
    action.set_defaults(do=_verify)

    action = actions.add_parser(
        "import", help="copy the files of a model into the library, without a network"
    )
    action.add_argument("name", metavar="NAME", help="registered, or a new one")
    action.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="the folder, or the options file and the weight file",
    )
    action.set_defaults(do=_import, usage_error=action.error)


def run(arguments: argparse.Namespace) -> None:
    """Run the action."""
    arguments.do(arguments)


def _list(arguments: argparse.Namespace) -> None:
    from sklearn_elmo import models

    rows = [("NAME", "STATE", "WIDTH", "PARAMETERS", "DESCRIPTION")]
    for name in models.list_models():
        try:
            known = models.describe(name)
        except ModelFileError as error:
            known = {"source": "damaged", "description": " ".join(str(error).split())}
        size = known.get("n_parameters")
        rows.append(
            (
                name,
                _state(name, known["source"]),
                str(known.get("width") or "-"),
                f"{size / 1e6:.1f} M" if size else "-",
                known.get("description", "-"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        sys.stdout.write(f"{line.rstrip()}\n")


def _state(name: str, source: str | None) -> str:
    from sklearn_elmo.models import DEFAULT_MODEL

    if source == "damaged":
        return source
    if name == DEFAULT_MODEL:
        return "bundled"
    return "to be fetched" if source is None else "here"


def _describe(arguments: argparse.Namespace) -> None:
    from sklearn_elmo import models

    description = models.describe(arguments.model)
    json.dump(description, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _fetch(arguments: argparse.Namespace) -> None:
    from sklearn_elmo import downloads

    if arguments.sha256 is not None and len(arguments.model) > 1:
        arguments.usage_error("--sha256 goes with one NAME")
    pins = {"weights.hdf5": arguments.sha256} if arguments.sha256 else None
    for name in arguments.model:
        advice = "Run the same command again to go on where the download stopped."
        with advice_if_interrupted("models fetch", advice):
            folder = downloads.fetch(name, progress=not arguments.quiet, sha256=pins)
        sys.stdout.write(f"{folder}\n")
        _show_hashes(name)


def _verify(arguments: argparse.Namespace) -> None:
    from sklearn_elmo import downloads
    from sklearn_elmo.models import DEFAULT_MODEL

    for name in arguments.model or [DEFAULT_MODEL, *downloads.local_names()]:
        _show_hashes(name, verdict=": OK")


def _show_hashes(name: str, verdict: str = "") -> None:
    """Check a model, and write its hashes as sha256sum does."""
    from sklearn_elmo import models

    for file_name, found in models.verify(name).items():
        sys.stdout.write(f"{found.sha256}  {name}/{file_name}{verdict}\n")


def _import(arguments: argparse.Namespace) -> None:
    from sklearn_elmo import downloads
    from sklearn_elmo.bilm.locations import find_files
    from sklearn_elmo.bilm.weights import read_model

    if len(arguments.files) > 2:
        arguments.usage_error("pass a folder, or an options file and a weight file")
    paths = find_files(
        arguments.files[0] if len(arguments.files) == 1 else tuple(arguments.files)
    )
    if len(paths) != 2:
        message = f"{str(paths[0])!r} is an archive. Unpack it, and pass the folder."
        raise ModelFileError(message)
    options_file, weight_file = paths
    read_model((options_file, weight_file))  # checks everything
    folder = downloads.import_model(arguments.name, options_file, weight_file)
    sys.stdout.write(f"{folder}\n")
    _show_hashes(arguments.name)
