"""The folder that a run works in, and the text in it as numbers."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.pretraining.checkpoint import load_checkpoint
from sklearn_elmo.pretraining.corpus import Corpus, Tokenize, open_corpus, read_corpus
from sklearn_elmo.pretraining.documents import Document, iterate_documents, shuffled

__all__ = ["choose_seed", "open_workspace", "read_text"]

_SOURCE_NAME = "source.json"
_DOCUMENTS_TO_SHUFFLE = 2000


@contextlib.contextmanager
def open_workspace(checkpoint_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Give the folder for checkpoints, or one that lasts as long as the run."""
    if checkpoint_dir is not None:
        folder = Path(checkpoint_dir).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(
        prefix="sklearn-elmo-", ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def choose_seed(random_state: int | None, folder: Path) -> int:
    """Return the seed of a run: given, that of the run to go on with, or any."""
    if random_state is not None:
        return int(random_state)
    checkpoint = load_checkpoint(folder)
    if checkpoint is not None:
        return int(checkpoint["signature"]["settings"]["seed"])
    return int(np.random.default_rng().integers(2**31))


def read_text(
    X: Any,
    tokenize: Tokenize,
    folder: Path,
    *,
    held_out_share: float,
    seed: int,
    verbose: bool,
) -> Corpus:
    """Read a text, or find it read already.

    Parameters
    ----------
    X : as `iterate_documents` takes it
    tokenize : callable
    folder : Path
        Gets the numbers, or has them.
    held_out_share : float
    seed : int
    verbose : bool
        Show progress on stderr.
    """
    identity = folder / _SOURCE_NAME
    source = {"text": identify(X), "seed": seed, "held_out_share": held_out_share}
    if source["text"] is not None and identity.exists():
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(identity.read_text(encoding="utf-8")) == source:
                return open_corpus(folder)
    identity.unlink(missing_ok=True)
    generator = np.random.default_rng([seed, 0])
    documents: Iterable[Document] = shuffled(
        iterate_documents(X), _DOCUMENTS_TO_SHUFFLE, generator
    )
    if verbose:
        documents = tqdm(documents, desc="reading", unit=" documents")
    corpus = read_corpus(
        documents, tokenize, folder, held_out_share=held_out_share, generator=generator
    )
    write_bytes(identity, json.dumps(source).encode())
    return corpus


def identify(X: Any) -> Any:
    """Return what tells a text from another without reading it; None if nothing does.

    Files are told by their names, sizes and times; texts in a list by what they say.
    """
    if isinstance(X, str | os.PathLike):
        X = [X]
    if not isinstance(X, list | tuple):
        return None
    if X and all(isinstance(path, str | os.PathLike) for path in X):
        names = [os.fspath(path) for path in X]
        paths = [Path(name).expanduser() for name in names if "\n" not in name]
        with contextlib.suppress(OSError, ValueError):
            stats = [path.stat() for path in paths]
            if len(paths) == len(X) and all(path.is_file() for path in paths):
                return [
                    [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
                    for path, stat in zip(paths, stats, strict=True)
                ]
    digest = hashlib.sha256()
    for text in X:
        digest.update(repr(text).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
