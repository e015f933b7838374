"""Vectors that teachers return: requested once, checked, kept in a mapped file."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import replacing
from sklearn_elmo.errors import SklearnElmoWarning, TrainingError
from sklearn_elmo.messages import quote, warn_caller
from sklearn_elmo.pretraining.verified_files import (
    DamagedFileError,
    append_digest,
    check_digest,
)

__all__ = ["Teacher", "TokenTeacher", "sentence_targets", "token_targets"]

logger = logging.getLogger(__name__)

Teacher = Callable[[list[str]], Any]
"""Texts -> array-like of shape ``(n_texts, width)``."""

TokenTeacher = Callable[[list[list[str]]], Any]
"""Token lists -> as many array-likes of shape ``(n_tokens_i, width)``."""

FloatArray = npt.NDArray[np.float32]
Float16Array = npt.NDArray[np.float16]

_TEXTS_AT_ONCE = 1024
_TOKEN_TARGET_DIM = 128
_TEXTS_TO_FIT = 512  # some ten thousand tokens
_ATTACHED = re.compile(r" (?=[,.;:!?%)\]}](?: |$)|n't\b|'(?:s|m|re|ve|ll|d)\b)")


def sentence_targets(
    teacher: Teacher, texts: Sequence[list[str]], cache: Path
) -> Float16Array:
    """Return one row of unit length per text, mapped from a file.

    Parameters
    ----------
    teacher : callable
    texts : sequence of list of str
        Tokens, read a part at a time. The teacher gets them joined, see `as_text`.
    cache : Path
        An ``.npy`` file, used if it exists and is intact, and written otherwise.
    """

    def request() -> Iterator[FloatArray]:
        width = None
        for part in _parts(texts):
            vectors = _sentence_vectors(
                teacher, [as_text(words) for words in part], width
            )
            width = vectors.shape[1]
            yield vectors

    return _keep(cache, len(texts), request)


def token_targets(
    teacher: TokenTeacher,
    texts: Sequence[list[str]],
    n_tokens: int,
    cache: Path,
) -> Float16Array:
    """Return one row of unit length per token, mapped from a file.

    Vectors of words in context have a large common part that carries no information, so
    their mean is subtracted. At most 128 principal components are kept. Mean and
    components are computed from a sample of texts of all lengths.

    Parameters
    ----------
    teacher : callable
    texts : sequence of list of str
        Read a part at a time.
    n_tokens : int
        In all texts together.
    cache : Path
        As in `sentence_targets`.
    """

    def request() -> Iterator[FloatArray]:
        spread = np.linspace(0, len(texts) - 1, min(len(texts), _TEXTS_TO_FIT))
        sample = _token_vectors(teacher, [texts[k] for k in spread.astype(int)], None)
        width = sample.shape[1]
        mean = sample.mean(axis=0)
        components = _principal_components(sample - mean)
        for part in _parts(texts):
            yield (_token_vectors(teacher, part, width) - mean) @ components

    return _keep(cache, n_tokens, request)


def as_text(words: Sequence[str]) -> str:
    """Join tokens approximately as they are written, for teachers that take str.

    Examples
    --------
    >>> as_text(["I", "do", "n't", "know", ",", "really", "."])
    "I don't know, really."
    """
    return _ATTACHED.sub("", " ".join(words))


def _parts(texts: Sequence[list[str]]) -> Iterator[list[list[str]]]:
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        last = min(first + _TEXTS_AT_ONCE, len(texts))
        yield [texts[k] for k in range(first, last)]
        logger.info("The teacher has read %d of %d texts", last, len(texts))


def _keep(
    cache: Path, n_rows: int, request: Callable[[], Iterator[FloatArray]]
) -> Float16Array:
    """Write rows to a file as they arrive, never all in memory, and map it."""
    if (kept := _read_kept(cache, n_rows)) is not None:
        return kept
    with replacing(cache) as temporary:
        place, file = 0, None
        for vectors in request():
            if file is None:
                file = np.lib.format.open_memmap(
                    temporary, "w+", np.float16, (n_rows, vectors.shape[1])
                )
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            file[place : place + len(vectors)] = vectors / np.maximum(norms, 1e-12)
            place += len(vectors)
        assert file is not None
        file.flush()
        del file  # some systems do not rename a file that is mapped
        append_digest(temporary)
    return _map(cache)


def _read_kept(cache: Path, n_rows: int) -> Float16Array | None:
    """Return the rows of a file; None if it does not exist or is not usable."""
    if not cache.exists():
        return None
    try:
        check_digest(cache)
    except DamagedFileError as error:
        message = (
            f"The teacher's vectors in {str(cache)!r} are damaged ({error}); the "
            "teacher is called again."
        )
        warn_caller(message, SklearnElmoWarning)
        return None
    kept = _map(cache)
    return kept if len(kept) == n_rows else None


def _map(cache: Path) -> Float16Array:
    rows: Float16Array = np.load(cache, mmap_mode="r")
    return rows


def _principal_components(vectors: FloatArray) -> FloatArray:
    """Return the directions of highest variance, ``(width, at most 128)``."""
    variances, directions = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    n_varying = int(np.count_nonzero(variances > 1e-6 * variances[-1]))
    n_kept = max(1, min(n_varying, _TOKEN_TARGET_DIM))
    components: FloatArray = directions[:, ::-1][:, :n_kept].astype(np.float32)
    return components


def _sentence_vectors(
    teacher: Teacher, texts: list[str], width: int | None
) -> FloatArray:
    vectors = np.asarray(teacher(texts), dtype=np.float32)
    expected = "width" if width is None else width
    if (
        vectors.ndim != 2
        or len(vectors) != len(texts)
        or not vectors.size
        or width not in (None, vectors.shape[1])
    ):
        message = (
            f"The teacher returned an array of shape {vectors.shape} for {len(texts)} "
            f"texts; expected ({len(texts)}, {expected}). Return one row per text."
        )
        raise TrainingError(message)
    _check_finite(vectors, texts, "teacher")
    return vectors


def _token_vectors(
    teacher: TokenTeacher, texts: list[list[str]], width: int | None
) -> FloatArray:
    """Return the vectors of all tokens, one text after another."""
    answers = list(teacher(texts))
    if len(answers) != len(texts):
        message = (
            f"The token teacher returned {len(answers)} arrays for {len(texts)} token "
            f"lists, the first of which is {quote(texts[0])}. Return one array per "
            "list."
        )
        raise TrainingError(message)
    arrays = []
    for words, answer in zip(texts, answers, strict=True):
        array = np.asarray(answer, dtype=np.float32)
        if array.ndim == 2 and width is None:
            width = array.shape[1]
        if array.shape != (len(words), width) or not width:
            message = (
                f"The token teacher returned an array of shape {array.shape} for the "
                f"{len(words)} tokens of {quote(words)}; expected ({len(words)}, "
                f"{width or 'width'}). Return one row per token, all of one width."
            )
            raise TrainingError(message)
        arrays.append(array)
    vectors = np.concatenate(arrays)
    owners = [words for words in texts for _ in words]
    _check_finite(vectors, owners, "token teacher")
    return vectors


def _check_finite(
    vectors: FloatArray, texts: Sequence[str | list[str]], who: str
) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        message = (
            f"The vector that the {who} returned for {quote(texts[bad[0]])} contains "
            "NaN or infinity, so it is not finite. Return finite vectors."
        )
        raise TrainingError(message)
