"""Small helpers that old ELMo code imports from all over AllenNLP."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar, TypeVar

from tqdm import tqdm as _tqdm

from sklearn_elmo.errors import SklearnElmoError

__all__ = [
    "ALLENNLP_VERSION",
    "OutOfScopeError",
    "Subcommand",
    "Tqdm",
    "lazy_groups_of",
    "pad_sequence_to_length",
    "prepare_global_logging",
    "train_model",
]

ALLENNLP_VERSION = "0.9.0"
"""Version of AllenNLP that the stand-ins imitate."""

_T = TypeVar("_T")


class OutOfScopeError(SklearnElmoError, NotImplementedError):
    """Old code asks for a part of AllenNLP that has nothing to do with ELMo."""


def lazy_groups_of(iterator: Iterator[_T], group_size: int) -> Iterator[list[_T]]:
    """Yield lists of `group_size` items, the last one shorter.

    Examples
    --------
    >>> list(lazy_groups_of(iter("abcde"), 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    # An iterable that is not an iterator would start again with each group.
    iterator = iter(iterator)
    while group := list(islice(iterator, group_size)):
        yield group


def pad_sequence_to_length(
    sequence: list[_T],
    desired_length: int,
    default_value: Callable[[], Any] = lambda: 0,
    padding_on_right: bool = True,
) -> list[_T | Any]:
    """Return a list of exactly `desired_length` items, padded or cut at one end.

    Examples
    --------
    >>> pad_sequence_to_length([1, 2], 3), pad_sequence_to_length([1, 2], 1)
    ([1, 2, 0], [1])
    """
    missing = max(desired_length - len(sequence), 0)
    padding = [default_value() for _ in range(missing)]
    if padding_on_right:
        return [*sequence[:desired_length], *padding]
    return [*padding, *sequence[max(len(sequence) - desired_length, 0) :]]


def prepare_global_logging(
    serialization_dir: str | os.PathLike[str], file_friendly_logging: bool
) -> logging.FileHandler:
    """Write log messages to ``stdout.log`` in a folder, too.

    Unlike AllenNLP's function it does not copy what is printed.

    Parameters
    ----------
    serialization_dir : path
    file_friendly_logging : bool
        Whether progress bars are updated rarely.
    """
    Tqdm.set_slower_interval(file_friendly_logging)
    handler = logging.FileHandler(os.path.join(serialization_dir, "stdout.log"))
    form = "%(asctime)s - %(levelname)s - %(name)s - %(message)s"
    handler.setFormatter(logging.Formatter(form))
    logging.getLogger().addHandler(handler)
    return handler


class Subcommand:
    """Base of further commands of ``allennlp.commands.main``."""

    def add_subparser(self, name: str, parser: Any) -> argparse.ArgumentParser:
        """Add the command's parser, whose default ``func`` runs it."""
        raise NotImplementedError


class Tqdm:
    """Progress bars with a common interval."""

    default_mininterval: ClassVar = 0.1

    @staticmethod
    def set_default_mininterval(value: float) -> None:
        """Set the seconds between two updates."""
        Tqdm.default_mininterval = value

    @staticmethod
    def set_slower_interval(use_slower_interval: bool) -> None:
        """Update every 10 s, as suits log files, or every 0.1 s."""
        Tqdm.default_mininterval = 10.0 if use_slower_interval else 0.1

    @staticmethod
    def tqdm(*arguments: Any, **keywords: Any) -> Any:
        """Return a tqdm progress bar."""
        return _tqdm(
            *arguments, **{"mininterval": Tqdm.default_mininterval, **keywords}
        )


def train_model(*arguments: Any, **keywords: Any) -> None:
    """Refuse: AllenNLP's trainer is not part of this package.

    Raises
    ------
    OutOfScopeError
        Always.
    """
    message = (
        "train_model belongs to AllenNLP's trainer, which is not part of sklearn_elmo. "
        "Train a module that contains sklearn_elmo.Elmo with PyTorch, or features of "
        "ElmoVectorizer with scikit-learn."
    )
    raise OutOfScopeError(message)
