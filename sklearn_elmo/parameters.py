"""Checks of the estimators' parameters, in scikit-learn's wording."""

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from sklearn_elmo.choices import LAYER_MIXES, MISSING, SPLITS, STATES
from sklearn_elmo.constraints import (
    POSITIVE_INT,
    Constraint,
    check_parameters,
    choices,
    is_finite,
    is_integer,
    one_of,
    optional,
)
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.inference.precision import PRECISIONS
from sklearn_elmo.messages import quote
from sklearn_elmo.models import DEVICE_NAME, is_trained_model
from sklearn_elmo.pooling import POOLINGS
from sklearn_elmo.store import EmbeddingStore
from sklearn_elmo.text import TOKENIZERS

__all__ = [
    "CONSTRAINTS",
    "check_vectorizer_parameters",
    "pooling_constraint",
    "pooling_names",
    "resolve_layers",
]


def check_vectorizer_parameters(estimator: str, parameters: Mapping[str, Any]) -> None:
    """Check the parameters of a vectorizer; see `check_parameters`."""
    check_parameters(estimator, parameters, CONSTRAINTS)


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
            f"{quote(layers)} instead."
        )
        raise InvalidParameterError(message)
    return resolved


def _is_sequence(value: Any) -> bool:
    # Arrays are not a collections.abc.Sequence, but serve as one here.
    return not isinstance(value, str | bytes | Mapping) and (
        isinstance(value, Sequence) or getattr(value, "ndim", None) == 1
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and str(value) != ""


def _is_device(value: Any) -> bool:
    # PyTorch is not imported before there are texts to read.
    is_torch_device = type(value).__module__ == "torch" and hasattr(value, "index")
    name = str(value) if is_torch_device else value
    return isinstance(name, str) and bool(DEVICE_NAME.fullmatch(name))


def _is_model(value: Any) -> bool:
    if _is_path(value) or is_trained_model(value):
        return True
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(_is_path(part) for part in value)


def _is_layers(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("all", "top")
    if _is_sequence(value):
        return len(value) > 0 and all(is_integer(layer) for layer in value)
    return is_integer(value)


def _is_layer_mix(value: Any) -> bool:
    if isinstance(value, str):
        return value in LAYER_MIXES
    return _is_sequence(value) and len(value) > 0 and all(map(is_finite, value))


def pooling_constraint(names: Sequence[str]) -> Constraint:
    """Accept one of some poolings, or several different ones."""

    def accepts(value: Any) -> bool:
        if isinstance(value, str):
            return value in names
        if not _is_sequence(value) or len(value) == 0:
            return False
        known = all(isinstance(name, str) and name in names for name in value)
        return known and len(set(value)) == len(value)

    return Constraint(
        accepts,
        f"a str among {choices(names)} or a non-empty sequence of different ones",
    )


_BOOL = Constraint(
    lambda value: isinstance(value, bool | np.bool_), "an instance of 'bool'"
)

CONSTRAINTS: dict[str, Constraint] = {
    "model": Constraint(
        _is_model,
        "a name, the path of a folder or zip file, a pair of paths (options file, "
        "weight file) or a fitted ElmoPretrainer",
    ),
    "layers": Constraint(
        _is_layers, "'all', 'top', an int or a non-empty sequence of ints"
    ),
    "layer_mix": Constraint(
        _is_layer_mix,
        f"a str among {choices(LAYER_MIXES)} or a sequence of finite numbers, one per "
        "layer",
    ),
    "pooling": pooling_constraint(POOLINGS),
    "tokenizer": Constraint(
        lambda value: (
            callable(value) or (isinstance(value, str) and value in TOKENIZERS)
        ),
        f"a str among {choices(TOKENIZERS)} or a callable str -> list of str",
    ),
    "state": one_of(*STATES),
    "missing": one_of(*MISSING),
    "normalize": _BOOL,
    "max_tokens": optional(POSITIVE_INT),
    "cache": Constraint(
        lambda value: (
            value is None
            or isinstance(value, bool | np.bool_)
            or _is_path(value)
            or isinstance(value, EmbeddingStore)
        ),
        "None, a bool, the path of a folder or an EmbeddingStore",
    ),
    "device": Constraint(
        _is_device, "'auto', 'cpu', 'cuda', 'cuda:N', 'mps' or a torch.device"
    ),
    "precision": one_of(*PRECISIONS),
    "batch_tokens": Constraint(
        lambda value: (
            POSITIVE_INT.accepts(value) or (isinstance(value, str) and value == "auto")
        ),
        f"'auto' or {POSITIVE_INT.expected}",
    ),
    "split": optional(one_of(*SPLITS)),
    "verbose": Constraint(
        lambda value: isinstance(value, bool | np.bool_) or is_integer(value, 0),
        "a bool or an int in the range [0, inf)",
    ),
}
