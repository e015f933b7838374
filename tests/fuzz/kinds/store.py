"""Files of the embedding store."""

import fcntl
import random
from pathlib import Path

import numpy as np
import reference_numpy

from sklearn_elmo import ElmoVectorizer, EmbeddingStore

from ..kind import Kind
from ..mutations import BYTES, JSON, edit_json

TEXTS = ["the cat sat", "on the mat", "a", "", "one two three four five six"]


def make_store(folder: Path) -> None:
    reference_numpy.make_model(folder / "model", seed=7)
    read_rows(folder)


def make_claim(folder: Path) -> None:
    make_store(folder)
    [recipe] = (folder / "store").glob("v1-*")
    for segment in recipe.glob("seg-*"):
        segment.unlink()
    locks = recipe / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "claim-0123456789abcdef").touch()
    (locks / "claim-0123456789abcdef.keys").write_bytes(bytes(range(160)))


def read_rows(folder: Path) -> np.ndarray:
    store = EmbeddingStore(folder / "store")
    vectorizer = ElmoVectorizer(str(folder / "model"), cache=store)
    rows = vectorizer.fit_transform(TEXTS)
    store.info()
    store.verify()
    return rows


def read_beside_a_claim(folder: Path) -> np.ndarray:
    """Read while another process, as it seems, computes what its claim says."""
    [lock] = folder.glob("store/v1-*/locks/claim-0123456789abcdef")
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return read_rows(folder)


def forge_header(rng: random.Random, data: bytes) -> bytes:
    """Change the JSON header of a segment, and make its digest right again."""
    import hashlib

    first, _, rest = data.partition(b"\n")
    *words, digest, length = first.split(b" ")
    header, after = rest[: int(length)], rest[int(length) :]
    if hashlib.sha256(header).hexdigest().encode() != digest:
        return data
    header = edit_json(rng, header)[: int(length)].ljust(int(length))
    digest = hashlib.sha256(header).hexdigest().encode()
    return b" ".join([*words, digest, length]) + b"\n" + header + after


KINDS = [
    Kind("store-segment", make_store, "store/v1-*/seg-*.h5", BYTES, read_rows),
    Kind("store-header", make_store, "store/v1-*/seg-*.h5", [forge_header], read_rows),
    Kind("store-recipe", make_store, "store/v1-*/recipe.json", JSON, read_rows),
    Kind("store-any", make_store, "store/**/*[!k]", JSON, read_rows),
    Kind(
        "store-claim",
        make_claim,
        "store/v1-*/locks/*.keys",
        BYTES,
        read_beside_a_claim,
    ),
]
