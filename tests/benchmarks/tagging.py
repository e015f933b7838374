"""`ElmoTagger` beside the same classifier on words, shapes and affixes.

    python tests/benchmarks/tagging.py --data FOLDER [--sets pos chunks wnut]

Parts of speech (UD English EWT), chunks (CoNLL-2000) and emerging entities (WNUT-17):
learned from the whole training part, judged on the test part. Both sides use
scikit-learn's LogisticRegression. For the spelling features its C is the best of
`STRENGTHS` on held-out sentences, learned from the first `N_SELECT` sentences;
`ElmoTagger` is used as it is by default. Seconds are those of the processor (all
threads), which other programs disturb least; set OMP_NUM_THREADS=1 beside other
programs, since threads that wait for each other count too.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from task_data import read_tagged

from sklearn_elmo import ElmoTagger
from sklearn_elmo.tagging import entity_f1_score
from sklearn_elmo.tagging.chain import learn_chain, most_probable_tags

STRENGTHS = (1.0, 3.0, 10.0)
N_SELECT, N_HELD_OUT = 3000, 1500
TRANSITION_WEIGHT = ElmoTagger().transition_weight

Tagged = tuple[list[list[str]], list[list[str]]]


class TokenSet(NamedTuple):
    """A data set: its folder, the column of its tags, and how they are judged."""

    title: str
    folder: str
    column: int
    has_entities: bool
    has_dev: bool


SETS = {
    "pos": TokenSet("UD EWT, parts of speech", "ud_ewt_pos", 1, False, True),
    "chunks": TokenSet("CoNLL-2000, chunks", "conll2000", 2, True, False),
    "wnut": TokenSet("WNUT-17, entities", "wnut17", 1, True, True),
}


class SpellingTagger:
    """The baseline: one-hot words, shapes, affixes and neighbours.

    Parameters
    ----------
    strength : float
        C of LogisticRegression.
    """

    def __init__(self, strength: float) -> None:
        self.classifier = LogisticRegression(C=strength, max_iter=500, tol=1e-3)
        self.vectorizer = DictVectorizer(dtype=np.float32)
        self.decoding = "independent"

    def fit(self, X: list[list[str]], y: list[list[str]]) -> "SpellingTagger":
        rows = self.vectorizer.fit_transform(describe(X))
        classes, codes = np.unique(np.concatenate(y), return_inverse=True)
        self.classifier.fit(rows, classes[codes])
        self.chain = learn_chain(np.split(codes, ends(y)), len(classes))
        return self

    def set_params(self, decoding: str) -> "SpellingTagger":
        self.decoding = decoding
        return self

    def predict(self, X: list[list[str]]) -> list[list[str]]:
        rows = self.vectorizer.transform(describe(X))
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


def describe(X: list[list[str]]) -> Iterator[dict[str, float]]:
    for words in X:
        padded = ["<s>", *words, "</s>"]
        for before, word, after in zip(padded, words, padded[2:], strict=False):
            yield {
                f"word {word}": 1,
                f"lower {word.lower()}": 1,
                f"shape {shape(word)}": 1,
                "capital": word[0].isupper(),
                "capitals": word.isupper(),
                "digit": any(map(str.isdigit, word)),
                f"before {before}": 1,
                f"after {after}": 1,
                f"lower before {before.lower()}": 1,
                f"lower after {after.lower()}": 1,
                **{f"prefix{n} {word[:n]}": 1 for n in range(1, 5)},
                **{f"suffix{n} {word[-n:]}": 1 for n in range(1, 5)},
            }


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


def best_strength(name: str, train: Tagged, held_out: Tagged) -> float:
    """Return the C of the spelling features that does best on held-out sentences."""
    X, y = (column[:N_SELECT] for column in train)

    def judge(strength: float) -> float:
        predicted = SpellingTagger(strength).fit(X, y).predict(held_out[0])
        return evaluate(name, held_out[1], predicted)[-1]

    return max(STRENGTHS, key=judge)


def evaluate(name: str, y: list[list[str]], predicted: list[list[str]]) -> list[float]:
    """Return accuracy and, if there are entities, their F1, in percent."""
    scores = [accuracy_score(np.concatenate(y), np.concatenate(predicted))]
    if SETS[name].has_entities:
        scores.append(entity_f1_score(y, predicted))
    return [100 * score for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--windows", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--sentences", type=int, help="learn from so many only")
    options = parser.parse_args()
    print("| set | features | decoding | accuracy | F1 | fit s | predict s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets:
        train, held_out, test = read_set(options.data, name, options.sentences)
        strength = best_strength(name, train, held_out)
        taggers = {f"spelling, C={strength:g}": SpellingTagger(strength)}
        for window in options.windows:
            taggers[f"ELMo, window={window}"] = ElmoTagger(window=window)
        for title, tagger in taggers.items():
            start = time.process_time()
            tagger.fit(*train)
            fit_s = time.process_time() - start
            for decoding in ("independent", "viterbi"):
                start = time.process_time()
                predicted = tagger.set_params(decoding=decoding).predict(test[0])
                predict_s = time.process_time() - start
                accuracy, *f1 = evaluate(name, test[1], predicted)
                row = [SETS[name].title, title, decoding, f"{accuracy:.2f}"]
                row += [
                    f"{f1[0]:.2f}" if f1 else "",
                    f"{fit_s:.0f}",
                    f"{predict_s:.0f}",
                ]
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
