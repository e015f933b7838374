"""Processes for the tests of the store: python store_workers.py NAME ARGUMENT...

They import neither torch nor scikit-learn, so they start fast.
"""

import itertools
import random
import sys
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store import EmbeddingStore, text_key

WIDTH = 16
FIELDS = {"mean/0": WIDTH, "mean/1": WIDTH}


def keys_of(numbers: Sequence[int]) -> list[bytes]:
    """Name the texts with these numbers."""
    return [text_key([str(number)]) for number in numbers]


def rows_of(numbers: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
    """Compute what any process must find for the texts with these numbers."""
    base = np.asarray(numbers, np.float32)[:, None] + np.arange(WIDTH) / 64
    return {"mean/0": base.astype("f4"), "mean/1": -base.astype("f4")}


def request(
    store: EmbeddingStore, numbers: Sequence[int], seconds_per_text: float = 0.0
) -> int:
    """Get texts from a store, check every number and tell how many were computed."""
    computed = 0

    def compute(positions: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
        nonlocal computed
        computed += len(positions)
        time.sleep(seconds_per_text * len(positions))
        return rows_of([numbers[position] for position in positions])

    folder = store.recipe({"model": "test"})
    found = folder.get_or_compute(keys_of(numbers), FIELDS, compute)
    for name, rows in rows_of(numbers).items():
        np.testing.assert_array_equal(found[name], rows)
    return computed


def share(path: str, n_texts: str, seconds_per_text: str) -> None:
    """Want all texts, in an order of its own, and print how many were computed."""
    numbers = random.sample(range(int(n_texts)), int(n_texts))
    print(request(EmbeddingStore(path), numbers, float(seconds_per_text)))


def overlap(path: str, seed: str) -> None:
    """Make many overlapping requests."""
    chooser = random.Random(int(seed))
    store = EmbeddingStore(path, max_bytes=chooser.choice([None, 200_000]))
    for _ in range(60):
        request(store, chooser.sample(range(500), chooser.randint(1, 120)))


def write_for_ever(path: str, first: str) -> None:
    """Acknowledge one request a line until killed."""
    store = EmbeddingStore(path)
    for start in itertools.count(int(first), 5):
        request(store, range(start, start + 5))
        print(start, flush=True)


def hold(path: str, n_texts: str) -> None:
    """Hold shares of the work until killed."""

    def compute(positions: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
        print("holding", flush=True)
        time.sleep(3600)
        return {}

    folder = EmbeddingStore(path).recipe({"model": "test"})
    folder.get_or_compute(keys_of(range(int(n_texts))), FIELDS, compute)


if __name__ == "__main__":
    commands = {f.__name__: f for f in (share, overlap, write_for_ever, hold)}
    commands[sys.argv[1]](*sys.argv[2:])
