"""The vectors of teachers as targets: of unit length, kept in a mapped file."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sklearn_elmo.atomic_files import replacing
from sklearn_elmo.errors import SklearnElmoWarning, TrainingError
from sklearn_elmo.messages import warn_caller
from sklearn_elmo.pretraining.distillation.answers import (
    FloatArray,
    Teacher,
    TokenTeacher,
    check_varied,
    sentence_vectors,
    token_vectors,
    vary,
)
from sklearn_elmo.pretraining.verified_files import (
    DamagedFileError,
    append_digest,
    check_digest,
)

__all__ = ["sentence_targets", "token_targets"]

logger = logging.getLogger(__name__)

Float16Array = npt.NDArray[np.float16]

_TEXTS_AT_ONCE = 1024
_TOKEN_TARGET_DIM = 128
_TEXTS_TO_FIT = 512  # some ten thousand tokens
_TEXTS_TO_COMPARE = 8
# Rounding to bfloat16 leaves more, and other encoders have far less.
_LEAST_SIMILARITY = 0.9
_LEAST_LENGTH = 0.01  # of what is not common; in less there is much rounding


def sentence_targets(
    teacher: Teacher,
    texts: Sequence[list[str]],
    cache: Path,
    *,
    resumes: bool = False,
) -> Float16Array:
    """Return one row of unit length per text, mapped from a file.

    Parameters
    ----------
    teacher : callable
    texts : sequence of list of str
        Tokens, read a part at a time.
    cache : Path
        An ``.npy`` file, used if it exists, is intact and of this teacher and these
        texts, and written otherwise.
    resumes : bool, default=False
        Whether a checkpoint is continued. It has been trained with the file, so that
        another teacher or number of texts is refused.

    Raises
    ------
    TrainingError
        The teacher returns vectors that cannot be used, or `resumes` forbids it.
    """
    rows = _read_rows(cache, len(texts), resumes=resumes)
    if rows is not None:
        few = _spread(len(texts), _TEXTS_TO_COMPARE)
        found = sentence_vectors(teacher, [texts[k] for k in few], None)
        if _similar(rows[few], found):
            return rows
        _change_teacher("teacher", cache, resumes=resumes)
        del rows  # some systems do not replace a file that is mapped

    def request() -> Iterator[FloatArray]:
        first, varied = None, len(texts) == 1
        for part in _parts(texts):
            width = None if first is None else first.shape[1]
            vectors = _unit_rows(sentence_vectors(teacher, part, width))
            first = vectors[:1] if first is None else first
            varied = varied or vary(vectors, first)
            yield vectors
        check_varied(varied, "teacher", "text")

    return _write(cache, len(texts), request())


def token_targets(
    teacher: TokenTeacher,
    texts: Sequence[list[str]],
    lengths: npt.NDArray[np.int64],
    cache: Path,
    *,
    resumes: bool = False,
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
    lengths : ndarray of shape (n_texts,), int64
        Number of tokens of each text.
    cache : Path
        As in `sentence_targets`. Mean and components follow the rows.
    resumes : bool, default=False

    Raises
    ------
    TrainingError
        As in `sentence_targets`.
    """
    n_tokens = int(lengths.sum())
    rows = _read_rows(cache, n_tokens, resumes=resumes)
    if rows is not None:
        few = _spread(len(texts), _TEXTS_TO_COMPARE)
        found = token_vectors(teacher, [texts[k] for k in few], None)
        ends = np.cumsum(lengths)
        kept = np.concatenate([rows[ends[k] - lengths[k] : ends[k]] for k in few])
        reduction = _Reduction.read(cache, rows)
        if reduction.fits(found) and _similar(kept, reduction(found)):
            return rows
        _change_teacher("token_teacher", cache, resumes=resumes)
        del rows
    few = _spread(len(texts), _TEXTS_TO_FIT)
    sample = token_vectors(teacher, [texts[k] for k in few], None)
    units = _unit_rows(sample)
    check_varied(len(units) == 1 or vary(units, units[:1]), "token_teacher", "token")
    reduction = _Reduction.fit(sample)
    requested = (
        _unit_rows(reduction(token_vectors(teacher, part, sample.shape[1])))
        for part in _parts(texts)
    )
    return _write(cache, n_tokens, requested, reduction)


@dataclass(frozen=True)
class _Reduction:
    """Centring and projection to principal components.

    Attributes
    ----------
    mean : ndarray of shape (width,), float32
    components : ndarray of shape (width, n_components), float32
    """

    mean: FloatArray
    components: FloatArray

    @classmethod
    def fit(cls, vectors: FloatArray) -> "_Reduction":
        mean: FloatArray = vectors.mean(axis=0)
        return cls(mean, _principal_components(vectors - mean))

    @classmethod
    def read(cls, cache: Path, rows: np.memmap) -> "_Reduction":
        """Read the arrays that follow the rows of a file."""
        with cache.open("rb") as file:
            file.seek(rows.offset + rows.nbytes)
            return cls(np.load(file), np.load(file))

    def fits(self, vectors: FloatArray) -> bool:
        return bool(vectors.shape[1] == len(self.mean))

    def __call__(self, vectors: FloatArray) -> FloatArray:
        reduced: FloatArray = np.matmul(vectors - self.mean, self.components)
        return reduced


def _principal_components(vectors: FloatArray) -> FloatArray:
    """Return the directions of highest variance, ``(width, at most 128)``."""
    variances, directions = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    n_varying = int(np.count_nonzero(variances > 1e-6 * variances[-1]))
    n_kept = max(1, min(n_varying, _TOKEN_TARGET_DIM))
    components: FloatArray = directions[:, ::-1][:, :n_kept].astype(np.float32)
    return components


def _spread(n_texts: int, n_wanted: int) -> list[int]:
    """Return the places of a few texts of all lengths."""
    places = np.linspace(0, n_texts - 1, min(n_texts, n_wanted))
    return [int(place) for place in places]


def _parts(texts: Sequence[list[str]]) -> Iterator[list[list[str]]]:
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        last = min(first + _TEXTS_AT_ONCE, len(texts))
        yield [texts[k] for k in range(first, last)]
        logger.info("The teacher has read %d of %d texts", last, len(texts))


def _unit_rows(vectors: FloatArray) -> FloatArray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: FloatArray = vectors / np.maximum(norms, 1e-12)
    return rows


def _similar(kept: Float16Array, found: FloatArray) -> bool:
    """Return True if most vectors point where those in the file do.

    What all of them have in common is subtracted: it may be common to two teachers.
    """
    if kept.shape != found.shape:
        return False
    rows = kept.astype(np.float32)
    common = rows.mean(axis=0) if len(rows) > 1 else np.float32(0)
    rows, others = rows - common, _unit_rows(found) - common
    differ = np.linalg.norm(rows, axis=1) > _LEAST_LENGTH
    cosines = (_unit_rows(rows) * _unit_rows(others)).sum(axis=1)[differ]
    return not len(cosines) or bool(np.median(cosines) >= _LEAST_SIMILARITY)


def _change_teacher(name: str, cache: Path, *, resumes: bool) -> None:
    """Refuse another teacher if its run is continued; the old one has left weights."""
    if resumes:
        message = (
            f"The checkpoint in {str(cache.parent)!r} is of another run: its {name} "
            f"differs; the vectors in {cache.name!r} are not those that this {name} "
            f"returns. Pass the {name} of that run, choose another checkpoint_dir, or "
            "delete it."
        )
        raise TrainingError(message)
    logger.info("The vectors in %s are of another %s; it is called", cache, name)


def _write(
    cache: Path,
    n_rows: int,
    requested: Iterable[FloatArray],
    reduction: _Reduction | None = None,
) -> Float16Array:
    """Write rows to a file as they arrive, never all in memory, and map it."""
    with replacing(cache) as temporary:
        with temporary.open("xb") as file:
            for rows in requested:
                if not file.tell():
                    header = {
                        "descr": np.dtype(np.float16).str,
                        "fortran_order": False,
                        "shape": (n_rows, rows.shape[1]),
                    }
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(rows.astype(np.float16).tobytes())
            if reduction is not None:
                np.save(file, reduction.mean)
                np.save(file, reduction.components)
        append_digest(temporary)
    return _map(cache)


def _read_rows(cache: Path, n_rows: int, *, resumes: bool) -> np.memmap | None:
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
    rows = _map(cache)
    if len(rows) == n_rows:
        return rows
    if resumes:
        message = (
            f"The checkpoint in {str(cache.parent)!r} is of another run: its "
            f"n_teacher_texts differs; {cache.name!r} contains {len(rows)} vectors of "
            f"a teacher, and this run needs {n_rows}. Set n_teacher_texts as in that "
            "run, choose another checkpoint_dir, or delete it."
        )
        raise TrainingError(message)
    return None


def _map(cache: Path) -> np.memmap:
    rows: np.memmap = np.load(cache, mmap_mode="r")
    return rows
