"""``sklearn-elmo elmo``: AllenNLP's command, for files that have to be the same."""

import argparse
import contextlib
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from sklearn_elmo.errors import OutputFileError, TextValueError, UnusedParameterWarning
from sklearn_elmo.messages import warn_caller

__all__ = ["add_parser", "run"]

_PROGRESS_INTERVAL_S = 10.0

_DESCRIPTION = """\
Write the vectors of every token of a text file, one sentence a line, tokens parted by
blanks, into an HDF5 file: data set "k" for line k (from 0), and "sentence_to_index", a
JSON object from each line to its number.
"""


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "elmo",
        help="all tokens of a text file to HDF5, as AllenNLP's command did",
        description=_DESCRIPTION,
    )
    parser.add_argument("input_file", metavar="IN", help="UTF-8 text; - for stdin")
    parser.add_argument("output_file", metavar="OUT", help="HDF5 file to write")
    formats = parser.add_mutually_exclusive_group(required=True)
    for name, shape in [
        ("all", "all layers: (layers, tokens, width)"),
        ("top", "the top layer: (tokens, width)"),
        ("average", "the mean of the layers: (tokens, width)"),
    ]:
        formats.add_argument(
            f"--{name}",
            dest="output_format",
            action="store_const",
            const=name,
            help=shape,
        )
    parser.add_argument(
        "--model",
        default="default",
        metavar="NAME",
        help="name of a model ('models list'), folder or zip (default: %(default)s)",
    )
    for kind in ("options", "weight"):
        parser.add_argument(
            f"--{kind}-file",
            metavar="FILE",
            help="path or URL; alone it goes with the other file of 'original'",
        )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=64,
        metavar="N",
        help="sentences at a time; with --state carry line k starts where line k - N "
        "ended (default: %(default)s)",
    )
    parser.add_argument(
        "--state",
        choices=("carry", "zero", "warm"),
        default="carry",
        help="what a sentence starts from: its row of the last batch (as in AllenNLP), "
        "zeros, or one fixed state (default: %(default)s)",
    )
    parser.add_argument(
        "--cuda-device",
        type=int,
        default=-1,
        metavar="N",
        help="number of the GPU; -1 for the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--float16", action="store_true", help="half the size, 3 digits"
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--forget-sentences",
        action="store_true",
        help="leave 'sentence_to_index' out",
    )
    keys.add_argument(
        "--include-sentence-indices",
        action="store_true",
        help="write 'sentence_indices' too, the how-to's name of the same",
    )
    parser.add_argument(
        "--use-sentence-keys",
        action="store_true",
        help="name the data sets by the sentences; none may repeat or hold a '/'",
    )
    parser.add_argument(
        "--file-friendly-logging",
        action="store_true",
        help="progress on lines of its own, as when stderr is no terminal",
    )
    parser.add_argument("--vocab-path", metavar="FILE", help="of no effect, as before")
    parser.add_argument(
        "--include-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import this package first; may be repeated",
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> None:
    """Write the file."""
    has_files = arguments.options_file or arguments.weight_file
    if has_files and arguments.model not in (None, "default"):
        arguments.usage_error("--model goes without --options-file and --weight-file")
    _check_files(arguments.input_file, arguments.output_file)
    if arguments.vocab_path is not None:
        warn_caller(
            "--vocab-path has no effect: characters need no vocabulary.",
            UnusedParameterWarning,
        )
    for package in arguments.include_package:
        importlib.import_module(package)

    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.hdf5_output import write_vectors

    with _open_lines(arguments.input_file) as lines:
        embedder = ElmoEmbedder(
            arguments.options_file,
            arguments.weight_file,
            arguments.cuda_device,
            state=arguments.state,
            model=None if has_files else arguments.model,
        )
        with _progress(arguments.file_friendly_logging) as advance:
            write_vectors(
                lines,
                arguments.output_file,
                lambda tokens: embedder.embed_sentences(tokens, arguments.batch_size),
                output_format=arguments.output_format,
                forget_sentences=arguments.forget_sentences,
                use_sentence_keys=arguments.use_sentence_keys,
                include_sentence_indices=arguments.include_sentence_indices,
                dtype="float16" if arguments.float16 else "float32",
                on_sentence=advance,
            )


def _check_files(input_file: str, output_file: str) -> None:
    """Refuse, before the model is loaded, what cannot end well."""
    if os.path.isdir(output_file):
        message = f"{output_file!r} is a folder. Name a file in it."
        raise OutputFileError(message)
    both_exist = input_file != "-" and os.path.exists(output_file)
    if both_exist and os.path.samefile(input_file, output_file):
        message = f"{output_file!r} is the file that is read. Choose another name."
        raise OutputFileError(message)


@contextlib.contextmanager
def _open_lines(input_file: str) -> Iterator[IO[str]]:
    """Open the input as UTF-8, whatever the locale."""
    if input_file == "-":
        file: IO[str] = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    else:
        file = open(input_file, encoding="utf-8")  # noqa: SIM115  # closed below
    try:
        yield file
    except UnicodeDecodeError as error:
        message = (
            f"The input {input_file!r} is not UTF-8 ({error.reason}: "
            f"0x{error.object[error.start]:02x}). Convert it first, for example with "
            "iconv."
        )
        raise TextValueError(message) from error
    finally:
        file.close()


@contextlib.contextmanager
def _progress(file_friendly: bool) -> Iterator[Callable[[], object]]:
    """Count sentences on stderr, in place on a terminal, else on lines now and then."""
    if not file_friendly and sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(unit=" sentences") as bar:
            yield bar.update
        return
    count, shown_at = 0, time.monotonic()

    def advance() -> None:
        nonlocal count, shown_at
        count += 1
        if time.monotonic() - shown_at >= _PROGRESS_INTERVAL_S:
            shown_at = time.monotonic()
            sys.stderr.write(f"{count} sentences\n")

    yield advance
    sys.stderr.write(f"{count} sentences, done\n")
