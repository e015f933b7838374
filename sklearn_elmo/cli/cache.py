"""``sklearn-elmo cache``: look into the embedding store, and tend it."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from sklearn_elmo.errors import StoreError
from sklearn_elmo.inference.precision import PRECISIONS

if TYPE_CHECKING:
    from sklearn_elmo.store import EmbeddingStore

__all__ = ["add_parser", "run"]

_FORMATS = ("csv", "tsv", "jsonl", "parquet", "lines")


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "cache",
        help="info, verify, compact, clear and fill the cache of embeddings",
        description="The cache of embeddings in FOLDER, or in the user's cache folder, "
        "where cache=True puts it.",
    )
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, title="actions"
    )
    for name, do, text in (
        ("info", _info, "what is in it, and how often it was of use"),
        ("verify", _verify, "check every byte of it; exit code 1 if some are damaged"),
        ("compact", _compact, "merge small files, drop copies and damaged files"),
        ("clear", _clear, "remove all that is in it"),
    ):
        action = actions.add_parser(name, help=text, description=text.capitalize())
        action.add_argument("cache", metavar="FOLDER", nargs="?")
        action.set_defaults(do=do)
    _add_fill(actions)


def _add_fill(actions: Any) -> None:
    action = actions.add_parser(
        "fill",
        help="compute the texts of a file ahead of time, for others",
        description="Read the texts of FILE with a model and keep what any layer_mix, "
        "pooling and normalize need. Can be stopped and started again: what is in the "
        "cache is not computed twice. Several may run at once and share the work.",
    )
    action.add_argument("file", metavar="FILE", help="CSV, TSV, JSONL, Parquet, lines")
    action.add_argument("--column", metavar="NAME", help="that holds the texts")
    action.add_argument("--format", choices=_FORMATS, help="of FILE")
    action.add_argument("--cache", metavar="FOLDER")
    action.add_argument(
        "--float16", action="store_true", help="keep halves (dtype='float16')"
    )
    action.add_argument("--model", metavar="NAME|PATH", default="default")
    action.add_argument("--tokenizer", choices=("words", "whitespace"), default="words")
    action.add_argument("--state", choices=("zero", "warm"), default="zero")
    action.add_argument("--max-tokens", type=int, metavar="N")
    action.add_argument("--device", default="auto")
    action.add_argument("--precision", choices=PRECISIONS, default="float32")
    action.add_argument("-v", "--verbose", action="store_true", help="show progress")
    action.set_defaults(do=_fill)


def run(arguments: argparse.Namespace) -> None:
    """Do what the action asks."""
    arguments.do(arguments)


def _store(arguments: argparse.Namespace, dtype: str = "float32") -> "EmbeddingStore":
    from sklearn_elmo.downloads import home_folder
    from sklearn_elmo.store import EmbeddingStore

    return EmbeddingStore(arguments.cache or home_folder() / "embeddings", dtype=dtype)


def _info(arguments: argparse.Namespace) -> None:
    info = _store(arguments).info()
    recipes = info.pop("recipes")
    for recipe in [{"cache": info.pop("path"), **info}, *recipes]:
        description = recipe.pop("description", None) or {}
        for name, value in (recipe | description).items():
            sys.stdout.write(f"{name}: {value}\n")
        sys.stdout.write("\n")


def _verify(arguments: argparse.Namespace) -> None:
    damages = _store(arguments).verify()
    for damage in damages:
        where = "" if damage.record is None else f" record {damage.record}"
        dataset = "" if damage.dataset is None else f" {damage.dataset}"
        sys.stdout.write(f"{damage.file}:{dataset}{where}: {damage.problem}\n")
    if damages:
        n_files = len({damage.file for damage in damages})
        message = (
            f"{n_files} files are damaged. They are never read; 'compact' removes "
            "them and keeps the records that are whole."
        )
        raise StoreError(message)


def _compact(arguments: argparse.Namespace) -> None:
    _store(arguments).compact()


def _clear(arguments: argparse.Namespace) -> None:
    _store(arguments).clear()


def _fill(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from sklearn_elmo.cli.tables import chunks, iterate_texts
    from sklearn_elmo.vectorizer import ElmoVectorizer

    vectorizer = ElmoVectorizer(
        arguments.model,
        tokenizer=arguments.tokenizer,
        state=arguments.state,
        max_tokens=arguments.max_tokens,
        cache=_store(arguments, "float16" if arguments.float16 else "float32"),
        device=arguments.device,
        precision=arguments.precision,
    ).fit([])
    texts = iterate_texts(arguments.file, arguments.column, format=arguments.format)
    with tqdm(desc="fill", unit="text", disable=not arguments.verbose) as progress:
        for some in chunks(texts):
            vectorizer.transform(some)
            progress.update(len(some))
