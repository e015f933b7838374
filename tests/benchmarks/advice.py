"""Which layers, mix and pooling suit which task, with and without a StandardScaler.

    python tests/benchmarks/advice.py --data FOLDER --json FILE
        [--tasks mr subj mpqa trec sms sts pairs pos] [--texts 1000]
        [--mixes "012 average" "012 concat" ...] [--poolings mean mean+max ...]

Each text is read once; every setting is cut out of the unmixed layers of all poolings.

* ``mr subj mpqa trec sms``: a sample of the texts in five folds. Logistic regression
  with C=1 and with the best of a few C, and the ten nearest neighbours by cosine.
  Accuracy; Matthews correlation for ``sms``. The token weights of ``idf`` are learned
  from all texts of the sample.
* ``sts``: cosine of the two sentences of STS-B against people's scores (Pearson), on
  the dev and the test part.
* ``pairs``: ridge regression on |u - v| and u * v, learned on the train part of STS-B.
* ``pos``: logistic regression on the token vectors of UD EWT (accuracy on dev).

The best C is chosen on the folds that are reported, which flatters every setting alike:
compare settings, and take absolute numbers from `tasks.py`.
"""

import argparse
import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, matthews_corrcoef
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from task_data import (
    TEXT_SETS,
    cosines,
    pearson,
    read_pairs,
    read_tagged,
    read_text_set,
)

from sklearn_elmo import ElmoTokenVectorizer, ElmoVectorizer
from sklearn_elmo.learned_mix import learn_layer_weights

SINGLE_POOLINGS = ["mean", "idf", "sum", "max", "min", "last", "final"]
POOLINGS = [
    *([name] for name in SINGLE_POOLINGS if name != "min"),
    ["mean", "max"],
    ["mean", "final"],
    ["mean", "max", "min"],
]
MIXES = [
    ([0], "average"),
    ([1], "average"),
    ([2], "average"),
    ([1, 2], "average"),
    ([0, 1, 2], "average"),
    ([1, 2], "concat"),
    ([0, 1, 2], "concat"),
    ([0, 1, 2], "learned"),
]
# Learning layer weights takes longest, so only where it could become a default.
LEARNED_POOLINGS = (["mean"], ["idf"])
STRENGTHS = {False: (1.0, 10.0, 100.0), True: (0.001, 0.01, 0.1, 1.0)}
N_FOLDS, N_NEIGHBORS, N_SENTENCES = 5, 10, 400


class Setting(NamedTuple):
    """What a user can choose."""

    layers: list[int]
    mix: str
    pooling: list[str]
    scaled: bool

    def describe(self) -> dict[str, object]:
        return {
            "layers": "".join(map(str, self.layers)),
            "mix": self.mix if len(self.layers) > 1 else "",
            "pooling": "+".join(self.pooling),
            "scaled": self.scaled,
        }


class Layers:
    """The unmixed layers of texts, ``(N, n_poolings, n_layers, D)``."""

    def __init__(self, fit_texts: list[str], **parameters: object) -> None:
        self.vectorizer = ElmoVectorizer(
            layer_mix="concat", pooling=SINGLE_POOLINGS, **parameters
        ).fit(fit_texts)

    def read(self, texts: list[str]) -> np.ndarray:
        rows = self.vectorizer.transform(texts)
        n_layers = len(self.vectorizer.layers_)
        return rows.reshape(len(texts), len(SINGLE_POOLINGS), n_layers, -1)


def settings() -> Iterator[Setting]:
    for (layers, mix), pooling, scaled in itertools.product(
        MIXES, POOLINGS, (False, True)
    ):
        if mix != "learned" or pooling in LEARNED_POOLINGS:
            yield Setting(layers, mix, pooling, scaled)


def features(
    values: np.ndarray, setting: Setting, weights: np.ndarray | None = None
) -> np.ndarray:
    """Cut the rows of a setting out of unmixed layers."""
    poolings = [SINGLE_POOLINGS.index(name) for name in setting.pooling]
    chosen = values[:, poolings][:, :, setting.layers]
    if setting.mix == "average":
        chosen = chosen.mean(axis=2)
    elif weights is not None:
        chosen = np.einsum("npld,l->npd", chosen, weights).astype(np.float32)
    return chosen.reshape(len(values), -1)


def split(
    values: np.ndarray, y: np.ndarray, setting: Setting, train, test
) -> tuple[np.ndarray, np.ndarray]:
    weights = None
    if setting.mix == "learned":
        place = SINGLE_POOLINGS.index(setting.pooling[0])
        found = learn_layer_weights(values[train, place][:, setting.layers], y[train])
        weights = found.scale * found.weights
    rows = features(values, setting, weights)
    if not setting.scaled:
        return rows[train], rows[test]
    scaler = StandardScaler().fit(rows[train])
    return scaler.transform(rows[train]), scaler.transform(rows[test])


def judge_texts(folder: Path, name: str, n_texts: int) -> Iterator[dict[str, object]]:
    data = read_text_set(folder, name)
    rows = np.arange(len(data.labels) if data.n_train is None else data.n_train)
    rows, _ = train_test_split(
        rows, train_size=n_texts, stratify=data.labels[rows], random_state=0
    )
    texts, y = [data.texts[row] for row in rows], data.labels[rows]
    values = Layers(texts).read(texts)
    metric = matthews_corrcoef if name == "sms" else accuracy_score
    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(y, y))
    for setting in settings():
        scores: dict[object, list[float]] = {}
        for train, test in folds:
            learn, judge = split(values, y, setting, train, test)
            models = {
                strength: LogisticRegression(C=strength, max_iter=200)
                for strength in STRENGTHS[setting.scaled]
            }
            models["neighbors"] = KNeighborsClassifier(N_NEIGHBORS, metric="cosine")
            for key, model in models.items():
                predicted = model.fit(learn, y[train]).predict(judge)
                scores.setdefault(key, []).append(metric(y[test], predicted))
        means = {key: 100 * float(np.mean(found)) for key, found in scores.items()}
        neighbors = means.pop("neighbors")
        best = max(means, key=means.__getitem__)
        yield {
            **setting.describe(),
            "C=1": means[1.0],
            "best": means[best],
            "best C": best,
            "neighbors": neighbors,
        }


def judge_similarity(folder: Path) -> Iterator[dict[str, object]]:
    """Scale by the rows of the part itself: cosines need no labels."""
    first, second, _ = read_pairs(folder, "train")
    layers = Layers(first + second)
    parts = {}
    for part in ("dev", "test"):
        first, second, scores = read_pairs(folder, part)
        parts[part] = layers.read(first + second), scores
    for setting in settings():
        if setting.mix == "learned":
            continue
        found = {}
        for part, (values, scores) in parts.items():
            rows = features(values, setting)
            if setting.scaled:
                rows = StandardScaler().fit_transform(rows)
            found[part] = pearson(cosines(rows), scores)
        yield {**setting.describe(), **found}


def judge_pairs(folder: Path) -> Iterator[dict[str, object]]:
    first, second, _ = read_pairs(folder, "train")
    layers = Layers(first + second)
    parts = {}
    for part in ("train", "dev", "test"):
        first, second, scores = read_pairs(folder, part)
        parts[part] = layers.read(first + second), scores
    for setting in settings():
        if setting.mix == "learned" or len(setting.pooling) > 1:
            continue
        rows = {}
        for part, (values, _) in parts.items():
            u, v = np.split(features(values, setting), 2)
            rows[part] = np.hstack([np.abs(u - v), u * v])
        if setting.scaled:
            scaler = StandardScaler().fit(rows["train"])
            rows = {part: scaler.transform(values) for part, values in rows.items()}
        model = RidgeCV(10.0 ** np.arange(-3, 6)).fit(rows["train"], parts["train"][1])
        found = {
            part: pearson(model.predict(rows[part]), parts[part][1])
            for part in ("dev", "test")
        }
        yield {**setting.describe(), **found}


def judge_tokens(folder: Path) -> Iterator[dict[str, object]]:
    vectorizer = ElmoTokenVectorizer(tokenizer="pretokenized", layer_mix="concat")
    parts = {}
    for part in ("train", "dev"):
        sentences, tags = read_tagged(folder, "pos", part)
        values = np.concatenate(vectorizer.fit_transform(sentences[:N_SENTENCES]))
        values = values.reshape(len(values), 1, len(vectorizer.layers_), -1)
        parts[part] = values, np.concatenate(tags[:N_SENTENCES])
    every = np.concatenate([values for values, _ in parts.values()])
    y = np.concatenate([tags for _, tags in parts.values()])
    train, test = np.split(np.arange(len(y)), [len(parts["train"][1])])
    for (layers, mix), scaled in itertools.product(MIXES, (False, True)):
        # A token is its own mean, which is the first of the poolings.
        setting = Setting(layers, mix, ["mean"], scaled)
        learn, judge = split(every, y, setting, train, test)
        found = {
            strength: 100
            * LogisticRegression(C=strength, max_iter=100)
            .fit(learn, y[train])
            .score(judge, y[test])
            for strength in ((0.001, 0.01, 1.0) if scaled else (1.0, 10.0))
        }
        best = max(found, key=found.__getitem__)
        described = {**setting.describe(), "pooling": "tokens"}
        yield {**described, "C=1": found[1.0], "best": found[best], "best C": best}


def show(task: str, rows: list[dict[str, object]]) -> None:
    table = pd.DataFrame(rows)
    table["layers"] += " " + table["mix"]
    score = "best" if "best" in table else "test"
    for scaled, part in table.groupby("scaled"):
        title = "StandardScaler" if scaled else "unscaled"
        print(f"\n### {task}, {title}, {score}\n")
        grid = part.pivot(index="layers", columns="pooling", values=score)
        print(grid.round(1).to_string(na_rep=""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    judges = {
        **dict.fromkeys(TEXT_SETS, judge_texts),
        "sts": judge_similarity,
        "pairs": judge_pairs,
        "pos": judge_tokens,
    }
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=judges, default=list(judges))
    parser.add_argument("--texts", type=int, default=1000)
    mixes = {
        f"{''.join(map(str, layers))} {mix}": (layers, mix) for layers, mix in MIXES
    }
    poolings = {"+".join(names): names for names in POOLINGS}
    parser.add_argument("--mixes", nargs="+", choices=mixes, default=list(mixes))
    parser.add_argument("--poolings", nargs="+", choices=poolings, default=[*poolings])
    options = parser.parse_args()
    MIXES[:] = [mixes[name] for name in options.mixes]
    POOLINGS[:] = [poolings[name] for name in options.poolings]
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: dict[str, list[dict[str, object]]] = {}
    if options.json.exists():
        results = json.loads(options.json.read_text("utf-8"))
    for task in options.tasks:
        arguments = (options.data, task, options.texts)
        found = judges[task](*arguments if task in TEXT_SETS else arguments[:1])
        results[task] = list(found)
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
        show(task, results[task])


if __name__ == "__main__":
    main()
