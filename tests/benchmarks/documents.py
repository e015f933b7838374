"""Long texts as one text or sentence by sentence: accuracy and seconds.

    python tests/benchmarks/documents.py --data FOLDER [--sentences 20]
        [--documents 400]

Documents are made of texts of MR (sentiment), SUBJ (subjectivity) and MPQA (polarity),
each text used once. Most are of the document's class, some of any, so that the task is
not too easy. A logistic regression on standardized features
judges them in five folds.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from task_data import read_text_set

from sklearn_elmo import ElmoVectorizer

NOISE = 0.4


def make_documents(
    texts: list[str], labels: np.ndarray, n_sentences: int, n_documents: int
) -> tuple[list[str], np.ndarray]:
    """Join sentences, most of them of the document's class."""
    rng = np.random.default_rng(0)
    pools = {label: list(rng.permutation(np.flatnonzero(labels == label)))
             for label in np.unique(labels)}  # fmt: skip
    documents, found = [], []
    for number in range(n_documents):
        label = sorted(pools)[number % len(pools)]
        own = rng.random(n_sentences) >= NOISE
        sources = [label if is_own else rng.choice(sorted(pools)) for is_own in own]
        if any(len(pools[source]) < n_sentences for source in pools):
            break
        sentences = [texts[pools[source].pop()].strip() for source in sources]
        documents.append(" ".join(s if s[-1] in ".?!" else f"{s} ." for s in sentences))
        found.append(label)
    return documents, np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=20)
    parser.add_argument("--documents", type=int, default=400)
    options = parser.parse_args()
    print("| set | documents | words | split | accuracy | seconds | cosine |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
    )
    ElmoVectorizer().fit_transform(["The model is loaded."])
    for name in ("mr", "subj", "mpqa"):
        data = read_text_set(options.data, name)
        documents, labels = make_documents(
            data.texts, data.labels, options.sentences, options.documents
        )
        n_words = np.mean([len(document.split()) for document in documents])
        whole = None
        for split in (None, "sentences"):
            start = time.perf_counter()
            rows = ElmoVectorizer(layer_mix="concat", split=split).fit_transform(
                documents
            )
            seconds = time.perf_counter() - start
            scores = cross_val_score(classifier, rows, labels, cv=folds)
            whole = rows if whole is None else whole
            norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(whole, axis=1)
            cosine = np.mean((rows * whole).sum(axis=1) / norms)
            print(
                f"| {name} | {len(documents)} | {n_words:.0f} | {split} | "
                f"{100 * scores.mean():.1f} ± {100 * scores.std():.1f} | "
                f"{seconds:.1f} | {cosine:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
