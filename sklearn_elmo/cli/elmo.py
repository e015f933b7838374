"""``sklearn-elmo elmo``: AllenNLP's command, which writes the same file."""

import argparse
import contextlib
import importlib
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

from sklearn_elmo.compressed import open_compressed
from sklearn_elmo.errors import (
    OutputFileError,
    SklearnElmoError,
    TextValueError,
    UnusedParameterWarning,
)
from sklearn_elmo.messages import warn_caller

__all__ = ["add_parser", "run"]

_INTERVAL_S = 10.0

_DESCRIPTION = """\
Write the vectors of every token of a text file to an HDF5 file. The text has one
sentence per line, with blanks between tokens, and may be compressed. Data set "k" is
line k (from 0); "sentence_to_index" is a JSON object from each line to its number.
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
        help="initial state of a sentence: that of its row in the last batch (as in "
        "AllenNLP), zeros, or one fixed state (default: %(default)s)",
    )
    parser.add_argument(
        "--cuda-device",
        type=int,
        default=-1,
        metavar="N",
        help="number of the GPU; -1 for the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--float16",
        action="store_true",
        help="write 16-bit floats: half the size, 3 digits",
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--forget-sentences",
        action="store_true",
        help="omit 'sentence_to_index'",
    )
    keys.add_argument(
        "--include-sentence-indices",
        action="store_true",
        help="also write 'sentence_indices', the how-to's name of the same",
    )
    parser.add_argument(
        "--use-sentence-keys",
        action="store_true",
        help="name the data sets by the sentences; none may repeat or contain a '/'",
    )
    parser.add_argument(
        "--file-friendly-logging",
        action="store_true",
        help="show progress on separate lines, as when stderr is not a terminal",
    )
    parser.add_argument("--vocab-path", metavar="FILE", help="has no effect, as before")
    parser.add_argument(
        "--include-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import this package first; may be repeated",
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> None:
    """Write the file.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``arguments.usage_error`` ends the command if the input cannot be opened, as in
        AllenNLP.
    """
    has_files = arguments.options_file or arguments.weight_file
    if has_files and arguments.model not in (None, "default"):
        arguments.usage_error("--model goes without --options-file and --weight-file")
    try:
        file = _open_input(arguments.input_file)
    except OSError as error:
        if isinstance(error, SklearnElmoError):
            raise
        arguments.usage_error(
            f"argument IN: cannot open {arguments.input_file!r}: {error.strerror}"
        )
    with _decoded(file, arguments.input_file) as lines:
        _write(lines, arguments)


def _write(lines: IO[str], arguments: argparse.Namespace) -> None:
    _check_output(arguments.input_file, arguments.output_file)
    if arguments.vocab_path is not None:
        warn_caller(
            "--vocab-path has no effect: characters need no vocabulary.",
            UnusedParameterWarning,
        )
    for package in arguments.include_package:
        importlib.import_module(package)

    from sklearn_elmo.allennlp.embedder import ElmoEmbedder
    from sklearn_elmo.allennlp.hdf5_output import write_vectors

    has_files = arguments.options_file or arguments.weight_file
    embedder = ElmoEmbedder(
        arguments.options_file,
        arguments.weight_file,
        arguments.cuda_device,
        state=arguments.state,
        model=None if has_files else arguments.model,
    )
    with _Progress(arguments.file_friendly_logging) as progress:
        write_vectors(
            progress.count(lines),
            arguments.output_file,
            lambda tokens: embedder.embed_sentences(tokens, arguments.batch_size),
            output_format=arguments.output_format,
            forget_sentences=arguments.forget_sentences,
            use_sentence_keys=arguments.use_sentence_keys,
            include_sentence_indices=arguments.include_sentence_indices,
            dtype="float16" if arguments.float16 else "float32",
            on_sentence=progress.update,
        )


def _check_output(input_file: str, output_file: str) -> None:
    """Refuse an impossible output before the model is loaded."""
    if os.path.isdir(output_file):
        message = f"{output_file!r} is a folder. Name a file in it."
        raise OutputFileError(message)
    both_exist = input_file != "-" and os.path.exists(output_file)
    if both_exist and os.path.samefile(input_file, output_file):
        message = f"{output_file!r} is the file that is read. Choose another name."
        raise OutputFileError(message)


def _open_input(input_file: str) -> IO[bytes]:
    if input_file == "-":
        return open_compressed(
            sys.stdin.buffer, error=TextValueError, name="standard input"
        )
    return open_compressed(input_file, error=TextValueError)


@contextlib.contextmanager
def _decoded(file: IO[bytes], input_file: str) -> Iterator[IO[str]]:
    """Decode a file as UTF-8, whatever the locale; drop a byte order mark."""
    with io.TextIOWrapper(file, encoding="utf-8-sig") as lines:
        try:
            yield lines
        except UnicodeDecodeError as error:
            message = (
                f"The input {input_file!r} is not UTF-8 ({error.reason}: "
                f"0x{error.object[error.start]:02x}). Convert it first, for example "
                "with iconv."
            )
            raise TextValueError(message) from error


class _Progress:
    """Counts sentences on stderr: as a bar on a terminal, otherwise on lines.

    `write_vectors` reads all lines before it computes, so the total is known.
    """

    def __init__(self, file_friendly: bool) -> None:
        from sklearn_elmo.bars import Bar

        self._on_lines = file_friendly or not sys.stderr.isatty()
        self._bar = Bar(unit=" sentences", disable=self._on_lines)
        self._total = self._done = 0
        self._started_at = self._shown_at = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if self._on_lines and kind is None:
            sys.stderr.write(f"{self._done} sentences, done\n")

    def count(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines and count them."""
        for line in lines:
            self._total += 1
            yield line

    def update(self) -> None:
        """Show that one more sentence is done."""
        self._done += 1
        self._bar.total = self._total
        self._bar.update()
        now = time.monotonic()
        if self._on_lines and now - self._shown_at >= _INTERVAL_S:
            self._shown_at = now
            n_left = self._total - self._done
            left = self._bar.format_interval(
                (now - self._started_at) / self._done * n_left
            )
            sys.stderr.write(f"{self._done} of {self._total} sentences, {left} left\n")
