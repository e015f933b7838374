"""Measure the embedding store: python tests/benchmarks/store.py

Ratios compare things of one run on one machine; absolute times are its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from sklearn_elmo.store import EmbeddingStore, text_key
from sklearn_elmo.store import view as store_view

WORKERS = Path(__file__).parent.parent / "store_workers.py"


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


def benchmark_hits(folder: Path, width: int, n_texts: int, dtype: str) -> None:
    """Read pooled rows, in the order they were stored, shuffled, and 80% of them."""
    rows = np.random.default_rng(0).standard_normal((n_texts, width), dtype="f4")
    keys = make_keys(n_texts)
    recipe = EmbeddingStore(folder / f"hits{width}{dtype}", dtype=dtype).recipe({})
    recipe.get_or_compute(keys, {"mean": width}, lambda some: {"mean": rows[some]})
    with h5py.File(folder / "plain.h5", "w") as file:
        file.create_dataset("rows", data=rows)

    def plain() -> None:
        with h5py.File(folder / "plain.h5", "r") as file:
            file["rows"][:]

    shuffled = np.random.default_rng(1).permutation(n_texts)
    orders = {
        "in order": np.arange(n_texts),
        "shuffled": shuffled,
        "80%, sorted": np.sort(shuffled[: n_texts * 8 // 10]),
    }
    for name, order in orders.items():
        wanted = [keys[number] for number in order]
        share = len(order) / n_texts
        seconds = best_of(
            7, lambda w=wanted: recipe.get_or_compute(w, {"mean": width}, refuse)
        )
        reading = best_of(7, plain)
        print(
            f"hits, {dtype}, {n_texts} x {width}, {name}: {seconds * 1e3:.0f} ms; "
            f"speed relative to plain h5py: {reading * share / seconds:.2f}"
        )


def benchmark_lookup(folder: Path) -> None:
    keys = make_keys(100_000)
    recipe = EmbeddingStore(folder / "lookup").recipe({})
    recipe.get_or_compute(
        keys, {"mean": 4}, lambda some: {"mean": np.ones((len(some), 4))}
    )
    seconds = best_of(5, lambda: recipe.missing(keys, {"mean": 4}))
    print(f"lookup of 100,000 keys: {seconds:.3f} s")


def benchmark_opening(folder: Path) -> None:
    from sklearn_elmo.store.checks import Words
    from sklearn_elmo.store.publish import write_segment
    from sklearn_elmo.store.records import Records

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
        start = time.perf_counter()
        workers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(n_workers)
        ]
        computed = sum(int(worker.communicate()[0]) for worker in workers)
        seconds = time.perf_counter() - start
        print(
            f"{n_workers} workers, {n_texts} texts of 0.5 ms: computed "
            f"{computed / n_texts:.3f} x distinct texts in {seconds:.2f} s"
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width, n_texts in ((256, 50_000), (1024, 20_000)):
            for dtype in ("float32", "float16"):
                benchmark_hits(folder, width, n_texts, dtype)
        benchmark_lookup(folder)
        benchmark_opening(folder)
        benchmark_sharing(folder)


if __name__ == "__main__":
    main()
