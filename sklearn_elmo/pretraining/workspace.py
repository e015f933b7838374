"""The working folder of a run, and the encoded text in it."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_elmo.atomic_files import write_bytes
from sklearn_elmo.bars import Bar
from sklearn_elmo.errors import CorpusTypeError, SklearnElmoWarning
from sklearn_elmo.messages import quote, warn_caller
from sklearn_elmo.pretraining.checkpoint import writing_errors
from sklearn_elmo.pretraining.corpus import Corpus, Tokenize, open_corpus, read_corpus
from sklearn_elmo.pretraining.documents import Document, iterate_documents, shuffled
from sklearn_elmo.pretraining.sources import open_source
from sklearn_elmo.pretraining.verified_files import DamagedFileError
from sklearn_elmo.text.tokenizers import resolve_tokenizer

__all__ = ["choose_seed", "open_workspace", "read_text", "sentence_tokenizer"]

TokenizerParameter = str | Callable[[str], list[str]]


_SOURCE_NAME = "source.json"
_DOCUMENTS_TO_SHUFFLE = 2000


@contextlib.contextmanager
def open_workspace(checkpoint_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folder for checkpoints, or a temporary one."""
    if checkpoint_dir is not None:
        folder = Path(os.path.expanduser(checkpoint_dir))
        with writing_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(
        prefix="sklearn-elmo-", ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def choose_seed(random_state: int | None, checkpoint: Mapping[str, Any] | None) -> int:
    """Return the given seed, that of the run to continue, or a random one."""
    if random_state is not None:
        return int(random_state)
    if checkpoint is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return int(checkpoint["signature"]["random_state"])
    return int(np.random.default_rng().integers(2**31))


def read_text(
    X: Any,
    tokenizer: TokenizerParameter,
    folder: Path,
    *,
    held_out_share: float,
    seed: int,
    verbose: bool,
) -> Corpus:
    """Encode a text, unless the folder contains it already.

    Parameters
    ----------
    X : texts or paths
        As in `open_source`.
    tokenizer : str or callable
        A checked ``tokenizer`` parameter.
    folder : Path
        Where the encoded text is, or is written to.
    held_out_share : float
    seed : int
    verbose : bool
        Whether to show progress on stderr.
    """
    pretokenized = tokenizer == "pretokenized"
    source = open_source(X, pretokenized=pretokenized)
    path = folder / _SOURCE_NAME
    identity = {
        # The same callable may return other tokens in another process.
        "text": source.fingerprint() if isinstance(tokenizer, str) else None,
        "tokenizer": tokenizer if isinstance(tokenizer, str) else None,
        "seed": seed,
        "held_out_share": held_out_share,
    }
    corpus = _find_corpus(folder, identity)
    if corpus is not None:
        return corpus
    with writing_errors(folder):
        path.unlink(missing_ok=True)
    generator = np.random.default_rng([seed, 0])
    documents: Iterable[Document] = shuffled(
        iterate_documents(source, pretokenized=pretokenized),
        _DOCUMENTS_TO_SHUFFLE,
        generator,
    )
    if verbose:
        total = source.n_documents()
        documents = Bar(documents, desc="reading", unit=" documents", total=total)
    corpus = read_corpus(
        documents,
        sentence_tokenizer(tokenizer),
        folder,
        held_out_share=held_out_share,
        generator=generator,
    )
    with writing_errors(folder):
        write_bytes(path, json.dumps(identity).encode())
    return corpus


def sentence_tokenizer(tokenizer: TokenizerParameter) -> Tokenize:
    """Return the function that splits a line into tokens.

    Parameters
    ----------
    tokenizer : str or callable
        A checked ``tokenizer`` parameter. Lines of files of tokenised text are split at
        white space.
    """
    if isinstance(tokenizer, str):
        name = "whitespace" if tokenizer == "pretokenized" else tokenizer
        return resolve_tokenizer(name, estimator="ElmoPretrainer")

    def tokenize(line: str) -> list[str]:
        tokens: Any = tokenizer(line)
        if isinstance(tokens, np.ndarray):
            tokens = tokens.tolist()
        if not isinstance(tokens, list | tuple) or not all(
            isinstance(token, str) for token in tokens
        ):
            message = (
                f"The tokenizer of ElmoPretrainer returned {type(tokens).__name__} "
                f"({quote(tokens)}) for the line {quote(line)}; expected a list of "
                "str. Return [] for a line without tokens."
            )
            raise CorpusTypeError(message)
        return list(tokens)

    return tokenize


def _find_corpus(folder: Path, identity: Mapping[str, Any]) -> Corpus | None:
    """Return the corpus in a folder if it is that of the same text and intact."""
    path = folder / _SOURCE_NAME
    if identity["text"] is None or not path.is_file():
        return None
    try:
        if json.loads(path.read_text(encoding="utf-8")) != identity:
            return None
        return open_corpus(folder)
    except (OSError, ValueError, DamagedFileError) as error:
        message = (
            f"The encoded text in {str(folder)!r} is damaged ({error}); the text is "
            "read again."
        )
        warn_caller(message, SklearnElmoWarning)
        return None
