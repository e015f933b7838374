"""Tokens per second, as ratios in one run.

    python tests/benchmarks/speed.py [--data FOLDER] [--shapes default small original]
        [--sections core precision layers latency callers growth device]
        [--device auto] [--plot FILE]

core: `ElmoVectorizer.transform` (tokenising and pooling included, no cache) against
AllenNLP's algorithm (``tests/allennlp_algorithm.py``), the floor (operations that
cannot be left out, at the rate of the fastest product measured in the same run),
MiniLM-L6 and TF-IDF. precision: bfloat16 and int8 against float32, and their errors.
layers: the lower layers alone. latency: one short text. callers: two threads that
call `transform` at once against one that calls it twice. growth: cost over the length
of texts, their number, ``batch_tokens`` and threads. device: `transform` on the device
(a GPU if there is one) against AllenNLP's order of computation on the same, the floor
there, and PyTorch's own LSTM with projection, which clips nothing and so is no ELMo;
with and without TF32, and bfloat16.

Every figure is the best of some runs that take turns. FOLDER has ``mr``, ``subj`` and
``trec`` as `tasks.py` reads them; without it the messages of the examples are read.
Shapes other than the default get random weights: speed does not depend on them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from peers import read_minilm
from random_weights import model_of_shape
from sklearn.feature_extraction.text import TfidfVectorizer
from task_data import read_messages, read_text_set

from sklearn_elmo import ElmoVectorizer, models
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.inference.linear import make_linear
from sklearn_elmo.inference.precision import PRECISIONS
from sklearn_elmo.text.tokenizers import resolve_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from allennlp_algorithm import embed_sentences

SECTIONS = ("core", "precision", "layers", "latency", "callers", "growth", "device")
N_TEXTS = {"default": 2000, "small": 2000, "original": 320}
N_FOR_REFERENCE = {"default": 320, "small": 320, "original": 64}
tokenize = resolve_tokenizer("words", estimator="speed.py")


def read_texts(folder: Path | None) -> list[str]:
    if folder is None:
        return read_messages()[1][:2000]
    texts: list[str] = []
    for name, n in (("mr", 800), ("subj", 800), ("trec", 400)):
        texts += read_text_set(folder, name).texts[:n]
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[k] for k in order]


def best(calls: dict[str, Callable[[], object]], n_runs: int) -> dict[str, float]:
    """Return the shortest seconds of each call; they take turns."""
    seconds = dict.fromkeys(calls, float("inf"))
    for _ in range(n_runs):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    return seconds


def count(texts: Sequence[str]) -> int:
    return sum(len(tokenize(text)) for text in texts)


def floor_operations(options: BiLmOptions, token_lists: list[list[str]]) -> float:
    """Return the operations a token that no exact algorithm can leave out.

    The character CNN once a type (windows up to the first of nothing but padding), the
    first layer's input product once a type, all else once a token; 2 a product and sum.
    """
    types = {token for tokens in token_lists for token in tokens}
    n_tokens = sum(map(len, token_lists))
    p, c, f = options.projection_dim, options.cell_dim, options.n_filters
    windows = np.mean([len(token.encode()) + 3 for token in types])
    filters = sum(width * n for width, n in options.filters) * options.char_dim
    per_type = windows * filters + options.n_highway * 2 * f * f + f * p
    per_type += 2 * 4 * c * p  # first layer's input product, both directions
    gates = (2 * options.n_layers - 1) * 4 * c * p
    per_token = 2 * (gates + options.n_layers * c * p)
    return 2 * (per_token + per_type * len(types) / n_tokens)


def product_rate(options: BiLmOptions, device: str = "cpu") -> float:
    """Return the operations a second of the state's product, on all cores."""
    weight = torch.randn(4 * options.cell_dim, options.projection_dim, device=device)
    inputs = torch.randn(512, options.projection_dim, device=device)
    with torch.inference_mode():
        product = make_linear(weight, None, "float32")

        def multiply() -> None:
            product(inputs)
            wait_for(device)

        seconds = best({"product": multiply}, 30)["product"]
    return 2 * inputs.numel() * len(weight) / seconds


def core(shape: str, model: str, texts: list[str]) -> None:
    texts = texts[: N_TEXTS[shape]]
    few = texts[: N_FOR_REFERENCE[shape]]
    token_lists = [tokenize(text) for text in few]
    bilm = models.load(model)
    elmo = ElmoVectorizer(model).fit(texts[:1])
    elmo.transform(texts[:2])
    cold = best({"ours": lambda: elmo.transform(texts)}, 1)["ours"]
    seconds = best(
        {
            "ours": lambda: elmo.transform(texts),
            "reference": lambda: embed_sentences(bilm, token_lists),
        },
        2,
    )
    rate = count(texts) / seconds["ours"]
    reference = sum(map(len, token_lists)) / seconds["reference"]
    every = [tokenize(text) for text in texts]
    floor = product_rate(bilm.options) / floor_operations(bilm.options, every)
    print(
        f"| {shape} | {rate:,.0f} | {count(texts) / cold:,.0f} | {reference:,.0f} | "
        f"{rate / reference:.1f} | {floor:,.0f} | {100 * rate / floor:.0f} % |",
        flush=True,
    )


def peers(texts: list[str]) -> None:
    elmo = ElmoVectorizer().fit(texts[:1])
    calls = {
        "ELMo default": lambda: elmo.transform(texts),
        "TF-IDF": lambda: TfidfVectorizer().fit_transform(texts),
    }
    minilm = read_minilm()
    if minilm is None:
        print("MiniLM-L6: not installed")
    else:
        calls["MiniLM-L6"] = lambda: minilm.encode(texts, batch_size=32)
    seconds = best(calls, 2)
    for name, value in seconds.items():
        ratio = seconds["ELMo default"] / value
        print(f"| {name} | {len(texts) / value:,.0f} texts/s | {ratio:.2f} |")


def precision(shape: str, model: str, texts: list[str]) -> None:
    texts = texts[: N_TEXTS[shape]]
    elmos = {
        name: ElmoVectorizer(model, layer_mix="concat", precision=name).fit(texts[:1])
        for name in PRECISIONS
    }
    seconds = best({n: (lambda e=e: e.transform(texts)) for n, e in elmos.items()}, 3)
    exact = elmos["float32"].transform(texts)
    n_layers = len(elmos["float32"].layers_)
    for name in PRECISIONS[1:]:
        rows = elmos[name].transform(texts)
        parts = []
        for ours, true in zip(
            np.split(rows, n_layers, axis=1),
            np.split(exact, n_layers, axis=1),
            strict=True,
        ):
            error = np.abs(ours - true)
            lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(true, axis=1)
            cosine = ((ours * true).sum(axis=1) / lengths).min()
            parts.append(f"{error.max():.1e} {error.mean():.1e} {cosine:.6f}")
        ratio = seconds["float32"] / seconds[name]
        print(f"| {shape} | {name} | {ratio:.2f} | {' / '.join(parts)} |", flush=True)


def layers(shape: str, model: str, texts: list[str]) -> None:
    texts = texts[: N_TEXTS[shape]]
    elmos = {
        str(chosen): ElmoVectorizer(model, layers=chosen).fit(texts[:1])
        for chosen in (0, 1, "all")
    }
    seconds = best({n: (lambda e=e: e.transform(texts)) for n, e in elmos.items()}, 3)
    ratios = [seconds["all"] / seconds[name] for name in ("0", "1")]
    print(f"| {shape} | {ratios[0]:.1f} | {ratios[1]:.1f} |", flush=True)


def latency(shape: str, model: str) -> None:
    text = ["The soup was cold ."]
    for name in PRECISIONS:
        elmo = ElmoVectorizer(model, precision=name).fit(text)
        seconds = best({"one": lambda e=elmo: e.transform(text)}, 50)["one"]
        print(f"| {shape} | {name} | {1000 * seconds:.1f} ms |", flush=True)


def callers(shape: str, model: str, texts: list[str]) -> None:
    elmo = ElmoVectorizer(model).fit(texts[:1])
    halves = [texts[: N_TEXTS[shape]][k::2] for k in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        seconds = best(
            {
                "sequence": lambda: [elmo.transform(half) for half in halves],
                "at once": lambda: list(pool.map(elmo.transform, halves)),
            },
            3,
        )
    print(f"| {shape} | {seconds['sequence'] / seconds['at once']:.2f} |", flush=True)


def wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def on_device(shape: str, model: str, texts: list[str], device: str) -> None:
    texts = texts[: N_TEXTS[shape]]
    few = [tokenize(text) for text in texts[: N_FOR_REFERENCE[shape]]]
    bilm = models.load(model, device=device)
    floor = product_rate(bilm.options, device)
    floor /= floor_operations(bilm.options, [tokenize(text) for text in texts])

    def tokens_a_second(name: str) -> float:
        elmo = ElmoVectorizer(model, device=device, precision=name).fit(texts[:1])
        return count(texts) / best({"it": lambda: elmo.transform(texts)}, 3)["it"]

    rates = {name: tokens_a_second(name) for name in ("float32", "bfloat16")}
    if device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")
        rates["float32, TF32"] = tokens_a_second("float32")
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False  # nor for what follows
    seconds = best({"it": lambda: embed_sentences(bilm, few)}, 2)["it"]
    rates["AllenNLP's order"] = sum(map(len, few)) / seconds
    rates["nn.LSTM"] = lstm_rate(bilm.options, few, device)
    for name, rate in rates.items():
        ratio = rates["float32"] / rate
        print(
            f"| {shape} | {device} | {name} | {rate:,.0f} | {ratio:.2f} | "
            f"{100 * rate / floor:.0f} % |",
            flush=True,
        )


def lstm_rate(options: BiLmOptions, token_lists: list[list[str]], device: str) -> float:
    """Return tokens a second of PyTorch's LSTM of this shape, given token vectors."""
    p, n_layers = options.projection_dim, options.n_layers
    directions = [
        torch.nn.LSTM(p, options.cell_dim, n_layers, proj_size=p).to(device)
        for _ in range(2)
    ]
    lengths = sorted(map(len, token_lists), reverse=True)
    batches = [
        torch.randn(max(part), len(part), p, device=device)  # padded
        for part in (lengths[k : k + 256] for k in range(0, len(lengths), 256))
    ]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                for lstm in directions:
                    lstm(batch)
        wait_for(device)

    return sum(lengths) / best({"it": run}, 3)["it"]


def growth(texts: list[str], plot: Path | None) -> None:
    """Print, and draw, microseconds a token of the default model."""
    words = [word for text in texts for word in tokenize(text)]

    def measure(token_lists: list[list[str]], **parameters) -> float:
        elmo = ElmoVectorizer(tokenizer="pretokenized", **parameters)
        elmo.fit(token_lists[:1])
        seconds = best({"it": lambda: elmo.transform(token_lists)}, 2)["it"]
        return 1e6 * seconds / sum(map(len, token_lists))

    def cut(length: int, n_tokens: int = 16_384) -> list[list[str]]:
        return [words[k : k + length] for k in range(0, n_tokens, length)]

    lists = [tokenize(text) for text in texts]
    most = torch.get_num_threads()
    curves = {
        "tokens a text": {n: measure(cut(n)) for n in (4, 16, 64, 256, 1024, 8192)},
        "texts": {n: measure(lists[:n]) for n in (1, 10, 100, 1000, len(lists))},
        "batch_tokens": {
            n: measure(lists, batch_tokens=n) for n in (256, 1024, 4096, 16_384)
        },
        "threads": {},
    }
    for n in range(1, most + 1):
        torch.set_num_threads(n)
        curves["threads"][n] = measure(lists)
    for name, curve in curves.items():
        points = ", ".join(f"{n:,}: {value:.0f}" for n, value in curve.items())
        print(f"microseconds a token over {name}: {points}", flush=True)
    if plot is not None:
        draw(curves, plot)


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (name, curve) in zip(
        figure.subplots(2, 2).flat, curves.items(), strict=True
    ):
        axes.plot(list(curve), list(curve.values()), marker="o")
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(name)
        axes.set_ylabel("microseconds a token")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["default"], choices=N_TEXTS)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    device = models.resolve_device(options.device)
    texts = read_texts(options.data)
    threads = torch.get_num_threads()
    print(f"{len(texts):,} texts, {count(texts):,} tokens; {threads} threads")
    headers = {
        "core": "| shape | tokens/s | cold types | reference | ratio | floor | share |",
        "precision": "| shape | precision | speed | layers: max, mean error, cosine |",
        "layers": "| shape | layer 0 x all | layer 1 x all |",
        "latency": "| shape | precision | five words |",
        "device": "| shape | device | what | tokens/s | float32 x this | of floor |",
        "callers": "| shape | two callers at once, speed over one after the other |",
    }
    measure = {
        "core": lambda shape, model: core(shape, model, texts),
        "precision": lambda shape, model: precision(shape, model, texts),
        "layers": lambda shape, model: layers(shape, model, texts),
        "latency": latency,
        "callers": lambda shape, model: callers(shape, model, texts),
        "device": lambda shape, model: on_device(shape, model, texts, device),
    }
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SKLEARN_ELMO_HOME"] = scratch  # for the prepared weights
        made = {shape: model_of_shape(shape, Path(scratch)) for shape in options.shapes}
        for section in options.sections:
            print(f"\n{headers.get(section, section)}", flush=True)
            for shape, model in made.items():
                if section in measure:
                    measure[section](shape, model)
            if section == "core":
                peers(texts)
            if section == "growth":
                growth(texts, options.plot)


if __name__ == "__main__":
    main()
