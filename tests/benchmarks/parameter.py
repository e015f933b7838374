"""What the values of one parameter do to accuracy, paired over texts.

    python tests/benchmarks/parameter.py DATA_FOLDER state zero warm
    python tests/benchmarks/parameter.py DATA_FOLDER precision float32 bfloat16 int8

DATA_FOLDER has ``mr``, ``subj`` and ``trec`` as `tasks.py` reads them. Logistic
regression (C = 0.01) on standardised features, all layers concatenated, mean over
tokens; five folds, or TREC's own test set. Each value is compared with the first. (Of
a start state, ``sklearn-elmo perplexity --state`` prints the held-out perplexity.)
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from task_data import TextSet, read_text_set

from sklearn_elmo import ElmoVectorizer


def right_answers(data: TextSet, elmo: ElmoVectorizer) -> np.ndarray:
    rows, y = elmo.fit_transform(data.texts), data.labels
    right = []
    for train, test in data.folds(5):
        classifier = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=300)
        )
        predicted = classifier.fit(rows[train], y[train]).predict(rows[test])
        right.append(predicted == y[test])
    return 100.0 * np.concatenate(right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("parameter", help="of ElmoVectorizer")
    parser.add_argument("values", nargs="+", help="str; the first is compared with")
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    for name in ("trec", "mr", "subj"):
        data = read_text_set(options.data, name)
        first = None
        for value in options.values:
            elmo = ElmoVectorizer(options.model, layer_mix="concat")
            elmo.set_params(**{options.parameter: value})
            right = right_answers(data, elmo)
            first = right if first is None else first
            # What is noise for one value is noise for the other too.
            difference = right - first
            error = difference.std() / np.sqrt(len(difference))
            print(
                f"{name:5} {value:10} {right.mean():7.2f} "
                f"{difference.mean():+7.2f} ± {error:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
