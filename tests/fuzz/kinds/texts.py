"""Tables, lines and word vectors, plain and compressed."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from sklearn_elmo import WordVectorVectorizer
from sklearn_elmo.cli.tables import iterate_texts
from sklearn_elmo.errors import SklearnElmoError
from sklearn_elmo.pretraining.documents import iterate_documents
from sklearn_elmo.pretraining.sources import open_source

from ..kind import Kind
from ..mutations import BYTES, TEXT

TEXTS = [f"text {i}, with a comma and a \u201cquotation\u201d" for i in range(40)]
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def csv_bytes(delimiter: str) -> bytes:
    rows = [f'{i}{delimiter}"{text}"' for i, text in enumerate(TEXTS)]
    return "\n".join([f"id{delimiter}text", *rows, ""]).encode()


def jsonl_bytes() -> bytes:
    return "".join(json.dumps({"id": 1, "text": t}) + "\n" for t in TEXTS).encode()


def vector_bytes() -> bytes:
    rng = np.random.default_rng(0)
    rows = [
        f"w{i} " + " ".join(f"{x:.4f}" for x in rng.normal(size=5)) for i in range(50)
    ]
    return "\n".join([*rows, ""]).encode()


def word2vec_bytes() -> bytes:
    rng = np.random.default_rng(0)
    rows = [
        f"w{i} ".encode() + rng.normal(size=5).astype("<f4").tobytes()
        for i in range(50)
    ]
    return b"50 5\n" + b"\n".join(rows) + b"\n"


def read_table(path: Path) -> list[str | None]:
    column = None if path.name.startswith("lines") else "text"
    texts = list(iterate_texts(str(path), column))
    assert all(text is None or isinstance(text, str) for text in texts)
    return texts


def read_vectors(path: Path) -> np.ndarray:
    rows = WordVectorVectorizer(str(path)).fit_transform(["w0 w1", "w7", "other"])
    assert np.isfinite(rows).all()
    return rows


def read_documents(path: Path) -> list[list[str]]:
    return [list(document) for document in iterate_documents(open_source(str(path)))]


def of_one_file(name: str, content: bytes, read: object, **settings: object) -> Kind:
    """Return a kind whose folder has just one file."""
    packed = Path(name).suffix in PACKERS and Path(name).suffix != ""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)

    def read_file(folder: Path) -> object:
        return read(folder / name)  # type: ignore[operator]

    defaults = {"mutators": BYTES if packed else TEXT, "exact": False}
    return Kind(name, make, name, read=read_file, **(defaults | settings))  # type: ignore[arg-type]


def make_parquet(folder: Path) -> None:
    table = pyarrow.table({"id": list(range(len(TEXTS))), "text": TEXTS})
    pyarrow.parquet.write_table(table, folder / "table.parquet")


# The command reports these, too, on one line.
TABLE_ERRORS = (SklearnElmoError, FileNotFoundError)
LINES = "\n".join(["a b c .", "", "d e f ."] * 20).encode()

KINDS = [
    *(
        of_one_file(f"{name}{end}", pack(content), read_table, errors=TABLE_ERRORS)
        for name, content in [
            ("table.csv", csv_bytes(",")),
            ("table.tsv", csv_bytes("\t")),
            ("table.jsonl", jsonl_bytes()),
            ("lines.txt", LINES),
        ]
        for end, pack in PACKERS.items()
        if end in ("", ".gz") or name == "table.csv"
    ),
    Kind(
        "table.parquet",
        make_parquet,
        "table.parquet",
        BYTES,
        lambda folder: read_table(folder / "table.parquet"),
        exact=False,
    ),
    *(
        of_one_file(f"vectors.txt{end}", pack(vector_bytes()), read_vectors)
        for end, pack in PACKERS.items()
    ),
    of_one_file("vectors.bin", word2vec_bytes(), read_vectors),
    *(
        of_one_file(f"documents.txt{end}", pack(LINES), read_documents)
        for end, pack in PACKERS.items()
    ),
]
