"""Processes for the tests of the store: python store_workers.py NAME ARGUMENT...

They import neither torch nor scikit-learn, so they start fast.
"""

import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from sklearn_elmo.store import EmbeddingStore, RecipeFolder, text_key

WIDTH = 16
FIELDS = {"mean/0": WIDTH, "mean/1": WIDTH}


def keys_of(numbers: Sequence[int]) -> list[bytes]:
    """Name the texts with these numbers."""
    return [text_key([str(number)]) for number in numbers]


def rows_of(numbers: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
    """Compute what any process must find for the texts with these numbers."""
    base = np.asarray(numbers, np.float32).reshape(-1, 1) + np.arange(WIDTH) / 64
    return {"mean/0": base.astype("f4"), "mean/1": -base.astype("f4")}


def recipe_of(store: EmbeddingStore) -> RecipeFolder:
    """Open the one recipe that these texts are kept in."""
    return store.recipe({"model": "test"})


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

    found = recipe_of(store).get_or_compute(keys_of(numbers), FIELDS, compute)
    for name, rows in rows_of(numbers).items():
        np.testing.assert_array_equal(found[name], rows)
    return computed


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def share(path: str, n_texts: str, seconds_per_text: str) -> None:
    """Want all texts, in an order of its own; say how many were computed, and when."""
    numbers = random.sample(range(int(n_texts)), int(n_texts))
    start = time.time()
    computed = request(EmbeddingStore(path), numbers, float(seconds_per_text))
    say(f"{computed} {start} {time.time()}")


def overlap(path: str, seed: str, max_bytes: str) -> None:
    """Make many overlapping requests."""
    chooser = random.Random(int(seed))
    store = EmbeddingStore(path, max_bytes=int(max_bytes) or None)
    for _ in range(60):
        request(store, chooser.sample(range(500), chooser.randint(1, 120)))


def hold(path: str, n_texts: str) -> None:
    """Claim texts and compute them for ever."""

    def compute(positions: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
        say("holding")
        time.sleep(3600)
        return {}

    keys = keys_of(range(int(n_texts)))
    recipe_of(EmbeddingStore(path)).get_or_compute(keys, FIELDS, compute)


def kill_writers(path: str, acknowledged: str, n_kills: str, seed: str) -> None:
    """Fork writers, three at a time, and kill each at a random instant.

    A writer notes in the file `acknowledged` what has been stored.
    """
    chooser = random.Random(int(seed))
    request(EmbeddingStore(path), [-1])  # imports everything that writers need
    log = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    parent = os.getpid()
    writers: list[int] = []
    for generation in range(int(n_kills)):
        while len(writers) < 3:
            writer = os.fork()
            if not writer:
                store = EmbeddingStore(path)
                start = (int(seed) * 1000 + generation) * 10_000 + len(writers) * 1000
                for first in itertools.count(start, 5):
                    request(store, range(first, first + 5))
                    os.write(log, b"%d\n" % first)
                    if os.getppid() != parent:  # a test that was given up
                        os._exit(1)
            writers.append(writer)
        time.sleep(chooser.uniform(0.005, 0.15))
        victim = writers.pop(chooser.randrange(len(writers)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    for writer in writers:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


def fork_after_use(path: str) -> None:
    """Use a store in threads, fork in the midst of it, and use it in both processes."""
    store = EmbeddingStore(path)
    # A fork while another thread is at its first `import h5py` leaves the child with a
    # lock of Python's own import system, which nobody can give back.
    request(store, range(300, 305))
    stop = threading.Event()

    def keep_using() -> None:
        while not stop.is_set():
            request(store, random.sample(range(300), 50))

    with ThreadPoolExecutor(3) as pool:
        users = [pool.submit(keep_using) for _ in range(3)]
        try:
            for _ in range(10):
                time.sleep(0.02)
                child = os.fork()
                if not child:
                    request(store, range(310))
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
        for user in users:
            user.result()


if __name__ == "__main__":
    commands = (share, overlap, hold, kill_writers, fork_after_use)
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
