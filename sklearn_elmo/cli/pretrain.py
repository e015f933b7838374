"""``sklearn-elmo pretrain`` and ``perplexity``: train a model, and evaluate one."""

import argparse
import contextlib
import itertools
import json
import math
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_elmo.cli.flags import add_table_flags
from sklearn_elmo.cli.signals import advice_if_interrupted
from sklearn_elmo.cli.tables import Table, iterate_texts
from sklearn_elmo.errors import TextValueError

if TYPE_CHECKING:
    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer
    from sklearn_elmo.pretraining.sources import Source

__all__ = ["add_parser", "run"]

_SIZES = ("default", "small", "medium", "original")

_FILES = (
    "FILEs are text files, one sentence per line, plain or compressed (.gz, .bz2, .xz, "
    ".zst), folders, whose files are all read except hidden ones, patterns such as "
    "'corpus-*.txt', or tables (CSV, TSV, JSONL, Parquet) with a --column of texts."
)

_TRAINING: dict[str, Any] = {
    "max_words": int,
    "min_count": int,
    "n_negative_samples": int,
    "batch_size": int,
    "n_steps": int,
    "learning_rate": float,
    "dropout": float,
    "held_out_share": float,
}


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the arguments of both commands.

    Parameters
    ----------
    subparsers : object
        From `argparse.ArgumentParser.add_subparsers`.
    """
    _add_pretrain(subparsers)
    _add_perplexity(subparsers)


def _add_pretrain(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "pretrain",
        help="train an ELMo on raw text, or continue to train one",
        description="Train a bidirectional language model on text FILEs and save it in "
        f"FOLDER. {_FILES}",
    )
    parser.add_argument("folder", metavar="FOLDER", help="where the model is saved")
    _add_text_arguments(parser)
    model = parser.add_argument_group("model")
    shape = model.add_mutually_exclusive_group()
    shape.add_argument(
        "--size", choices=_SIZES, help="shape of the model (default: default)"
    )
    shape.add_argument(
        "--options-file", metavar="JSON", help="shape as in options.json"
    )
    model.add_argument(
        "--init",
        metavar="NAME|PATH",
        help="model to continue with; the layers are kept close to those of this model "
        "(see --anchor-weight)",
    )
    model.add_argument(
        "--anchor-weight",
        type=float,
        metavar="N",
        help="with --init: how strongly the layers are kept close; with 0, training "
        "forgets more of the initial model, but fits the text better and takes less "
        "time (default: 30)",
    )
    model.add_argument(
        "--float16", action="store_true", help="save weights as 16-bit floats"
    )
    budget = parser.add_argument_group(
        "budget (the first limit that is reached counts; default: 1 epoch)"
    )
    budget.add_argument("--max-minutes", type=float, metavar="N")
    budget.add_argument("--max-tokens", type=float, metavar="N")
    budget.add_argument("--epochs", type=float, metavar="N")
    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--checkpoint-dir",
        metavar="FOLDER",
        help="where checkpoints are saved; a stopped run continues from there",
    )
    run_group.add_argument("--device", default="auto")
    run_group.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto"
    )
    run_group.add_argument("--random-state", type=int, metavar="N")
    run_group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    training = parser.add_argument_group("training (see ElmoPretrainer)")
    for name, kind in _TRAINING.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N")
    parser.set_defaults(usage_error=parser.error)


def _add_perplexity(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "perplexity",
        help="evaluate a trained language model on text",
        description="Print the perplexity of text FILEs, forward, backward and their "
        f"geometric mean, for the model that 'pretrain' saved in FOLDER. {_FILES}",
    )
    parser.add_argument("folder", metavar="FOLDER", help="where the model is")
    _add_text_arguments(parser)
    parser.add_argument("--device", default="auto")


def _add_text_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+")
    text = parser.add_argument_group("text")
    add_table_flags(text)
    text.add_argument(
        "--tokenizer",
        choices=("words", "whitespace"),
        help="how lines become tokens (default: words; for perplexity that of the "
        "model)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    arguments : argparse.Namespace
    """
    if arguments.command == "perplexity":
        _perplexity(arguments)
    else:
        _pretrain(arguments)


def _pretrain(arguments: argparse.Namespace) -> None:
    if arguments.anchor_weight is not None and arguments.init is None:
        arguments.usage_error("--anchor-weight needs --init; pass both or neither")

    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer

    size: Any = arguments.size or "default"
    if arguments.options_file is not None:
        size = _read_options(Path(arguments.options_file))
    names = (*_TRAINING, "anchor_weight", "tokenizer")
    given = {name: getattr(arguments, name) for name in names}
    pretrainer = ElmoPretrainer(
        size,
        init=arguments.init,
        max_minutes=arguments.max_minutes,
        max_tokens=arguments.max_tokens,
        epochs=arguments.epochs,
        checkpoint_dir=arguments.checkpoint_dir,
        device=arguments.device,
        precision=arguments.precision,
        random_state=arguments.random_state,
        verbose=not arguments.quiet,
        **{name: value for name, value in given.items() if value is not None},
    )
    # Errors in paths should show now, not after hours.
    text = _open_text(arguments)
    folder = Path(os.path.expanduser(arguments.folder))
    advice = partial(_advice, arguments.checkpoint_dir)
    with advice_if_interrupted("pretrain", advice), _new_folder(folder):
        pretrainer.fit(text)
        pretrainer.save(folder, dtype="float16" if arguments.float16 else "float32")
    sys.stderr.write(f"{folder}: {_result(pretrainer)}\n")


def _advice(checkpoint_dir: str | None) -> str:
    """Say how to go on after an interruption, by the checkpoints at that time."""
    from sklearn_elmo.pretraining.checkpoint import CHECKPOINT_NAME, PREVIOUS_NAME

    if checkpoint_dir is None:
        return (
            "With --checkpoint-dir FOLDER, the same command writes a checkpoint every "
            "five minutes and, run again, goes on from the last one."
        )
    folder = Path(os.path.expanduser(checkpoint_dir))
    if any((folder / name).exists() for name in (CHECKPOINT_NAME, PREVIOUS_NAME)):
        return "Run the same command again to go on from the last checkpoint."
    return (
        f"No checkpoint had been written to {str(folder)!r} yet (one is written every "
        "five minutes). The same command, run again, starts training anew."
    )


def _result(pretrainer: "ElmoPretrainer") -> str:
    perplexity = pretrainer.held_out_perplexity_
    if not math.isnan(perplexity):
        return f"held-out perplexity {perplexity:.1f}"
    if pretrainer.held_out_share == 0:
        return "no held-out perplexity, because --held-out-share is 0"
    return "no held-out perplexity, because the text was too short to hold some out"


def _perplexity(arguments: argparse.Namespace) -> None:
    from sklearn_elmo.models import locate
    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer

    text = _open_text(arguments)
    given = {} if arguments.tokenizer is None else {"tokenizer": arguments.tokenizer}
    folder: Any = locate(arguments.folder)
    pretrainer = ElmoPretrainer.load(folder, device=arguments.device, **given)
    perplexity = pretrainer.evaluate(text)
    for name in ("forward", "backward", "average"):
        sys.stdout.write(f"{name}\t{getattr(perplexity, name):.2f}\n")
    sys.stdout.write(f"predictions\t{perplexity.n_tokens}\n")


def _open_text(arguments: argparse.Namespace) -> "Source":
    """Return the text files of the arguments, or the texts of their tables.

    Raises
    ------
    OSError
        A file cannot be opened.
    """
    from sklearn_elmo.pretraining.sources import Files, Texts, open_source

    source = open_source([Path(file) for file in arguments.files], tables=True)
    assert isinstance(source, Files)
    for path in source.paths:
        path.open("rb").close()
    tables = [_as_table(str(path), arguments) for path in source.paths]
    if arguments.column is None and all(table.format == "lines" for table in tables):
        return source
    rows = (
        iterate_texts(
            table.path,
            arguments.column,
            format=table.format,
            quotes=table.quotes,
            delimiter=table.delimiter,
        )
        for table in tables
    )
    return Texts(filter(None, itertools.chain.from_iterable(rows)))


def _as_table(path: str, arguments: argparse.Namespace) -> Table:
    """Return a file with its format; text files may have any name."""
    from sklearn_elmo.pretraining.sources import check_no_table

    as_table = partial(Table, path, quotes=arguments.quotes)
    try:
        return as_table(format=arguments.format, delimiter=arguments.delimiter)
    except TextValueError:
        if arguments.delimiter is not None:
            raise  # the file has none
        check_no_table(Path(path))
        return as_table(format="lines")


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Create a folder, and remove it again if nothing is written to it."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for path in created:
                path.rmdir()


def _read_options(path: Path) -> dict[str, Any]:
    from sklearn_elmo.errors import ModelFileError

    try:
        options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        message = (
            f"The options file {str(path)!r} is not JSON ({error}); expected the "
            "layout of AllenNLP's options.json. Fix the file."
        )
        raise ModelFileError(message) from error
    return options
