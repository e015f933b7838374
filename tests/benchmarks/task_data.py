"""The labelled text that `tasks.py` judges models by.

A folder holds one folder a set: ``all.tsv.gz``, or ``train.tsv.gz`` and ``test.tsv``,
with the columns label and text; ``stsb`` pairs of sentences; ``ud_ewt_pos`` and
``wnut17`` a token and its tag a line, an empty line after each sentence.
"""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

MESSAGES = Path(__file__).parents[2] / "examples/data/sms_spam.tsv.gz"
TEXT_SETS = {
    "mr": "mr",
    "subj": "subj",
    "mpqa": "mpqa",
    "trec": "trec",
    "sms": "sms_spam",
}
TOKEN_SETS = {"pos": "ud_ewt_pos", "wnut": "wnut17"}


@dataclass(frozen=True)
class TextSet:
    """Labelled texts; ``n_train`` is None where folds are cut instead."""

    name: str
    texts: list[str]
    labels: np.ndarray
    n_train: int | None

    def folds(self, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the rows to learn from and to judge by, of each fold."""
        if self.n_train is not None:
            return [tuple(np.split(np.arange(len(self.labels)), [self.n_train]))]
        cut = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        return list(cut.split(self.labels, self.labels))


def read_text_set(folder: Path, name: str) -> TextSet:
    folder = folder / TEXT_SETS[name]
    if (folder / "all.tsv.gz").exists():
        table, n_train = _read(folder / "all.tsv.gz"), None
    else:
        train = _read(folder / "train.tsv.gz")
        table = pd.concat([train, _read(folder / "test.tsv")])
        n_train = len(train)
    return TextSet(
        name, table["text"].tolist(), table["label"].to_numpy(dtype=str), n_train
    )


def read_messages() -> tuple[np.ndarray, list[str]]:
    """Return labels and texts of the messages that come with the examples."""
    table = _read(MESSAGES)
    return table["label"].to_numpy(dtype=str), table["text"].tolist()


def read_pairs(folder: Path, part: str) -> tuple[list[str], list[str], np.ndarray]:
    table = _read(folder / "stsb" / f"{part}.tsv.gz")
    first, second = table["sentence1"].tolist(), table["sentence2"].tolist()
    return first, second, table["score"].to_numpy(dtype=float)


def cosines(rows: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of the first half with its row of the second."""
    first, second = np.split(rows, 2)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return 100 times the correlation."""
    return 100 * float(np.corrcoef(a, b)[0, 1])


def read_tagged(
    folder: Path, name: str, part: str, column: int = 1
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the sentences' tokens and the tokens' tags, which a column holds."""
    path = folder / TOKEN_SETS.get(name, name) / f"{part}.txt.gz"
    content = gzip.decompress(path.read_bytes()).decode("utf-8")
    sentences, tags = [], []
    for block in content.strip().split("\n\n"):
        rows = [line.split(" ") for line in block.split("\n")]
        sentences.append([row[0] for row in rows])
        tags.append([row[column] for row in rows])
    return sentences, tags


def entities(tags: list[str]) -> set[tuple[int, int, str]]:
    """Return the begin, end and type of each entity of BIO tags."""
    found, begin, kind = set(), 0, ""
    for place, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            found.add((begin, place, kind))
            kind = ""
        if tag != "O" and not kind:
            begin, kind = place, tag[2:]
    return found


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
