"""Peak memory where token vectors, long tokens or all layers are held.

    python tests/benchmarks/memory_cases.py [--only WORD] [--tree OTHER_CHECKOUT]

Each line is a process of its own. "before" is the peak resident memory after the input
was made and the model had read a text, "more" is what the call then added to that,
without its result. `--tree` measures another checkout, for a comparison in one run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

CHILD = """
    import resource, sys, time
    import numpy as np
    from sklearn_elmo import (
        ElmoPretrainer, ElmoTagger, ElmoTokenVectorizer, ElmoVectorizer
    )

    chance = np.random.default_rng(0)
    words = np.array([f"w{i:05d}" for i in range(20_000)])

    def text(n_words):
        return " ".join(words[chance.integers(len(words), size=n_words)])

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    def size(result):
        if isinstance(result, list):
            return sum(map(size, result))
        return getattr(result, "nbytes", 0) / 2**20

    def long_token(text):
        return [f"{text:x<1000000}"]

    def long_tokens(n):
        return [[f"{i:x<1000000}"] for i in range(n)]

    cache = sys.argv[1]
    ElmoVectorizer().fit_transform(["warm up"])
    PREPARE
    before, start = peak(), time.perf_counter()
    result = CALL
    print(f"{before:.0f} {peak():.0f} {size(result):.0f} "
          f"{time.perf_counter() - start:.1f}")
"""

_TOKENS = "texts = [text(40) for _ in range(5_000)]"
_FEWER = "texts = [text(40) for _ in range(2_500)]"
_VARIED = (  # lengths as those of English words, for sizes that change
    "words = np.array([f'{i:x<{1 + chance.poisson(4)}}' for i in range(20_000)]); "
    + _TOKENS
)
_LONG = "import warnings; warnings.simplefilter('ignore')"
_TOKENIZER = f"{_LONG}; texts = [f'{{i}}' for i in range(500)]"
_PRETOKENIZED = f"{_LONG}; texts = long_tokens(500)"
_GENERATOR = f"{_LONG}; texts = (f'{{i}}' for i in range(500))"
_MIX = (
    "from sklearn_elmo.learned_mix import learn_layer_weights; "
    "X = chance.standard_normal((N, 3, 512), np.float32); "
    "y = (X[:, 2, :5] + X[:, 1, :5]).argmax(axis=1)"
)
CASES = {
    "idf, 200k tokens, store": (
        _TOKENS,
        "ElmoVectorizer(layers=0, pooling='idf', cache=cache).fit_transform(texts)",
    ),
    "idf, from the store": (
        _TOKENS,
        "ElmoVectorizer(layers=0, pooling='idf', cache=cache).fit_transform(texts)",
    ),
    "tokens, 200k": (_TOKENS, "ElmoTokenVectorizer(layers=0).fit_transform(texts)"),
    "tokens, 200k, concat": (
        _TOKENS,
        "ElmoTokenVectorizer(layers=0, layer_mix='concat').fit_transform(texts)",
    ),
    "tokens, 200k, store": (
        _TOKENS,
        "ElmoTokenVectorizer(layers=0, cache=cache).fit_transform(texts)",
    ),
    "tokens, 200k, from the store": (
        _TOKENS,
        "ElmoTokenVectorizer(layers=0, cache=cache).fit_transform(texts)",
    ),
    "all layers, 100k tokens": (
        _FEWER,
        "ElmoTokenVectorizer().fit_transform(texts)",
    ),
    "all layers, 100k tokens, store": (
        _FEWER,
        "ElmoTokenVectorizer(cache=cache).fit_transform(texts)",
    ),
    "long tokens, callable": (
        _TOKENIZER,
        "ElmoVectorizer(tokenizer=long_token).fit_transform(texts)",
    ),
    "long tokens, callable, store": (
        _TOKENIZER,
        "ElmoVectorizer(tokenizer=long_token, cache=cache).fit_transform(texts)",
    ),
    "long tokens, callable, split": (
        _TOKENIZER,
        "ElmoVectorizer(tokenizer=long_token, split='sentences').fit_transform(texts)",
    ),
    "long tokens, callable, generator": (
        _GENERATOR,
        "ElmoVectorizer(tokenizer=long_token).fit_transform(texts)",
    ),
    "long tokens, callable, token rows": (
        _TOKENIZER,
        "ElmoTokenVectorizer(tokenizer=long_token).fit_transform(texts)",
    ),
    "long tokens, pretokenized": (
        _PRETOKENIZED,
        "ElmoVectorizer(tokenizer='pretokenized').fit_transform(texts)",
    ),
    "long tokens, words": (
        f"{_LONG}; texts = [token for (token,) in long_tokens(500)]",
        "ElmoVectorizer().fit_transform(texts)",
    ),
    "long tokens, tagger": (
        f"{_PRETOKENIZED}; tags = [['a'], ['b']] * 250",
        "ElmoTagger().fit(texts, tags).predict(texts) and None",
    ),
    "long tokens, vectorize": (
        f"{_LONG}; from pathlib import Path; from sklearn_elmo.cli import main; "
        "file = Path(cache) / 'in.txt'; out = open(file, 'w'); "
        "[out.write(f'{i:x<1000000} end\\n') for i in range(500)]; out.close()",
        "main(['vectorize', str(file), str(file.with_suffix('.npy'))]) or None",
    ),
    "adapt, 40k tokens": (
        _VARIED,
        "ElmoPretrainer(init='default', max_tokens=40_000, batch_size=32).fit(texts)",
    ),
    "adapt, 200k tokens": (
        _VARIED,
        "ElmoPretrainer(init='default', max_tokens=200_000, batch_size=32).fit(texts)",
    ),
    "learned mix, 800": (_MIX.replace("N,", "800,"), "learn_layer_weights(X, y) and 0"),
    "learned mix, 10,000": (
        _MIX.replace("N,", "10_000,"),
        "learn_layer_weights(X, y) and 0",
    ),
    "learned mix, 200,000": (
        _MIX.replace("N,", "200_000,"),
        "learn_layer_weights(X, y) and 0",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--tree", default=str(Path(__file__).parents[2]))
    arguments = parser.parse_args()
    print(f"{'MiB':34} {'before':>7} {'peak':>7} {'result':>7} {'more':>7} {'s':>7}")
    with tempfile.TemporaryDirectory() as cache:
        for name, (prepare, call) in CASES.items():
            if arguments.only not in name:
                continue
            code = textwrap.dedent(CHILD).replace("PREPARE", prepare)
            found = subprocess.run(
                [sys.executable, "-c", code.replace("CALL", call), cache],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                cwd=arguments.tree,  # where `python -c` imports from first
                env=os.environ | {"PYTHONPATH": arguments.tree},
            ).stdout.splitlines()[-1]
            before, peak, result, seconds = map(float, found.split())
            print(
                f"{name:34} {before:7.0f} {peak:7.0f} {result:7.0f} "
                f"{peak - before - result:7.0f} {seconds:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
