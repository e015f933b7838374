"""What teachers are asked, and their answers: converted to float32 and checked."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse

from sklearn_elmo.errors import InvalidParameterError, TrainingError
from sklearn_elmo.messages import quote

__all__ = [
    "FloatArray",
    "Teacher",
    "TokenTeacher",
    "as_text",
    "check_varied",
    "sentence_vectors",
    "token_vectors",
    "vary",
]

Teacher = Callable[[list[str]], Any]
"""Texts -> array-like of shape ``(n_texts, width)``."""

TokenTeacher = Callable[[list[list[str]]], Any]
"""Token lists -> as many array-likes of shape ``(n_tokens_i, width)``."""

FloatArray = npt.NDArray[np.float32]

# Sums of the squares of many such vectors are finite in float32.
_LARGEST_LENGTH = 1e15
_LEAST_DIFFERENCE = 1e-5  # relative; more than rounding
_ATTACHED = re.compile(r" (?=[,.;:!?%)\]}](?: |$)|n't\b|'(?:s|m|re|ve|ll|d)\b)")


def sentence_vectors(
    teacher: Teacher, texts: Sequence[list[str]], width: int | None
) -> FloatArray:
    """Ask a teacher for the vectors of texts, ``(n_texts, width)``.

    Parameters
    ----------
    teacher : callable
    texts : sequence of list of str
        Tokens. The teacher gets them joined, see `as_text`.
    width : int or None
        Width to expect; None allows any.

    Raises
    ------
    InvalidParameterError
        The answer is not an array of numbers.
    TrainingError
        It has another shape, or a vector is not finite or too long.
    """
    joined = [as_text(words) for words in texts]
    asked = f"{len(texts)} texts, the first of which is {quote(joined[0])}"
    expected = f"an array of numbers of shape ({len(texts)}, {width or 'width'})"
    vectors = _to_float32(teacher(joined), "teacher", asked, expected)
    if (
        vectors.ndim != 2
        or len(vectors) != len(texts)
        or not vectors.size
        or width not in (None, vectors.shape[1])
    ):
        returned = f"an array of shape {vectors.shape}"
        remedy = "Return one row per text, all of one width."
        raise TrainingError(_complaint("teacher", returned, asked, expected, remedy))
    _check_lengths(vectors, joined, "teacher")
    return vectors


def token_vectors(
    teacher: TokenTeacher, texts: Sequence[list[str]], width: int | None
) -> FloatArray:
    """Ask a teacher for the vectors of all tokens, one text after another.

    Parameters and errors are those of `sentence_vectors`.
    """
    arrays: list[FloatArray] = []
    for words, answer in zip(texts, _one_per_list(teacher, texts), strict=True):
        asked = f"the {len(words)} tokens of {quote(words)}"
        expected = f"an array of numbers of shape ({len(words)}, {width or 'width'})"
        array = _to_float32(answer, "token_teacher", asked, expected)
        if array.ndim == 2 and width is None:
            width = array.shape[1]
        if array.shape != (len(words), width) or not width:
            returned = f"an array of shape {array.shape}"
            remedy = "Return one row per token, all of one width."
            raise TrainingError(
                _complaint("token_teacher", returned, asked, expected, remedy)
            )
        arrays.append(array)
    vectors = np.concatenate(arrays)
    owners = [words for words in texts for _ in words]
    _check_lengths(vectors, owners, "token_teacher")
    return vectors


def as_text(words: Sequence[str]) -> str:
    """Join tokens approximately as they are written, for teachers that take str.

    Examples
    --------
    >>> as_text(["I", "do", "n't", "know", ",", "really", "."])
    "I don't know, really."
    """
    return _ATTACHED.sub("", " ".join(words))


def vary(vectors: FloatArray, first: FloatArray) -> bool:
    """Return True if a vector differs from the first one by more than rounding."""
    tolerance = _LEAST_DIFFERENCE * np.abs(first).max()
    return bool(np.abs(vectors - first).max() > tolerance)


def check_varied(varied: bool, name: str, what: str) -> None:
    """Refuse a teacher whose vectors of all texts or tokens are the same.

    Parameters
    ----------
    varied : bool
    name : {"teacher", "token_teacher"}
    what : str
        "text" or "token".

    Raises
    ------
    TrainingError
    """
    if not varied:
        message = (
            f"The {name!r} of ElmoPretrainer returns the same vector for every {what}, "
            "apart from its length; there is nothing to learn from it. Return vectors "
            f"that depend on the {what}."
        )
        raise TrainingError(message)


def _one_per_list(teacher: TokenTeacher, texts: Sequence[list[str]]) -> list[Any]:
    answer = teacher(list(texts))
    asked = f"{len(texts)} token lists, the first of which is {quote(texts[0])}"
    expected = f"{len(texts)} arrays of shape (n_tokens, width)"
    remedy = "Return one array per list."
    returned = type(answer).__name__
    if (
        not isinstance(answer, Iterable)
        or isinstance(answer, str | bytes | Mapping)
        or issparse(answer)
    ):
        raise InvalidParameterError(
            _complaint("token_teacher", returned, asked, expected, remedy)
        )
    answers = list(answer)
    if len(answers) != len(texts):
        returned = f"{len(answers)} arrays"
        raise TrainingError(
            _complaint("token_teacher", returned, asked, expected, remedy)
        )
    return answers


def _to_float32(answer: Any, name: str, asked: str, expected: str) -> FloatArray:
    returned, remedy = type(answer).__name__, "Return an array of float32."
    try:
        array = _to_array(answer)
    except (RuntimeError, TypeError, ValueError) as error:
        returned += f", which cannot be converted to an array ({error}),"
        raise InvalidParameterError(
            _complaint(name, returned, asked, expected, remedy)
        ) from error
    if issparse(answer):
        remedy = "Call .toarray() on it, or reduce it with TruncatedSVD if it is wide."
    elif array.dtype != object:
        returned += f" of dtype {array.dtype}"
    if array.dtype.kind not in "biuf":
        raise InvalidParameterError(_complaint(name, returned, asked, expected, remedy))
    with np.errstate(over="ignore"):  # to infinity, which is refused
        return array.astype(np.float32)


def _to_array(answer: Any) -> npt.NDArray[Any]:
    """Return an answer as an array; an object array if it is not one of numbers."""
    if isinstance(answer, list | tuple):
        answer = [_to_numpy(part) for part in answer]
    return np.asarray(_to_numpy(answer))


def _to_numpy(answer: Any) -> Any:
    """Convert a tensor of any device and type, with or without a gradient."""
    if not isinstance(answer, torch.Tensor):
        return answer
    tensor = answer.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _complaint(name: str, returned: str, asked: str, expected: str, remedy: str) -> str:
    return (
        f"The {name!r} of ElmoPretrainer returned {returned} for {asked}; expected "
        f"{expected}. {remedy}"
    )


def _check_lengths(
    vectors: FloatArray, texts: Sequence[str | list[str]], name: str
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(lengths < _LARGEST_LENGTH))  # NaN is not less either
    if len(bad):
        message = (
            f"The vector that the {name!r} of ElmoPretrainer returned for "
            f"{quote(texts[bad[0]])} is not finite or too long for float32: its length "
            f"is {lengths[bad[0]]:.3g}. Return finite vectors, of unit length if "
            "possible."
        )
        raise TrainingError(message)
