"""``sklearn-elmo vectorize``: a file of texts -> a file of features."""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sklearn_elmo.cli.feature_files import check_output, open_features
from sklearn_elmo.cli.flags import (
    batch_tokens,
    delimiter,
    layer_mix,
    layers,
    poolings,
    positive,
)
from sklearn_elmo.cli.tables import FORMATS, Table, chunks
from sklearn_elmo.errors import TextValueError
from sklearn_elmo.inference.precision import PRECISIONS
from sklearn_elmo.pooling_table import POOLINGS

if TYPE_CHECKING:
    from tqdm import tqdm

    from sklearn_elmo.vectorizer import ElmoVectorizer

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Turn each text of a file into one row of features, as ElmoVectorizer does.

IN   CSV or TSV with a header, JSONL, Parquet, or plain lines (.txt), told from the
     name; .gz, .bz2 and .xz too; - is standard input. UTF-8.
OUT  .npy        the array (rows, features), float32
     .npz        arrays "features" and "feature_names"
     .csv        a header with the names, then the numbers
     .parquet    one float column a feature
     .h5, .hdf5  data sets "features" and "feature_names"

There is a row for each record, in their order: blank lines of plain text, empty fields
and nulls become rows of zeros. (Blank lines of CSV and JSONL are no records.) Memory
does not grow with the file, but for --pooling idf (the vocabulary) and --layer-mix
learned (one row a layer of each text); these two read the file twice.
"""

_EPILOG = """\
examples:
  sklearn-elmo vectorize reviews.csv features.npy --column text
  sklearn-elmo vectorize lines.txt.gz features.h5 --layers 0,1 --pooling mean,max
  zcat posts.gz | sklearn-elmo vectorize - out.parquet --format jsonl --column body
"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    subparsers : object
        What `argparse.ArgumentParser.add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "vectorize",
        help="texts of a file -> features",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument("input", metavar="IN", help="file of texts, or -")
    parser.add_argument("output", metavar="OUT", help="file of features")
    _add_table_arguments(parser.add_argument_group("the file of texts"))
    _add_feature_arguments(parser.add_argument_group("the features"))
    _add_running_arguments(parser.add_argument_group("the run"))


def _add_table_arguments(group: Any) -> None:
    group.add_argument(
        "--column",
        metavar="NAME",
        help="column or key that holds the texts (default: the only one)",
    )
    group.add_argument(
        "--format", choices=FORMATS, help="of IN (default: told from its name)"
    )
    group.add_argument(
        "--no-quotes",
        dest="quotes",
        action="store_false",
        help="quotation marks in CSV and TSV are characters like others",
    )
    group.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="CHARACTER",
        help="between fields of CSV and TSV, or tab (default: comma, tab)",
    )
    group.add_argument(
        "--label",
        metavar="NAME",
        help="column or key with the labels for --layer-mix learned",
    )


def _add_feature_arguments(group: Any) -> None:
    group.add_argument(
        "--model",
        metavar="NAME|PATH",
        help="name of a model, or a folder or zip file with one (default: default)",
    )
    group.add_argument("--options-file", metavar="PATH", help="with --weight-file")
    group.add_argument("--weight-file", metavar="PATH", help="with --options-file")
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
    group.add_argument(
        "--tokenizer",
        choices=("words", "whitespace"),
        default="words",
        help="default: words",
    )
    group.add_argument(
        "--state",
        choices=("zero", "warm"),
        default="zero",
        help="that the LSTMs start from (default: zero)",
    )
    group.add_argument(
        "--missing",
        choices=("zero", "error"),
        default="zero",
        help="what becomes of nulls (default: zero, a row of zeros)",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale rows to unit length"
    )
    group.add_argument(
        "--max-tokens",
        type=positive,
        metavar="N",
        help="number of tokens kept of each text (default: all)",
    )
    group.add_argument(
        "--split",
        choices=("sentences",),
        help="read and cache each text sentence by sentence",
    )


def _add_running_arguments(group: Any) -> None:
    cache = group.add_mutually_exclusive_group()
    cache.add_argument(
        "--cache", metavar="FOLDER", help="keep what is computed, and look it up there"
    )
    cache.add_argument(
        "--user-cache",
        dest="cache",
        action="store_const",
        const=True,
        help="the same, in the user's cache folder",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="default: float32",
    )
    group.add_argument(
        "--batch-tokens",
        type=batch_tokens,
        default="auto",
        metavar="N",
        help="tokens in memory at once (default: auto)",
    )
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
    model = _model(arguments)
    learned = arguments.layer_mix == "learned"
    if learned != (arguments.label is not None):
        arguments.usage_error("--layer-mix learned and --label need each other")
    if arguments.quiet:
        warnings.simplefilter("ignore")
    started = time.monotonic()
    count_first = "idf" in arguments.pooling and not learned
    with Table(
        arguments.input,
        format=arguments.format,
        quotes=arguments.quotes,
        delimiter=arguments.delimiter,
        reread=count_first or learned,
    ) as table:
        check_output(arguments.output, arguments.input)
        vectorizer = _make_vectorizer(model, arguments)
        if count_first:
            vectorizer._fit_stream(chunks(_texts(table, arguments)))
        labelled = _labelled_texts(table, arguments) if learned else ([], None)
        pieces = chunks(_texts(table, arguments))
        # Errors in the first rows are raised before a model is loaded.
        first_piece = next(pieces, [])
        if not count_first:
            vectorizer.fit(*labelled)
        names = list(vectorizer.get_feature_names_out())
        with (
            open_features(arguments.output, names) as write,
            _progress(arguments) as progress,
        ):
            for texts in itertools.chain([first_piece], pieces):
                write(vectorizer.transform(texts))
                progress.update(len(texts))
    if arguments.verbose:
        _report(
            arguments.output, int(progress.n), len(names), time.monotonic() - started
        )


def _texts(table: Table, arguments: argparse.Namespace) -> Iterator[str | None]:
    """Yield the texts; with ``--missing error`` there must be no null."""
    for row, text in table.texts(arguments.column):
        if text is None and arguments.missing == "error":
            message = (
                f"{table.where(row)} is missing (null), which --missing error refuses. "
                "Fill it, drop it, or pass --missing zero."
            )
            raise TextValueError(message)
        yield text


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


def _make_vectorizer(model: Any, arguments: argparse.Namespace) -> "ElmoVectorizer":
    from sklearn_elmo.vectorizer import ElmoVectorizer

    return ElmoVectorizer(
        model,
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
    )


def _model(arguments: argparse.Namespace) -> Any:
    """Return the ``model`` parameter that the arguments stand for."""
    pair = (arguments.options_file, arguments.weight_file)
    if pair == (None, None):
        return "default" if arguments.model is None else arguments.model
    if None in pair:
        arguments.usage_error("--options-file and --weight-file need each other")
    if arguments.model is not None:
        arguments.usage_error("give --model or --options-file, not both")
    return pair


def _progress(arguments: argparse.Namespace) -> "tqdm[Any]":
    from tqdm import tqdm

    return tqdm(desc="vectorize", unit="text", disable=not arguments.verbose)


def _report(output: str, n_rows: int, n_features: int, seconds: float) -> None:
    sys.stderr.write(
        f"{output}: {n_rows} rows of {n_features} features in {seconds:.1f} s\n"
    )
