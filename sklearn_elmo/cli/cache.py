"""``sklearn-elmo cache``: inspect, check, clean and fill the embedding store."""

import argparse
import os
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sklearn_elmo.cli.flags import (
    add_device_flags,
    add_model_flags,
    add_table_flags,
    add_token_flags,
    model_of,
)
from sklearn_elmo.cli.signals import GO_ON_FROM_CACHE, advice_if_interrupted
from sklearn_elmo.errors import StoreError

if TYPE_CHECKING:
    from sklearn_elmo.store import EmbeddingStore
    from sklearn_elmo.store.store import Cleanup

__all__ = ["add_parser", "run"]


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        "cache",
        help="info, verify, compact, clear and fill the cache of embeddings",
        description="Manage the cache of embeddings in FOLDER. The default is the "
        "user's cache folder, which cache=True uses.",
    )
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, title="actions"
    )
    for name, do, text in (
        ("info", _info, "show what it holds and how often it was used"),
        ("verify", _verify, "check every byte; exit code 1 if some are damaged"),
        ("compact", _compact, "merge small files, drop copies and damaged files"),
        ("clear", _clear, "remove everything in it"),
    ):
        action = actions.add_parser(name, help=text, description=text.capitalize())
        action.add_argument("cache", metavar="FOLDER", nargs="?")
        action.set_defaults(do=do)
    _add_fill(actions)


def _add_fill(actions: Any) -> None:
    action = actions.add_parser(
        "fill",
        help="compute the texts of a file ahead of time",
        description="Compute the texts of FILE, and keep what every layer_mix, pooling "
        "and normalize need. To resume after an interruption, run the same command "
        "again: what is in the cache is not computed a second time. Several processes "
        "may run at once and share the work.",
    )
    action.add_argument("file", metavar="FILE", help="CSV, TSV, JSONL, Parquet, lines")
    add_table_flags(action)
    action.add_argument("--cache", metavar="FOLDER")
    action.add_argument(
        "--float16", action="store_true", help="store 16-bit floats (dtype='float16')"
    )
    add_model_flags(action)
    add_token_flags(action)
    add_device_flags(action)
    action.add_argument("-v", "--verbose", action="store_true", help="show progress")
    action.set_defaults(do=_fill, usage_error=action.error)


def run(arguments: argparse.Namespace) -> None:
    """Run the action."""
    arguments.do(arguments)


def _store(arguments: argparse.Namespace, dtype: str = "float32") -> "EmbeddingStore":
    from sklearn_elmo.downloads import home_folder
    from sklearn_elmo.store import EmbeddingStore

    return EmbeddingStore(arguments.cache or home_folder() / "embeddings", dtype=dtype)


def _existing_store(arguments: argparse.Namespace) -> "EmbeddingStore":
    """Return the store of a folder that is there: a wrong path must not look empty."""
    store = _store(arguments)
    path = os.path.expanduser(store.path)
    if not os.path.isdir(path):
        message = (
            f"There is no cache folder {os.fspath(path)!r}. Check the path; the first "
            "text that is computed creates the folder."
        )
        raise StoreError(message)
    return store


def _info(arguments: argparse.Namespace) -> None:
    info = _existing_store(arguments).info()
    recipes = info.pop("recipes")
    for recipe in [{"cache": info.pop("path"), **info}, *recipes]:
        description = recipe.pop("description", None) or {}
        for name, value in (recipe | description).items():
            sys.stdout.write(f"{name}: {value}\n")
        sys.stdout.write("\n")


def _verify(arguments: argparse.Namespace) -> None:
    store = _existing_store(arguments)
    damages = store.verify()
    for damage in damages:
        where = "" if damage.record is None else f" record {damage.record}"
        dataset = "" if damage.dataset is None else f" {damage.dataset}"
        sys.stdout.write(f"{damage.file}:{dataset}{where}: {damage.problem}\n")
    if damages:
        n_files = len({damage.file for damage in damages})
        message = (
            f"{n_files} files are damaged. They are never read; 'compact' removes "
            "them and keeps their undamaged records."
        )
        raise StoreError(message)
    info = store.info()
    sys.stdout.write(
        f"{store.path}: checked {info['entries']} entries in {info['segments']} files "
        f"({info['bytes']} bytes); none is damaged\n"
    )


def _compact(arguments: argparse.Namespace) -> None:
    store = _existing_store(arguments)
    _report("compacted", store, store.compact())


def _clear(arguments: argparse.Namespace) -> None:
    store = _existing_store(arguments)
    _report("cleared", store, store.clear())


def _report(what: str, store: "EmbeddingStore", cleanup: "Cleanup") -> None:
    sys.stdout.write(
        f"{store.path}: {what}; files {cleanup.segments_before} -> "
        f"{cleanup.segments_after}, bytes {cleanup.bytes_before} -> "
        f"{cleanup.bytes_after}\n"
    )


def _fill(arguments: argparse.Namespace) -> None:
    from sklearn_elmo.cli.progress import table_progress
    from sklearn_elmo.cli.tables import Table, chunks
    from sklearn_elmo.cli.vectorize import transformed
    from sklearn_elmo.vectorizer import ElmoVectorizer

    vectorizer = ElmoVectorizer(
        model_of(arguments),
        tokenizer=arguments.tokenizer,
        state=arguments.state,
        max_tokens=arguments.max_tokens,
        split=arguments.split,
        cache=_store(arguments, "float16" if arguments.float16 else "float32"),
        device=arguments.device,
        precision=arguments.precision,
        batch_tokens=arguments.batch_tokens,
    ).fit([])
    with (
        advice_if_interrupted("cache fill", GO_ON_FROM_CACHE),
        Table(
            arguments.file,
            format=arguments.format,
            quotes=arguments.quotes,
            delimiter=arguments.delimiter,
        ) as table,
        table_progress("fill", shown=arguments.verbose) as bar,
    ):
        pieces = chunks(table.texts(arguments.column), itemgetter(1))
        for _ in transformed(vectorizer, pieces, table, bar):
            pass  # the cache keeps what is needed
