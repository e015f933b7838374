"""Import time, and peak memory for a few and for very many texts.

    python tests/benchmarks/memory.py

Each line is a process of its own with the default model, all layers, mean. "before" is
the peak resident memory with the texts made and the model warm, "more" is what
`transform` then added beside its result.
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


if __name__ == "__main__":
    main()
