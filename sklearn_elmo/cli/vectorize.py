"""``sklearn-elmo vectorize``: a file of texts -> a file of features."""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sklearn_elmo.choices import MISSING
from sklearn_elmo.cli.feature_files import (
    OUTPUT_FORMATS,
    check_output,
    open_features,
    output_format,
)
from sklearn_elmo.cli.flags import (
    add_device_flags,
    add_model_flags,
    add_table_flags,
    add_token_flags,
    column_names,
    layer_mix,
    layers,
    model_of,
    poolings,
)
from sklearn_elmo.cli.formats import Row
from sklearn_elmo.cli.progress import counted, table_progress
from sklearn_elmo.cli.signals import GO_ON_FROM_CACHE, advice_if_interrupted
from sklearn_elmo.cli.tables import Table, chunks
from sklearn_elmo.errors import LongTokenWarning, TextValueError
from sklearn_elmo.pooling_table import POOLINGS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sklearn_elmo.bars import Bar
    from sklearn_elmo.vectorizer import ElmoVectorizer

__all__ = ["Piece", "add_parser", "run", "transformed"]

Piece = list[tuple[Row, str | None]]
"""Some rows of a table, with their texts."""

_DESCRIPTION = """\
Turn each text of a file into one row of features, as ElmoVectorizer does.

IN   CSV or TSV with a header, JSONL, Parquet, or plain lines (.txt), told by the name;
     also compressed (.gz, .bz2, .xz, .zst); - is standard input. UTF-8.
OUT  .npy        the array (rows, features), float32
     .npz        arrays "features", "feature_names" and "columns/NAME"
     .csv        a header with the names, then one line per row
     .parquet    one float column per feature
     .h5, .hdf5  data sets "features", "feature_names" and "columns/NAME"
     -           standard output, as CSV

There is one row per record, in the same order: blank lines of plain text, empty fields
and nulls become rows of zeros. (Blank lines of CSV and JSONL are not records.) --keep
copies columns of IN beside the features: before them in .csv and .parquet, as text
under "columns" in .npz and HDF5.

Memory does not grow with the file, except for --pooling idf (the vocabulary),
--layer-mix learned (one row per layer of each text) and --keep with .npz; the first two
read the file twice.

OUT appears when all is done. To be able to resume after an interruption, use --cache:
the same command, run again, goes on from the texts that are in the cache.
"""

_EPILOG = """\
examples:
  sklearn-elmo vectorize reviews.csv features.npy --column text
  sklearn-elmo vectorize reviews.csv features.parquet --column text --keep id,label
  sklearn-elmo vectorize lines.txt.gz features.h5 --layers 0,1 --pooling mean,max
  zcat posts.gz | sklearn-elmo vectorize - - --format jsonl --column body | head
"""


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments.

    Parameters
    ----------
    subparsers : object
        What `argparse.ArgumentParser.add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "vectorize",
        help="turn the texts of a file into features",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument("input", metavar="IN", help="file of texts, or -")
    parser.add_argument("output", metavar="OUT", help="file of features, or -")
    _add_file_flags(parser.add_argument_group("files"))
    _add_feature_flags(parser.add_argument_group("features"))
    _add_run_flags(parser.add_argument_group("run"))


def _add_file_flags(group: Any) -> None:
    add_table_flags(group)
    group.add_argument(
        "--label",
        metavar="NAME",
        help="column or key of the labels for --layer-mix learned",
    )
    group.add_argument(
        "--keep",
        type=column_names,
        action="extend",
        default=[],
        metavar="NAME,...",
        help="columns or keys to copy beside the features",
    )
    group.add_argument(
        "--output-format", choices=OUTPUT_FORMATS, help="(default: told by OUT's name)"
    )


def _add_feature_flags(group: Any) -> None:
    add_model_flags(group)
    group.add_argument(
        "--layers",
        type=layers,
        default="all",
        metavar="all|top|N,...",
        help="0 is the context-free one; --layers=-1 is the top (default: all)",
    )
    group.add_argument(
        "--layer-mix",
        type=layer_mix,
        default="average",
        metavar="average|concat|learned|W,...",
        help="how layers become one vector; numbers are weights (default: average)",
    )
    group.add_argument(
        "--pooling",
        type=poolings,
        default="mean",
        metavar="NAME,...",
        help=f"how tokens become one vector: {', '.join(POOLINGS)} (default: mean)",
    )
    add_token_flags(group)
    group.add_argument(
        "--missing",
        choices=MISSING,
        default="zero",
        help="what nulls become: a row of zeros, or an error (default: %(default)s)",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale rows to unit length"
    )


def _add_run_flags(group: Any) -> None:
    cache = group.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache",
        metavar="FOLDER",
        help="keep what is computed there, and reuse it; makes the command resumable",
    )
    cache.add_argument(
        "--user-cache",
        dest="cache",
        action="store_const",
        const=True,
        help="the same, in the user's cache folder",
    )
    add_device_flags(group)
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="show progress on stderr"
    )
    loudness.add_argument("-q", "--quiet", action="store_true", help="show no warnings")


def run(arguments: argparse.Namespace) -> None:
    """Read texts, write features.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of the parser that `add_parser` made.

    Raises
    ------
    SklearnElmoError, OSError
        Nothing appears under the output's name then.
    """
    _check_flags(arguments)
    if arguments.quiet:
        warnings.simplefilter("ignore")
    with advice_if_interrupted("vectorize", _advice(arguments)):
        _vectorize(arguments)


def _vectorize(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    format = arguments.output_format or output_format(arguments.output)
    learned = arguments.layer_mix == "learned"
    count_first = "idf" in arguments.pooling and not learned
    with Table(
        arguments.input,
        format=arguments.format,
        quotes=arguments.quotes,
        delimiter=arguments.delimiter,
        reread=count_first or learned,
    ) as table:
        check_output(arguments.output, arguments.input, format)
        vectorizer = _make_vectorizer(arguments)
        if count_first:
            vectorizer._fit_stream(map(_texts_of, _pieces(table, arguments)))
        labelled = _labelled_texts(table, arguments) if learned else ([], None)
        pieces = _pieces(table, arguments)
        # Errors in the first rows are raised before a model is loaded.
        first_piece = next(pieces, [])
        if not count_first:
            with warnings.catch_warnings():
                # `transformed` warns, once and with the line.
                warnings.simplefilter("ignore", LongTokenWarning)
                vectorizer.fit(*labelled)
        names = list(vectorizer.get_feature_names_out())
        n_rows = 0
        with (
            open_features(arguments.output, names, arguments.keep, format) as write,
            table_progress("vectorize", shown=arguments.verbose) as bar,
        ):
            pieces = itertools.chain([first_piece], pieces)
            for piece, features in transformed(vectorizer, pieces, table, bar):
                write(features, [row.values[1:] for row, _ in piece])
                n_rows += len(piece)
    if arguments.verbose:
        _report(arguments.output, n_rows, len(names), time.monotonic() - started)


def transformed(
    vectorizer: "ElmoVectorizer",
    pieces: "Iterable[Piece]",
    table: Table,
    bar: "Bar",
) -> "Iterator[tuple[Piece, npt.NDArray[np.float32]]]":
    """Yield the pieces of a table with their features.

    One warning at the end tells of long tokens, and names the first in the file.

    Parameters
    ----------
    vectorizer : ElmoVectorizer
        A fitted one.
    pieces : iterable of Piece
    table : Table
        The file that is being read.
    bar : Bar
    """
    from sklearn_elmo.base import LongTokens

    long_tokens = LongTokens()
    for piece in counted(pieces, table, bar):
        long_tokens.place = partial(_place, table, piece)
        yield piece, vectorizer._transform_some(_texts_of(piece), bar, long_tokens)
    long_tokens.warn()


def _place(table: Table, piece: Piece, position: int) -> str:
    return table.where(piece[position][0])


def _advice(arguments: argparse.Namespace) -> str:
    """Say how to go on after an interruption."""
    if arguments.cache is None:
        return (
            "With --cache FOLDER, the same command, run again, would go on from what "
            "it has computed."
        )
    return GO_ON_FROM_CACHE


def _check_flags(arguments: argparse.Namespace) -> None:
    """End with a usage error if flags exclude each other."""
    arguments.model = model_of(arguments)
    if (arguments.layer_mix == "learned") != (arguments.label is not None):
        arguments.usage_error("--layer-mix learned and --label need each other")
    if len(set(arguments.keep)) < len(arguments.keep):
        arguments.usage_error("--keep must name each column once")


def _pieces(table: Table, arguments: argparse.Namespace) -> Iterator[Piece]:
    return chunks(_items(table, arguments), itemgetter(1))


def _items(
    table: Table, arguments: argparse.Namespace
) -> Iterator[tuple[Row, str | None]]:
    """Yield rows and their texts; with ``--missing error`` no text may be null."""
    for row in table.rows([arguments.column, *arguments.keep]):
        text = table.as_text(row, arguments.column)
        if text is None and arguments.missing == "error":
            message = (
                f"{table.where(row)} is missing (null), which --missing error refuses. "
                "Fill it, drop it, or pass --missing zero."
            )
            raise TextValueError(message)
        yield row, text


def _texts_of(piece: Piece) -> list[str | None]:
    return [text for _, text in piece]


def _labelled_texts(
    table: Table, arguments: argparse.Namespace
) -> tuple[list[str | None], list[Any]]:
    """Read all texts and their labels."""
    texts, labels = [], []
    for row in table.rows([arguments.column, arguments.label]):
        label = row.values[1]
        if label is None or label == "" or label != label:  # NaN differs from itself
            message = (
                f"{table.where(row)} has no label in {arguments.label!r}, but "
                "--layer-mix learned needs one for each text. Fill it, or drop the row."
            )
            raise TextValueError(message)
        texts.append(table.as_text(row, arguments.column))
        labels.append(label)
    return texts, _as_numbers(labels)


def _as_numbers(labels: list[Any]) -> list[Any]:
    """Turn labels from CSV into numbers if all of them are."""
    for kind in (int, float):
        try:
            return [kind(x) if isinstance(x, str) else x for x in labels]
        except ValueError:
            continue
    return labels


def _make_vectorizer(arguments: argparse.Namespace) -> "ElmoVectorizer":
    from sklearn_elmo.vectorizer import ElmoVectorizer

    return ElmoVectorizer(
        arguments.model,
        layers=arguments.layers,
        layer_mix=arguments.layer_mix,
        pooling=arguments.pooling,
        tokenizer=arguments.tokenizer,
        state=arguments.state,
        missing=arguments.missing,
        normalize=arguments.normalize,
        max_tokens=arguments.max_tokens,
        cache=arguments.cache,
        device=arguments.device,
        precision=arguments.precision,
        batch_tokens=arguments.batch_tokens,
        split=arguments.split,
        verbose=arguments.verbose,
    )


def _report(output: str, n_rows: int, n_features: int, seconds: float) -> None:
    sys.stderr.write(
        f"{output}: {n_rows} rows of {n_features} features in {seconds:.1f} s\n"
    )
