"""`ElmoTagger` beside the same classifier on words, shapes and affixes.

    python tests/benchmarks/tagging.py --data FOLDER [--sets pos chunks wnut]
        [--cache STORE]

Parts of speech (UD English EWT), chunks (CoNLL-2000) and emerging entities (WNUT-17):
learned from the whole training part, judged on the test part, accuracy for parts of
speech and F1 of entities for the others. Both sides have the same classifier
(scikit-learn's LogisticRegression), window and decoding. For the spelling features its
C is the best of `STRENGTHS` on held-out sentences, learned from the first `N_SELECT`
sentences; `ElmoTagger` has its defaults but for window and decoding; window=0 with
Viterbi is its default.

Each fit has a process of its own, whose peak memory is printed. Seconds are those of
the processor (all threads), which other programs disturb least; set OMP_NUM_THREADS=1
beside other programs, since threads that wait for each other count too. With a store
that holds the vectors, they are without the language model's time.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from task_data import read_tagged

from sklearn_elmo import ElmoTagger, ElmoTokenVectorizer
from sklearn_elmo.tagging import entity_f1_score
from sklearn_elmo.tagging.chain import learn_chain, most_probable_tags

STRENGTHS = (1.0, 3.0, 10.0)
N_SELECT, N_HELD_OUT = 4000, 1500
TRANSITION_WEIGHT = ElmoTagger().transition_weight
DECODINGS = ("independent", "viterbi")

Tagged = tuple[list[list[str]], list[list[str]]]


class TokenSet(NamedTuple):
    """A data set: its folder, the column of its tags, and how they are judged."""

    title: str
    folder: str
    column: int
    has_entities: bool
    has_dev: bool


SETS = {
    "pos": TokenSet("UD EWT, accuracy", "ud_ewt_pos", 1, False, True),
    "chunks": TokenSet("CoNLL-2000, chunk F1", "conll2000", 2, True, False),
    "wnut": TokenSet("WNUT-17, entity F1", "wnut17", 1, True, True),
}


class Measured(NamedTuple):
    """What a process found: scores in percent, one for each decoding."""

    title: str
    scores: list[float]
    fit_s: float
    predict_s: float
    peak_gb: float


class SpellingTagger:
    """The baseline: one-hot words, shapes and affixes of a token and its neighbours.

    Parameters
    ----------
    strength : float
        C of LogisticRegression.
    window : int
        Neighbours on either side.
    """

    def __init__(self, strength: float, window: int) -> None:
        self.classifier = LogisticRegression(C=strength, max_iter=500, tol=1e-3)
        self.vectorizer = DictVectorizer(dtype=np.float32)
        self.window = window
        self.decoding = "independent"

    def fit(self, X: list[list[str]], y: list[list[str]]) -> "SpellingTagger":
        rows = self.vectorizer.fit_transform(describe(X, self.window))
        classes, codes = np.unique(np.concatenate(y), return_inverse=True)
        self.classifier.fit(rows, classes[codes])
        self.chain = learn_chain(np.split(codes, ends(y)), len(classes))
        return self

    def set_params(self, decoding: str) -> "SpellingTagger":
        self.decoding = decoding
        return self

    def predict(self, X: list[list[str]]) -> list[list[str]]:
        rows = self.vectorizer.transform(describe(X, self.window))
        if self.decoding == "independent":
            tags = np.split(self.classifier.predict(rows), ends(X))
        else:
            tags = [
                self.classifier.classes_[
                    most_probable_tags(of_text, self.chain, TRANSITION_WEIGHT)
                ]
                for of_text in np.split(self.classifier.predict_proba(rows), ends(X))
            ]
        return [of_text.tolist() for of_text in tags]


def ends(X: list[list[str]]) -> np.ndarray:
    """Return where all texts but the last end, counted in tokens."""
    return np.cumsum(list(map(len, X)))[:-1]


def describe(X: list[list[str]], window: int) -> Iterator[dict[str, float]]:
    """Yield the features of each token, and of its neighbours by their distance."""
    for words in X:
        of_words = [spelling(word) for word in words]
        for position in range(len(words)):
            start = max(position - window, 0)
            near = of_words[start : position + window + 1]
            yield {
                f"{distance} {feature}": 1
                for distance, features in enumerate(near, start - position)
                for feature in features
            }


def spelling(word: str) -> list[str]:
    features = [f"word {word}", f"lower {word.lower()}", f"shape {shape(word)}"]
    features += [f"prefix{n} {word[:n]}" for n in range(1, 5)]
    features += [f"suffix{n} {word[-n:]}" for n in range(1, 5)]
    if word[0].isupper():
        features.append("capital")
    if word.isupper():
        features.append("capitals")
    if any(map(str.isdigit, word)):
        features.append("digit")
    return features


def shape(word: str) -> str:
    """Return ``Xx-d`` for ``Boeing-747``."""
    kinds = (
        "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c
        for c in word
    )
    return "".join(kind for kind, _ in groupby(kinds))


def read_set(folder: Path, name: str, n_sentences: int | None) -> tuple[Tagged, ...]:
    """Return the training, held-out and test parts."""
    of_set = SETS[name]
    parts = ["train", "dev", "test"] if of_set.has_dev else ["train", "test"]
    read = [read_tagged(folder, of_set.folder, p, of_set.column) for p in parts]
    if not of_set.has_dev:
        held_out = tuple(column[-N_HELD_OUT:] for column in read[0])
        read.insert(1, held_out)
    read[0] = tuple(column[:n_sentences] for column in read[0])
    return tuple(read)


def best_strength(name: str, window: int, train: Tagged, held_out: Tagged) -> float:
    """Return the C of the spelling features that does best on held-out sentences."""
    X, y = (column[:N_SELECT] for column in train)

    def judge(strength: float) -> float:
        tagger = SpellingTagger(strength, window).fit(X, y)
        return evaluate(name, held_out[1], tagger.predict(held_out[0]))

    return max(STRENGTHS, key=judge)


def evaluate(name: str, y: list[list[str]], predicted: list[list[str]]) -> float:
    """Return the F1 of entities, or the accuracy if there are none, in percent."""
    if SETS[name].has_entities:
        return 100 * entity_f1_score(y, predicted)
    return 100 * accuracy_score(np.concatenate(y), np.concatenate(predicted))


def measure(options: argparse.Namespace, name: str, kind: str, window: int) -> Measured:
    """Fit one tagger and judge it; for a process of its own."""
    train, held_out, test = read_set(options.data, name, options.sentences)
    if kind == "spelling":
        strength = best_strength(name, window, train, held_out)
        title, tagger = f"spelling, C={strength:g}", SpellingTagger(strength, window)
    else:
        vectorizer = ElmoTokenVectorizer(
            tokenizer="pretokenized", layer_mix="concat", cache=options.cache
        )
        title, tagger = "ELMo", ElmoTagger(vectorizer=vectorizer, window=window)
    start = time.process_time()
    tagger.fit(*train)
    fit_s = time.process_time() - start
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    start = time.process_time()
    scores = [
        evaluate(name, test[1], tagger.set_params(decoding=decoding).predict(test[0]))
        for decoding in DECODINGS
    ]
    predict_s = (time.process_time() - start) / len(DECODINGS)
    return Measured(title, scores, fit_s, predict_s, peak_gb)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--windows", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--sentences", type=int, help="learn from so many only")
    parser.add_argument("--cache", type=Path, help="store of token vectors")
    options = parser.parse_args()
    print(
        "| set | window | features | independent | Viterbi | fit s | predict s | GB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        for window in options.windows:
            for kind in ("spelling", "elmo"):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    found = pool.submit(measure, options, name, kind, window).result()
                row = [SETS[name].title, f"{window}", found.title]
                row += [f"{score:.2f}" for score in found.scores]
                row += [f"{found.fit_s:.0f}", f"{found.predict_s:.0f}"]
                row += [f"{found.peak_gb:.1f}"]
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
