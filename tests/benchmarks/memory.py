"""Import time, and peak memory for a few and for very many texts.

    python tests/benchmarks/memory.py

Each line is a process of its own with the default model, all layers, mean. "before" is
the peak resident memory after the texts were made and the model had read one of them,
"more" is what `transform` then added to that, without its result. The last table shows
the resident memory after each of several calls with texts of mixed lengths: it must not
grow with the variety of lengths.
"""

import subprocess
import sys
import textwrap

CASES = {
    "1 text": "['A short message, just one.']",
    "10,000 texts": "make(10_000, 5)",
    "200,000 texts": "make(200_000, 5)",
    "one text of 200,000 tokens": "make(1, 200_000)",
}

CHILD = """
    import resource, sys, time
    import numpy as np
    from sklearn_elmo import ElmoVectorizer

    words = np.array([f"w{i:05d}" for i in range(20_000)])
    chance = np.random.default_rng(0)

    def make(n_texts, n_words):
        return [
            " ".join(words[chance.integers(len(words), size=n_words)])
            for _ in range(n_texts)
        ]

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    vectorizer = ElmoVectorizer(tokenizer="whitespace").fit(["warm up"])
    vectorizer.transform(["warm up"])
    texts = CASE
    before = peak()
    start = time.perf_counter()
    rows = vectorizer.transform(texts)
    print(f"{before:.0f} {peak():.0f} {rows.nbytes / 2**20:.0f} "
          f"{time.perf_counter() - start:.1f}")
"""

MIXED = """
    import numpy as np
    from sklearn_elmo import ElmoVectorizer

    words = np.array([f"w{i:05d}" for i in range(20_000)])
    chance = np.random.default_rng(0)

    def resident():
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    vectorizer = ElmoVectorizer(tokenizer="whitespace").fit(["warm up"])
    vectorizer.transform(["warm up"])
    print(f"{resident():.0f}")
    for _ in range(8):
        lengths = chance.integers(LOW, HIGH + 1, size=1000)
        texts = [" ".join(words[chance.integers(len(words), size=n)]) for n in lengths]
        vectorizer.transform(texts)
        print(f"{resident():.0f}")
"""

IMPORT = """
    import time
    start = time.perf_counter()
    import sklearn_elmo
    print(time.perf_counter() - start)
"""


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def main() -> None:
    times = sorted(float(run(IMPORT)) for _ in range(5))
    print(f"import sklearn_elmo: {times[2] * 1000:.0f} ms (median of 5)")
    print(f"{'MiB':32} {'before':>7} {'peak':>7} {'result':>7} {'more':>7} {'s':>7}")
    for name, case in CASES.items():
        before, peak, result, seconds = map(
            float, run(CHILD.replace("CASE", case)).split()
        )
        more = peak - before - result
        print(
            f"{name:32} {before:7.0f} {peak:7.0f} {result:7.0f} {more:7.0f} "
            f"{seconds:7.1f}",
            flush=True,
        )
    print("resident MiB before and after each of 8 calls with 1,000 texts (Linux)")
    for low, high in ((30, 30), (3, 59)):
        code = MIXED.replace("LOW", str(low)).replace("HIGH", str(high))
        print(f"{low} to {high} words: {' '.join(run(code).split())}", flush=True)


if __name__ == "__main__":
    main()
