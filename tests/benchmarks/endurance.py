"""Many texts, many calls, many threads: does memory stay bounded, are rows right?

    python tests/benchmarks/endurance.py [--texts 1000000] [--cycles 10000]
        [--threads 32] [--model default]

Texts are distinct: their number, then three to six words. Memory is the resident set
size in MiB, apart from the result. Rows are compared with those of each text alone.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sklearn_elmo import ElmoVectorizer

WORDS = ("the cat sat on a mat while rain fell and nobody asked why dogs bark").split()  # noqa: SIM905
TOLERANCE = 5e-6


def make_texts(n_texts: int) -> list[str]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 7, n_texts)
    words = rng.integers(0, len(WORDS), (n_texts, 6))
    return [
        f"{number} " + " ".join(WORDS[k] for k in row[:length])
        for number, (row, length) in enumerate(zip(words, lengths, strict=True))
    ]


def resident() -> float:
    """Return the resident set size in MiB (Linux)."""
    line = Path("/proc/self/statm").read_text().split()[1]
    return int(line) * resource.getpagesize() / 2**20


def peak_resident(pid: int) -> float:
    """Return the peak of a process; that of its parent does not count (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(n) for n in re.findall(r"VmHWM:\s+(\d+) kB", status)) / 1024


def compare(vectorizer: ElmoVectorizer, texts: list[str], rows: np.ndarray) -> None:
    picked = np.random.default_rng(1).integers(0, len(texts), 20)
    alone = np.concatenate([vectorizer.transform([texts[k]]) for k in picked])
    worst = float(np.abs(alone - rows[picked]).max())
    assert worst <= TOLERANCE, worst


def one_call(model: str, n_texts: int) -> None:
    texts = make_texts(n_texts)
    vectorizer = ElmoVectorizer(model).fit([])
    vectorizer.transform(texts[:1000])
    before, start = resident(), time.perf_counter()
    rows = vectorizer.transform(texts)
    seconds = time.perf_counter() - start
    grown = resident() - before - rows.nbytes / 2**20
    compare(vectorizer, texts, rows)
    print(
        f"transform of {n_texts:,} texts: {seconds:.0f} s, {grown:+.0f} MiB apart from "
        "the result"
    )


def one_command(model: str, n_texts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "texts.txt", Path(folder) / "rows.npy"
        source.write_text("\n".join(make_texts(n_texts)) + "\n")
        command = [sys.executable, "-m", "sklearn_elmo", "vectorize", str(source)]
        start, peak = time.perf_counter(), 0.0
        process = subprocess.Popen([*command, str(target), "--model", model])
        while process.poll() is None:
            peak = peak_resident(process.pid) or peak
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        n_rows = len(np.load(target, mmap_mode="r"))
    assert n_rows == n_texts
    print(f"vectorize of {n_texts:,} lines: {seconds:.0f} s, peak {peak:.0f} MiB")


def many_cycles(model: str, n_cycles: int) -> None:
    texts = make_texts(64)
    expected = ElmoVectorizer(model).fit_transform(texts)
    for number in range(n_cycles):
        if number == n_cycles // 10:
            before, start = resident(), time.perf_counter()
        part = slice(number % 60, number % 60 + 4)
        rows = ElmoVectorizer(model).fit(texts[part]).transform(texts[part])
        assert np.abs(rows - expected[part]).max() <= TOLERANCE
    print(
        f"{n_cycles:,} cycles of fit and transform: {resident() - before:+.0f} MiB in "
        f"the last nine tenths, {time.perf_counter() - start:.0f} s"
    )


def many_threads(model: str, n_threads: int) -> None:
    texts = make_texts(n_threads * 20)
    vectorizer = ElmoVectorizer(model).fit([])
    expected = vectorizer.transform(texts)
    before = resident()

    def read(number: int) -> float:
        own = slice(20 * number, 20 * number + 20)
        rows = [vectorizer.transform(texts[own]) for _ in range(20)]
        return max(float(np.abs(each - expected[own]).max()) for each in rows)

    with ThreadPoolExecutor(n_threads) as pool:
        worst = max(pool.map(read, range(n_threads)))
    assert worst <= TOLERANCE, worst
    print(
        f"{n_threads} threads, 20 calls each: largest difference {worst:.1e}, "
        f"{resident() - before:+.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    many_threads(options.model, options.threads)
    many_cycles(options.model, options.cycles)
    one_call(options.model, options.texts)
    one_command(options.model, options.texts)


if __name__ == "__main__":
    main()
