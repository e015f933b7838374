"""``sklearn-elmo pretrain`` and ``perplexity``: train a model, and evaluate one."""

import argparse
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sklearn_elmo.cli.signals import advice_if_interrupted
from sklearn_elmo.cli.tables import FORMATS, Table, iterate_texts
from sklearn_elmo.errors import TextValueError

if TYPE_CHECKING:
    from pathlib import Path

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
    model.add_argument("--size", choices=_SIZES, default="default")
    model.add_argument(
        "--options-file", metavar="JSON", help="shape of the model, instead of --size"
    )
    model.add_argument("--init", metavar="NAME|PATH", help="model to continue with")
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
    text.add_argument(
        "--column", metavar="NAME", help="column or key of the texts in tables"
    )
    text.add_argument(
        "--format", choices=FORMATS, help="of the FILEs (default: from their names)"
    )
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
    from pathlib import Path

    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer

    size: Any = arguments.size
    if arguments.options_file is not None:
        size = _read_options(Path(arguments.options_file))
    given = {name: getattr(arguments, name) for name in (*_TRAINING, "tokenizer")}
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
    advice = (
        "With --checkpoint-dir FOLDER, the same command, run again, would go on from "
        "the last checkpoint."
        if arguments.checkpoint_dir is None
        else "Run the same command again to go on from the last checkpoint."
    )
    with advice_if_interrupted("pretrain", advice), _new_folder(folder):
        pretrainer.fit(text)
        pretrainer.save(folder, dtype="float16" if arguments.float16 else "float32")
    sys.stderr.write(
        f"{folder}: held-out perplexity {pretrainer.held_out_perplexity_:.1f}\n"
    )


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
    from pathlib import Path

    from sklearn_elmo.pretraining.sources import Files, Texts, open_source

    source = open_source([Path(file) for file in arguments.files], tables=True)
    assert isinstance(source, Files)
    for path in source.paths:
        path.open("rb").close()
    paths = [str(path) for path in source.paths]
    formats = [arguments.format or _tell_format(path) for path in paths]
    if set(formats) == {"lines"} and arguments.column is None:
        return source
    rows = (
        iterate_texts(path, arguments.column, format=format)
        for path, format in zip(paths, formats, strict=True)
    )
    return Texts(filter(None, itertools.chain.from_iterable(rows)))


def _tell_format(path: str) -> str:
    """Return the format of a file; text files may have any name."""
    try:
        return Table(path).format or "lines"
    except TextValueError:
        return "lines"


@contextlib.contextmanager
def _new_folder(folder: "Path") -> Iterator[None]:
    """Create a folder, and remove it again if nothing is written to it."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for path in created:
                path.rmdir()


def _read_options(path: "Path") -> dict[str, Any]:
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
