"""Checks of the estimators' parameters, in scikit-learn's wording."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.models import DEVICE_NAME
from sklearn_elmo.pooling import POOLINGS
from sklearn_elmo.store import EmbeddingStore
from sklearn_elmo.text import TOKENIZERS

__all__ = ["Constraint", "check_parameters", "pooling_names", "resolve_layers"]

LAYER_MIXES = ("average", "concat", "learned")


class Constraint(NamedTuple):
    """What a parameter may be: a test, and the same in words."""

    accepts: Callable[[Any], bool]
    expected: str


def check_parameters(
    estimator: str,
    parameters: Mapping[str, Any],
    constraints: Mapping[str, Constraint] | None = None,
) -> None:
    """Check parameters one by one.

    Parameters
    ----------
    estimator : str
        Name of the class, for the message.
    parameters : mapping of str to object
        As ``get_params(deep=False)`` returns them.
    constraints : mapping of str to Constraint, optional
        Those of the vectorizers by default.

    Raises
    ------
    InvalidParameterError
        Names the first parameter that has a value it cannot have.
    """
    for name, value in parameters.items():
        constraint = (constraints or CONSTRAINTS)[name]
        if not constraint.accepts(value):
            message = (
                f"The {name!r} parameter of {estimator} must be {constraint.expected}. "
                f"Got {_shorten(value)} instead."
            )
            raise InvalidParameterError(message)


def pooling_names(pooling: str | Sequence[str]) -> tuple[str, ...]:
    """Return the poolings of a checked ``pooling`` parameter."""
    return (pooling,) if isinstance(pooling, str) else tuple(pooling)


def resolve_layers(layers: Any, n_layers: int, estimator: str) -> tuple[int, ...]:
    """Turn a checked ``layers`` parameter into layer numbers.

    Parameters
    ----------
    layers : str, int or sequence of int
    n_layers : int
        L, the model's biLSTM layers; layer 0 comes on top of them.
    estimator : str
        Name of the class, for the message.

    Raises
    ------
    InvalidParameterError
        If the model has no such layer, or one is named twice.
    """
    if isinstance(layers, str):
        return tuple(range(n_layers + 1)) if layers == "all" else (n_layers,)
    chosen = [layers] if isinstance(layers, Integral) else layers
    resolved = tuple(int(i) + n_layers + 1 if i < 0 else int(i) for i in chosen)
    for asked, layer in zip(chosen, resolved, strict=True):
        if not 0 <= layer <= n_layers:
            names = ", ".join(str(i) for i in range(n_layers + 1))
            message = (
                f"The 'layers' parameter of {estimator} asks for layer {asked}, but "
                f"the model has the layers {names} (or -1, the top, to "
                f"-{n_layers + 1})."
            )
            raise InvalidParameterError(message)
    if len(set(resolved)) < len(resolved):
        message = (
            f"The 'layers' parameter of {estimator} must name each layer once. Got "
            f"{_shorten(layers)} instead."
        )
        raise InvalidParameterError(message)
    return resolved


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _choices(names: Sequence[str]) -> str:
    return "{" + ", ".join(map(repr, names)) + "}"


def _is_sequence(value: Any) -> bool:
    # Arrays are no collections.abc.Sequence, but as good as one here.
    return not isinstance(value, str | bytes | Mapping) and (
        isinstance(value, Sequence) or getattr(value, "ndim", None) == 1
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and str(value) != ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    )


def _is_model(value: Any) -> bool:
    if _is_path(value):
        return True
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(_is_path(part) for part in value)


def _is_layers(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("all", "top")
    if _is_sequence(value):
        return len(value) > 0 and all(_is_whole(layer) for layer in value)
    return _is_whole(value)


def _is_layer_mix(value: Any) -> bool:
    if isinstance(value, str):
        return value in LAYER_MIXES
    return _is_sequence(value) and len(value) > 0 and all(map(_is_finite, value))


def _is_pooling(value: Any) -> bool:
    if isinstance(value, str):
        return value in POOLINGS
    if not _is_sequence(value) or len(value) == 0:
        return False
    known = all(isinstance(name, str) and name in POOLINGS for name in value)
    return known and len(set(value)) == len(value)


def _one_of(*names: str) -> Constraint:
    return Constraint(
        lambda value: isinstance(value, str) and value in names,
        f"a str among {_choices(names)}",
    )


_BOOL = Constraint(
    lambda value: isinstance(value, bool | np.bool_), "an instance of 'bool'"
)

CONSTRAINTS: dict[str, Constraint] = {
    "model": Constraint(
        _is_model,
        "a name, the path of a folder or zip file, or a pair of paths (options file, "
        "weight file)",
    ),
    "layers": Constraint(
        _is_layers, "'all', 'top', an int or a non-empty sequence of ints"
    ),
    "layer_mix": Constraint(
        _is_layer_mix,
        f"a str among {_choices(LAYER_MIXES)} or a sequence of finite numbers, one a "
        "layer",
    ),
    "pooling": Constraint(
        _is_pooling,
        f"a str among {_choices(POOLINGS)} or a non-empty sequence of different ones",
    ),
    "tokenizer": Constraint(
        lambda value: (
            callable(value) or (isinstance(value, str) and value in TOKENIZERS)
        ),
        f"a str among {_choices(TOKENIZERS)} or a callable str -> list of str",
    ),
    "state": _one_of("zero", "warm"),
    "missing": _one_of("zero", "error"),
    "normalize": _BOOL,
    "max_tokens": Constraint(
        lambda value: value is None or (_is_whole(value) and value >= 1),
        "None or an int in the range [1, inf)",
    ),
    "cache": Constraint(
        lambda value: (
            value is None
            or value is True
            or _is_path(value)
            or isinstance(value, EmbeddingStore)
        ),
        "None, True, the path of a folder or an EmbeddingStore",
    ),
    "device": Constraint(
        lambda value: isinstance(value, str) and bool(DEVICE_NAME.fullmatch(value)),
        "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'",
    ),
    "precision": _one_of("float32", "bfloat16", "int8"),
    "batch_tokens": Constraint(
        lambda value: (
            (isinstance(value, str) and value == "auto")
            or (_is_whole(value) and value >= 1)
        ),
        "'auto' or an int in the range [1, inf)",
    ),
    "verbose": _BOOL,
}
