"""Flags that several commands share, and what their values become."""

import argparse
import csv
import math
from typing import Any

from sklearn_elmo.choices import LAYER_MIXES, SPLITS, STATES
from sklearn_elmo.cli.tables import FORMATS
from sklearn_elmo.inference.precision import PRECISIONS
from sklearn_elmo.pooling_table import POOLINGS

__all__ = [
    "add_device_flags",
    "add_model_flags",
    "add_table_flags",
    "add_token_flags",
    "column_names",
    "layer_mix",
    "layers",
    "model_of",
    "poolings",
    "positive",
]

# Files hold texts, so the tokenizers "pretokenized" and callables are left out.
_TOKENIZERS = ("words", "whitespace")


def add_table_flags(group: Any) -> None:
    """Add the flags of a file of texts; `tables.Table` takes their values.

    Parameters
    ----------
    group : argparse parser or group
    """
    group.add_argument(
        "--column",
        metavar="NAME",
        help="column or key of the texts (default: the only one)",
    )
    group.add_argument(
        "--format", choices=FORMATS, help="of the file (default: told by its name)"
    )
    group.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="CHARACTER",
        help="between the fields of CSV and TSV, or tab (default: comma; in TSV, tab)",
    )
    group.add_argument(
        "--no-quotes",
        dest="quotes",
        action="store_false",
        help="quotation marks in CSV and TSV are characters like any other",
    )


def add_model_flags(group: Any) -> None:
    """Add the flags that choose a model; see `model_of`."""
    group.add_argument(
        "--model",
        metavar="NAME|PATH",
        help="name of a model, or a folder or zip file with one (default: default)",
    )
    group.add_argument("--options-file", metavar="PATH", help="with --weight-file")
    group.add_argument("--weight-file", metavar="PATH", help="with --options-file")


def add_token_flags(group: Any) -> None:
    """Add the flags that decide which vectors are computed for a text."""
    group.add_argument(
        "--tokenizer",
        choices=_TOKENIZERS,
        default="words",
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--state",
        choices=STATES,
        default="zero",
        help="initial state of the LSTMs (default: %(default)s)",
    )
    group.add_argument(
        "--max-tokens",
        type=positive,
        metavar="N",
        help="read only the first N tokens of each text (default: all)",
    )
    group.add_argument(
        "--split",
        choices=SPLITS,
        help="read and cache each text sentence by sentence",
    )


def add_device_flags(group: Any) -> None:
    """Add the flags that decide where and how a model runs."""
    group.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--batch-tokens",
        type=batch_tokens,
        default="auto",
        metavar="N",
        help="tokens in memory at once (default: %(default)s)",
    )


def model_of(arguments: argparse.Namespace) -> Any:
    """Return the ``model`` parameter that `add_model_flags`' values stand for.

    ``arguments.usage_error`` ends the command if they exclude each other.
    """
    pair = (arguments.options_file, arguments.weight_file)
    if pair == (None, None):
        return "default" if arguments.model is None else arguments.model
    if None in pair:
        arguments.usage_error("--options-file and --weight-file need each other")
    if arguments.model is not None:
        arguments.usage_error("pass --model or --options-file, not both")
    return pair


def layers(value: str) -> str | int | list[int]:
    """``all``, ``top``, ``1`` or ``0,2``."""
    if value in ("all", "top"):
        return value
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        message = f"{value!r} is not all, top or numbers such as 0,1"
        raise argparse.ArgumentTypeError(message) from None
    return numbers[0] if len(numbers) == 1 else numbers


def layer_mix(value: str) -> str | list[float]:
    """A name, or weights such as ``0.2,0.3,0.5``."""
    if value in LAYER_MIXES:
        return value
    try:
        weights = [float(part) for part in value.split(",")]
    except ValueError:
        weights = [math.nan]
    if not all(map(math.isfinite, weights)):
        message = (
            f"{value!r} is not {', '.join(LAYER_MIXES)} or numbers such as 0.2,0.3,0.5"
        )
        raise argparse.ArgumentTypeError(message)
    return weights


def poolings(value: str) -> str | list[str]:
    """One name, or several such as ``mean,max``."""
    names = value.split(",")
    if not set(names) <= set(POOLINGS) or len(set(names)) < len(names):
        message = (
            f"{value!r} is not one or more different ones of {', '.join(POOLINGS)}"
        )
        raise argparse.ArgumentTypeError(message)
    return names[0] if len(names) == 1 else names


def column_names(value: str) -> list[str]:
    """Names such as ``id,label``, in the syntax of a CSV record."""
    names = next(csv.reader([value]), [])
    if not all(names) or not names:
        message = f"{value!r} is not a list of column names such as id,label"
        raise argparse.ArgumentTypeError(message)
    return names


def delimiter(value: str) -> str:
    """One character, or ``tab``."""
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if len(value) != 1 or value in '"\r\n':
        message = f"{value!r} is not a single character or tab"
        raise argparse.ArgumentTypeError(message)
    return value


def positive(value: str) -> int:
    """An integer of at least 1."""
    if not (value.isascii() and value.isdecimal()) or int(value) < 1:
        message = f"{value!r} is not an integer of at least 1"
        raise argparse.ArgumentTypeError(message)
    return int(value)


def batch_tokens(value: str) -> int | str:
    """``auto`` or an integer of at least 1."""
    return value if value == "auto" else positive(value)
