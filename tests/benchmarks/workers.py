"""Two workers at once on one store: are the numbers right, is the work divided?

    python tests/benchmarks/workers.py [--scheduler loky threading dask spark]
        [--folder FOLDER] [--texts 1000]

Both workers get the same fitted vectorizer, pickled as the scheduler pickles. Each
wants three quarters of the messages, in an order of its own; half of them both want.
"read" counts texts that went through the model: 1.000 x distinct if none did so twice.
The seconds are each worker's own, from when both had loaded the model.
Whatever differs from numbers without a cache, or warns of the cache, ends the script.
The stores lie in FOLDER, which chooses the file system, and are removed at the end.

Dask needs ``pip install "dask[distributed]"``; Spark ``pip install pyspark``, and Java.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from task_data import read_messages

from sklearn_elmo import ElmoVectorizer
from sklearn_elmo.errors import CacheWarning
from sklearn_elmo.store import EmbeddingStore
from sklearn_elmo.text.tokenizers import resolve_tokenizer

N_WORKERS = 2
MEETING_TIMEOUT_S = 120.0
tokenize = resolve_tokenizer("words", estimator="workers.py")


class Task(NamedTuple):
    """What one worker has to do."""

    number: int
    vectorizer: ElmoVectorizer
    texts: list[str]
    meeting: Path
    """A folder where workers wait for each other."""


class Answer(NamedTuple):
    rows: np.ndarray
    seconds: float


def do(task: Task) -> Answer:
    """Wait until both workers are ready, then transform."""
    warnings.simplefilter("error", CacheWarning)
    ElmoVectorizer().fit_transform(["The model is loaded."])
    (task.meeting / str(task.number)).touch()
    deadline = time.monotonic() + MEETING_TIMEOUT_S
    while len(list(task.meeting.iterdir())) < N_WORKERS:
        if time.monotonic() > deadline:
            message = f"Only some of {N_WORKERS} workers ran at the same time."
            raise TimeoutError(message)
        time.sleep(0.01)
    start = time.perf_counter()
    rows = task.vectorizer.transform(task.texts)
    return Answer(rows, time.perf_counter() - start)


def run_loky(tasks: list[Task]) -> list[Answer]:
    return joblib.Parallel(N_WORKERS)(joblib.delayed(do)(task) for task in tasks)


def run_threading(tasks: list[Task]) -> list[Answer]:
    parallel = joblib.Parallel(N_WORKERS, backend="threading")
    return parallel(joblib.delayed(do)(task) for task in tasks)


def run_dask(tasks: list[Task]) -> list[Answer]:
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        sys.exit('Dask is not installed: pip install "dask[distributed]"')
    with (
        LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        return client.gather(client.map(do, tasks))


def run_spark(tasks: list[Task]) -> list[Answer]:
    try:
        from pyspark import SparkConf, SparkContext
    except ImportError:
        sys.exit("Spark is not installed: pip install pyspark (and Java 17)")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = SparkConf().setMaster(f"local[{N_WORKERS}]").setAppName("workers.py")
    conf.set("spark.ui.enabled", "false")
    with SparkContext(conf=conf) as context:
        return context.parallelize(tasks, N_WORKERS).map(do).collect()


SCHEDULERS: dict[str, Callable[[list[Task]], list[Answer]]] = {
    "loky": run_loky,
    "threading": run_threading,
    "dask": run_dask,
    "spark": run_spark,
}


def distinct_messages(n_texts: int) -> list[str]:
    """Read messages that differ in their tokens, as the store tells them apart."""
    by_tokens = {tuple(tokenize(text)): text for text in read_messages()[1]}
    return list(by_tokens.values())[:n_texts]


def wanted_by(worker: int, n_texts: int) -> np.ndarray:
    """Choose the first or the last three quarters, shuffled."""
    n_wanted = n_texts * 3 // 4
    first = 0 if worker == 0 else n_texts - n_wanted
    order = np.random.default_rng(worker).permutation(n_wanted)
    return first + order


def benchmark(name: str, folder: Path, texts: list[str], expected: np.ndarray) -> None:
    store = EmbeddingStore(folder / name)
    vectorizer = ElmoVectorizer(cache=store).fit(texts)
    wanted = [wanted_by(worker, len(texts)) for worker in range(N_WORKERS)]
    with tempfile.TemporaryDirectory() as meeting:
        tasks = [
            Task(k, vectorizer, [texts[i] for i in order], Path(meeting))
            for k, order in enumerate(wanted)
        ]
        answers = SCHEDULERS[name](tasks)
    error = max(
        np.abs(answer.rows - expected[order]).max()
        for answer, order in zip(answers, wanted, strict=True)
    )
    if not error <= 5e-6:
        sys.exit(f"{name}: rows differ by {error:.1e} from those without a cache.")
    if damages := store.verify():
        sys.exit(f"{name}: the store is damaged: {damages}")
    info = store.info()
    seconds = ", ".join(f"{answer.seconds:.1f}" for answer in answers)
    print(
        f"{name:10} read {info['misses']} = {info['misses'] / len(texts):.3f} x "
        f"distinct, {info['entries']} stored, error {error:.0e}, {seconds} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scheduler", nargs="+", choices=SCHEDULERS, default=list(SCHEDULERS)
    )
    parser.add_argument("--folder", type=Path, help="default: a temporary folder")
    parser.add_argument("--texts", type=int, default=1000)
    arguments = parser.parse_args()
    texts = distinct_messages(arguments.texts)
    start = time.perf_counter()
    expected = ElmoVectorizer().fit_transform(texts)
    seconds = time.perf_counter() - start
    print(f"{len(texts)} texts, one process, no cache: {seconds:.1f} s", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for name in arguments.scheduler:
            benchmark(name, Path(folder), texts, expected)


if __name__ == "__main__":
    main()
