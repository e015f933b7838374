"""What the vectors of sentence encoders are worth: which one should teach.

    python tests/benchmarks/encoders.py --data FOLDER --store FOLDER [--rows 2500]
        [--tasks mr subj mpqa trec sts] [--folds 5] [--labels 500]

For each encoder that is installed (`peers.read_teachers`), and for each pair side by
side (each reduced to 256 principal components and to unit length): accuracy of a
logistic regression, chosen as in ``tasks.py``, with all labels and with 500 (ten
draws); correlation of cosines with people's scores (STS-B); texts read a second. At
most ``--rows`` texts of each set are read, the same by all encoders. Vectors are kept
in the store as float16, so encoders that need different Pythons can share a table.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from peers import Encode, read_teachers
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize
from task_data import TEXT_SETS, cosines, pearson, read_pairs, read_text_set
from tasks import DENSE_STRENGTHS, Dense, all_labels, few_labels

N_COMPONENTS = 256


def read_texts(folder: Path, task: str, n_rows: int) -> tuple[list[str], np.ndarray]:
    """Return texts and labels, or the sentences of all pairs and their scores."""
    if task == "sts":
        first, second, scores = read_pairs(folder, "test")
        return [*first, *second], np.asarray(scores)
    data = read_text_set(folder, task)
    order = np.random.default_rng(0).permutation(len(data.texts))
    rows = np.sort(order[:n_rows])
    return [data.texts[k] for k in rows], data.labels[rows]


def vectors(encode: Encode | None, texts: list[str], path: Path) -> np.ndarray:
    if not path.exists() and encode is not None:
        begin = time.perf_counter()
        np.save(path, encode(texts).astype(np.float16))
        speed = len(texts) / (time.perf_counter() - begin)
        print(f"{path.stem}: {speed:,.0f} texts/s", flush=True)
    return np.load(path).astype(np.float32)


def side_by_side(parts: list[np.ndarray]) -> np.ndarray:
    reduced = [PCA(N_COMPONENTS, random_state=0).fit_transform(part) for part in parts]
    return np.hstack([normalize(part) for part in reduced])


def judge(rows: np.ndarray, y: np.ndarray, task: str, n_folds: int, n_labels: int):
    if task == "sts":
        return f"{pearson(cosines(rows), y):.1f}"
    candidates = [(Dense(rows), (*DENSE_STRENGTHS, 0.1, 0.3))]
    folds = list(StratifiedKFold(n_folds, shuffle=True, random_state=0).split(rows, y))
    accuracy, error = all_labels(candidates, y, folds)
    few, spread = few_labels(candidates, y, folds, n_labels)
    return f"{accuracy:.1f} ± {error:.1f}, {few:.1f} ± {spread:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*TEXT_SETS, "sts"]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=every, default=every)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=500)
    options = parser.parse_args()
    options.store.mkdir(parents=True, exist_ok=True)
    teachers: dict[str, Encode | None] = dict(read_teachers(options.store))
    kept = {path.stem.split("-")[0] for path in options.store.glob("*-*.npy")}
    teachers |= dict.fromkeys(sorted(kept - set(teachers)))
    print("| set | encoder | all labels, few labels |\n| --- | --- | --- |")
    for task in options.tasks:
        texts, y = read_texts(options.data, task, options.rows)
        found = {
            name: vectors(encode, texts, options.store / f"{name}-{task}.npy")
            for name, encode in teachers.items()
        }
        pairs = itertools.combinations(list(found), 2)
        found |= {f"{a} + {b}": side_by_side([found[a], found[b]]) for a, b in pairs}
        for name, rows in found.items():
            result = judge(rows, y, task, options.folds, options.labels)
            print(f"| {task} | {name} | {result} |", flush=True)


if __name__ == "__main__":
    main()
