"""Perplexity and accuracy before and after adapting the bundled model to a task.

    python tests/benchmarks/adaptation.py DATA_FOLDER [--sets mr sms]
        [--max-tokens 400000] [--anchor-weights 0 10 30] [--folds 5]
        [--checkpoints FOLDER]

For each data set: the initial model with a softmax trained on top of it ("initial"),
and the model adapted to the texts (never to their labels) with each anchor weight. All
train for the same number of tokens and on the same text. Prints held-out perplexity,
and the accuracy of logistic regression on standardised vectors (mean pooling, layers
concatenated) with the spread of the folds' differences from the initial model.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from task_data import TEXT_SETS, read_text_set

from sklearn_elmo import ElmoPretrainer, ElmoVectorizer
from sklearn_elmo.pretraining import initial_model


def adapt(texts, *, max_tokens, anchor_weight, only_softmax=False, checkpoint_dir=None):
    """Return a pretrainer fitted to texts, starting from the bundled model."""
    frozen_share = initial_model._FROZEN_SHARE
    initial_model._FROZEN_SHARE = 1.0 if only_softmax else frozen_share
    try:
        return ElmoPretrainer(
            init="default",
            anchor_weight=anchor_weight,
            max_tokens=max_tokens,
            batch_size=32,
            held_out_share=0.05,
            checkpoint_dir=checkpoint_dir,
            random_state=0,
        ).fit(texts)
    finally:
        initial_model._FROZEN_SHARE = frozen_share


def accuracies(pretrainer, data, n_folds):
    """Return the accuracy of each fold."""
    vectorizer = ElmoVectorizer(pretrainer, layer_mix="concat")
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.003, max_iter=1000)
    )
    vectors = vectorizer.fit_transform(data.texts)
    return cross_val_score(
        classifier, vectors, data.labels, cv=data.folds(n_folds), scoring="accuracy"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=TEXT_SETS, default=["mr", "sms"])
    parser.add_argument("--max-tokens", type=float, default=400_000)
    parser.add_argument("--anchor-weights", nargs="+", type=float, default=[0, 10, 30])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--checkpoints", type=Path)
    options = parser.parse_args()
    print(f"{'set':6}{'model':12}{'perplexity':>11}{'accuracy':>10}{'change':>14}")
    for name in options.sets:
        data = read_text_set(options.data, name)
        initial = None
        recipes = [("initial", 0.0), *((f"{w:g}", w) for w in options.anchor_weights)]
        for label, weight in recipes:
            folder = options.checkpoints and options.checkpoints / f"{name}-{label}"
            fitted = adapt(
                data.texts,
                max_tokens=options.max_tokens,
                anchor_weight=weight,
                only_softmax=label == "initial",
                checkpoint_dir=folder,
            )
            scores = 100 * accuracies(fitted, data, options.folds)
            initial = scores if initial is None else initial
            change = scores - initial
            spread = change.std(ddof=1) / np.sqrt(len(change))
            print(
                f"{name:6}{label:12}{fitted.held_out_perplexity_:11.1f}"
                f"{scores.mean():10.2f}{change.mean():+8.2f} ±{spread:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
