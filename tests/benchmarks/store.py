"""Measure the embedding store: python tests/benchmarks/store.py --model default

Ratios compare things of one run on one machine; absolute times are its own.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from task_data import read_messages

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.store import EmbeddingStore, text_key
from sklearn_elmo.store import view as store_view

WORKERS = Path(__file__).parents[1] / "store_workers.py"


def best_of(repeats: int, function: Callable[[], object]) -> float:
    """Time a function in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def make_keys(count: int) -> list[bytes]:
    return [text_key([str(number)]) for number in range(count)]


def refuse(positions: Sequence[int]) -> dict[str, npt.NDArray[np.float32]]:
    raise AssertionError(positions)


def benchmark_hits(folder: Path, n_texts: int, width: int, dtype: str) -> None:
    """Read one pooling of three layers."""
    layers = np.random.default_rng(0).standard_normal((3, n_texts, width), dtype="f4")
    fields = {f"mean/{layer}": width for layer in range(3)}
    keys = make_keys(n_texts)
    recipe = EmbeddingStore(folder / f"hits{width}{dtype}", dtype=dtype).recipe({})
    recipe.get_or_compute(
        keys,
        fields,
        lambda some: {f"mean/{layer}": layers[layer][some] for layer in range(3)},
    )
    with h5py.File(folder / "plain.h5", "w") as file:
        file.create_dataset("rows", data=layers)

    def plain() -> None:
        with h5py.File(folder / "plain.h5", "r") as file:
            file["rows"][:]

    shuffled = np.random.default_rng(1).permutation(n_texts)
    orders = {
        "in order": np.arange(n_texts),
        "a fold of 80%": np.sort(shuffled[: n_texts * 8 // 10]),
        "shuffled": shuffled,
    }
    for name, order in orders.items():
        wanted = [keys[number] for number in order]
        seconds, reading = [], []
        for _ in range(9):  # in turn, as the machine may change its pace
            seconds.append(
                best_of(1, lambda w=wanted: recipe.get_or_compute(w, fields, refuse))
            )
            reading.append(best_of(1, plain) * len(order) / n_texts)
        ratios = np.array(reading) / np.array(seconds)
        print(
            f"hits, {dtype}, {n_texts} x 3 x {width}, {name}: {min(seconds):.3f} s; "
            f"speed relative to plain h5py: {np.median(ratios):.2f}"
        )


def benchmark_size(folder: Path) -> None:
    """Store what the vectorizer does: 5 reductions of 3 layers."""
    keys = make_keys(1000)
    for width in (512, 1024):
        fields = {f"{name}/{layer}": width for name in "abcde" for layer in range(3)}
        rows = np.random.default_rng(0).standard_normal((len(keys), width))
        for dtype in ("float32", "float16"):
            store = EmbeddingStore(folder / f"size{width}{dtype}", dtype=dtype)
            store.recipe({}).get_or_compute(
                keys, fields, lambda some, f=fields, r=rows: dict.fromkeys(f, r[some])
            )
            n_bytes = store.info()["bytes"] / len(keys)
            shape = "the default model" if width == 512 else "3 x 1024"
            print(f"{shape}, {dtype}: {n_bytes:,.0f} bytes per text")


def benchmark_float16(folder: Path, model: str) -> None:
    """Classify messages with features from a float32 and from a float16 store."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sklearn_elmo.vectorizer import ElmoVectorizer

    labels, texts = read_messages()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    predicted = {}
    for dtype in ("float32", "float16"):
        cache = EmbeddingStore(folder / f"accuracy{dtype}", dtype=dtype)
        elmo = ElmoVectorizer(model, layer_mix="concat", cache=cache)
        predicted[dtype] = cross_val_predict(
            classifier, elmo.fit_transform(texts), labels, cv=5
        )
        right = np.mean(predicted[dtype] == labels)
        print(f"{len(texts):,} messages, {dtype} store: accuracy {right:.4f}")
    other = np.count_nonzero(predicted["float32"] != predicted["float16"])
    print(f"predictions that differ: {other}")


def benchmark_lookup(folder: Path) -> None:
    keys = make_keys(100_000)
    recipe = EmbeddingStore(folder / "lookup").recipe({})
    recipe.get_or_compute(
        keys, {"mean": 4}, lambda some: {"mean": np.ones((len(some), 4))}
    )
    seconds = best_of(5, lambda: recipe.missing(keys, {"mean": 4}))
    print(f"lookup of 100,000 keys: {seconds:.3f} s")


def benchmark_one_text(folder: Path, model: str) -> None:
    """Transform one text at a time: cached, new to the cache, and without a cache."""
    from sklearn_elmo.vectorizer import ElmoVectorizer

    known = "The soup was cold and the waiter did not care ."
    numbers = itertools.count()
    plain = ElmoVectorizer(model).fit([])
    cached = ElmoVectorizer(model, cache=folder / "one").fit([])
    content = np.random.default_rng(0).bytes(40_000)

    def write() -> None:
        write_bytes(folder / "one" / f"{next(numbers)}.bin", content)

    calls: dict[str, Callable[[], object]] = {
        "read, no cache": lambda: plain.transform([known]),
        "cached": lambda: cached.transform([known]),
        "new, no cache": lambda: plain.transform([f"{known} {next(numbers)}"]),
        "new, cache": lambda: cached.transform([f"{known} {next(numbers)}"]),
        "a durable write of 40 kB": write,
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(101):  # in turn, as the machine may change its pace
        for name, call in calls.items():
            seconds[name].append(best_of(1, call))
    ms = {name: 1000 * float(np.median(values[1:])) for name, values in seconds.items()}
    shown = ", ".join(f"{name} {value:.1f} ms" for name, value in ms.items())
    hit = ms["cached"] / ms["read, no cache"]
    miss = ms["new, cache"] / (ms["new, no cache"] + ms["a durable write of 40 kB"])
    print(f"one text: {shown}; hit / read {hit:.2f}, miss / (read + write) {miss:.2f}")


def benchmark_one_of_many(folder: Path) -> None:
    """Add texts one by one to a store of a million, and find each again."""
    keys = make_keys(1_000_100)
    recipe = EmbeddingStore(folder / "many").recipe({})

    def ask(some: list[bytes]) -> None:
        recipe.get_or_compute(
            some, {"mean": 4}, lambda few: {"mean": np.ones((len(few), 4))}
        )

    ask(keys[:1_000_000])
    misses, hits = [], []
    for key in keys[1_000_000:]:
        misses.append(best_of(1, lambda k=key: ask([k])))
        hits.append(best_of(1, lambda k=key: ask([k])))
    print(
        f"one text among a million: miss {1000 * np.median(misses):.1f} ms (longest "
        f"{1000 * max(misses):.0f}), hit {1000 * np.median(hits):.2f} ms"
    )


def benchmark_opening(folder: Path) -> None:
    from sklearn_elmo.store.checksums import Words
    from sklearn_elmo.store.records import Records
    from sklearn_elmo.store.segment_writer import write_segment

    recipe = EmbeddingStore(folder / "opening").recipe({})
    recipe.path.mkdir(parents=True)
    keys: Words = np.frombuffer(b"".join(make_keys(100_000)), "<u8").reshape(-1, 2)
    names = [f"{pooling}/{layer}" for pooling in "abcde" for layer in range(3)]
    arrays = {name: np.ones((100, 8), np.float32) for name in names}
    for first in range(0, 100_000, 100):
        write_segment(
            recipe.path, Records(keys[first : first + 100], None, arrays), "float32"
        )
    some = [key.tobytes() for key in keys[:1]]

    def open_anew() -> None:
        store_view.forget_all()
        assert not len(recipe.missing(some, {"a/0": 8}))

    print(f"opening a store of 1,000 segments: {best_of(5, open_anew):.3f} s")


def benchmark_sharing(folder: Path) -> None:
    """Let workers want the same texts at once; count what they compute in all."""
    n_texts = 4000
    for n_workers in (1, 2, 4):
        command = [
            *(sys.executable, str(WORKERS), "share", str(folder / f"w{n_workers}")),
            *(str(n_texts), "0.0005"),
        ]
        workers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(n_workers)
        ]
        said = np.array([worker.communicate()[0].split() for worker in workers], float)
        seconds = said[:, 2].max() - said[:, 1].min()
        print(
            f"{n_workers} workers, {n_texts} texts of 0.5 ms: computed "
            f"{said[:, 0].sum() / n_texts:.3f} x distinct texts in {seconds:.2f} s"
        )


def benchmark_grid_search(folder: Path, model: str) -> None:
    """Search 3 layers x 3 poolings x 4 C in 5 folds, and sum up its parts."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from sklearn_elmo.vectorizer import ElmoVectorizer

    labels, texts = (column[:1000] for column in read_messages())
    options = {
        "layers": ["all", "top", [1, 2]],
        "pooling": ["mean", "max", ["mean", "max"]],
    }
    strengths = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
    grid = {f"elmovectorizer__{name}": values for name, values in options.items()}
    classifier = make_pipeline(LogisticRegression(max_iter=200))

    start = time.perf_counter()
    ElmoVectorizer(model).fit_transform(texts)
    single = time.perf_counter() - start
    classifiers = 0.0
    for layers, pooling in itertools.product(*options.values()):
        vectorizer = ElmoVectorizer(
            model, layers=layers, pooling=pooling, cache=folder / "features"
        )
        features = vectorizer.fit_transform(texts)
        start = time.perf_counter()
        GridSearchCV(classifier, strengths, cv=5, refit=False).fit(features, labels)
        classifiers += time.perf_counter() - start
    for n_jobs in (1, -1):
        cache = EmbeddingStore(folder / f"grid{n_jobs}")
        pipeline = make_pipeline(
            ElmoVectorizer(model, cache=cache), classifier.steps[0][1]
        )
        start = time.perf_counter()
        GridSearchCV(pipeline, grid | strengths, cv=5, refit=False, n_jobs=n_jobs).fit(
            texts, labels
        )
        seconds = time.perf_counter() - start
        print(
            f"grid search, {len(texts)} texts, n_jobs={n_jobs}: {seconds:.1f} s; one "
            f"uncached fit_transform {single:.1f} s + classifiers {classifiers:.1f} s; "
            f"ratio {seconds / (single + classifiers):.2f}; texts read "
            f"{cache.info()['misses'] / len(set(texts)):.3f} x distinct"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="also search a grid and classify with it")
    parser.add_argument(
        "--sections", nargs="+", default=["one", "rest"], choices=["one", "rest"]
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "one" in arguments.sections:
            benchmark_one_text(folder, arguments.model or "default")
            benchmark_one_of_many(folder)
        if "rest" not in arguments.sections:
            return
        for n_texts, width in ((20_000, 512), (10_000, 1024)):
            for dtype in ("float32", "float16"):
                benchmark_hits(folder, n_texts, width, dtype)
        benchmark_size(folder)
        benchmark_lookup(folder)
        benchmark_opening(folder)
        benchmark_sharing(folder)
        if arguments.model is not None:
            benchmark_grid_search(folder, arguments.model)
            benchmark_float16(folder, arguments.model)


if __name__ == "__main__":
    main()
