"""Zero or warm start state: downstream accuracy with the default model.

    python tests/benchmarks/state.py DATA_FOLDER [MODEL]

DATA_FOLDER has ``mr``, ``subj`` (``all.tsv.gz``) and ``trec`` (``train.tsv.gz``,
``test.tsv``) with the columns label and text. Logistic regression (C = 0.01) on
standardised features, all layers concatenated, mean over tokens. Five folds, or TREC's
own test set. Held-out loss is what ``sklearn-elmo perplexity --state`` prints.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_elmo import ElmoVectorizer

STATES = ("zero", "warm")


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)


def correct_answers(
    train: np.ndarray, y_train: pd.Series, test: np.ndarray, y_test: pd.Series
) -> np.ndarray:
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=300)
    )
    predicted = classifier.fit(train, y_train).predict(test)
    return np.asarray(predicted == y_test.to_numpy())


def main(folder: Path, model: str) -> None:
    print(f"{'set':6} {'zero':>7} {'warm':>7} {'warm - zero':>14}")
    for name in ("trec", "mr", "subj"):
        correct = {}
        for state in STATES:
            elmo = ElmoVectorizer(model, layer_mix="concat", state=state)
            if name == "trec":
                train = read(folder / "trec/train.tsv.gz")
                test = read(folder / "trec/test.tsv")
                correct[state] = correct_answers(
                    elmo.fit_transform(train["text"]),
                    train["label"],
                    elmo.transform(test["text"]),
                    test["label"],
                )
                continue
            table = read(folder / name / "all.tsv.gz")
            rows, y = elmo.fit_transform(table["text"]), table["label"]
            folds = StratifiedKFold(5, shuffle=True, random_state=0).split(rows, y)
            correct[state] = np.concatenate(
                [
                    correct_answers(rows[a], y.iloc[a], rows[b], y.iloc[b])
                    for a, b in folds
                ]
            )
        zero, warm = (100 * correct[state] for state in STATES)
        # Paired over texts: what is noise for one state is noise for the other too.
        difference = warm - zero
        error = difference.std() / np.sqrt(len(difference))
        print(
            f"{name:6} {zero.mean():7.2f} {warm.mean():7.2f} "
            f"{difference.mean():+7.2f} ± {error:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "default")
