"""``sklearn-elmo pretrain`` and ``perplexity``: train a model, and judge one."""

import argparse
import json
import sys
from typing import Any

__all__ = ["add_parser", "run"]

_SIZES = ("default", "small", "medium", "original")


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the arguments of both commands."""
    _add_pretrain(subparsers)
    _add_perplexity(subparsers)


def _add_pretrain(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "pretrain",
        help="train an ELMo on raw text, or go on training one",
        description="Train a bidirectional language model on text FILEs, one sentence "
        "a line, plain or packed (.gz, .bz2, .xz, .zst), and save it in FOLDER.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="gets the model")
    parser.add_argument("files", metavar="FILE", nargs="+")
    model = parser.add_argument_group("model")
    model.add_argument("--size", choices=_SIZES, default="default")
    model.add_argument(
        "--options-file", metavar="JSON", help="the model's shape, instead of --size"
    )
    model.add_argument("--init", metavar="NAME|PATH", help="a model to begin with")
    model.add_argument("--float16", action="store_true", help="save halves")
    budget = parser.add_argument_group("budget (the first limit counts; else 1 epoch)")
    budget.add_argument("--max-minutes", type=float, metavar="N")
    budget.add_argument("--max-tokens", type=float, metavar="N")
    budget.add_argument("--epochs", type=float, metavar="N")
    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--checkpoint-dir", metavar="FOLDER", help="to go on from when stopped"
    )
    run_group.add_argument("--device", default="auto")
    run_group.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto"
    )
    run_group.add_argument("--random-state", type=int, metavar="N")
    run_group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    training = parser.add_argument_group("training")
    for name, kind in _TRAINING.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N")


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


def _add_perplexity(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "perplexity",
        help="judge a trained language model on text",
        description="Print the perplexity of text FILEs, forward, backward and their "
        "geometric mean, under the model that 'pretrain' saved in FOLDER.",
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("files", metavar="FILE", nargs="+")
    parser.add_argument("--device", default="auto")


def run(arguments: argparse.Namespace) -> None:
    """Do what the command asks."""
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
    given = {name: getattr(arguments, name) for name in _TRAINING}
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
    files = [Path(file) for file in arguments.files]
    folder = Path(arguments.folder).expanduser()
    # What can fail shall fail now, not after hours.
    for file in files:
        file.expanduser().open("rb").close()
    folder.mkdir(parents=True, exist_ok=True)
    pretrainer.fit(files)
    pretrainer.save(folder, dtype="float16" if arguments.float16 else "float32")
    sys.stderr.write(
        f"{folder}: held-out perplexity {pretrainer.held_out_perplexity_:.1f}\n"
    )


def _perplexity(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from sklearn_elmo.pretraining.pretrainer import ElmoPretrainer

    pretrainer = ElmoPretrainer.load(arguments.folder, device=arguments.device)
    judged = pretrainer.evaluate([Path(file) for file in arguments.files])
    for name in ("forward", "backward", "average"):
        sys.stdout.write(f"{name}\t{getattr(judged, name):.2f}\n")
    sys.stdout.write(f"predictions\t{judged.n_tokens}\n")


def _read_options(path: Any) -> dict[str, Any]:
    from sklearn_elmo.errors import ModelFileError

    try:
        options: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        message = (
            f"The options file {str(path)!r} is no JSON ({error}); expected the layout "
            "of AllenNLP's options.json. Mend the file."
        )
        raise ModelFileError(message) from error
    return options
