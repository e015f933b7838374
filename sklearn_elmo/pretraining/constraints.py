"""Checks of `ElmoPretrainer`'s parameters, in scikit-learn's wording."""

import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from sklearn_elmo.models import DEVICE_NAME
from sklearn_elmo.parameters import Constraint, check_parameters
from sklearn_elmo.pretraining.presets import PRESETS

__all__ = ["check_pretrainer_parameters"]


def _is_integer(value: Any, least: int) -> bool:
    return (
        isinstance(value, Integral)
        and not isinstance(value, bool)
        and int(value) >= least
    )


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    )


def _integer(least: int) -> Constraint:
    return Constraint(
        lambda value: _is_integer(value, least), f"an int of at least {least}"
    )


_LIMIT = Constraint(
    lambda value: value is None or (_is_number(value) and value > 0),
    "None or a number above 0",
)
_SHARE = Constraint(
    lambda value: _is_number(value) and 0 <= value < 1, "a number in [0, 1)"
)
_POSITIVE = Constraint(
    lambda value: _is_number(value) and value > 0, "a number above 0"
)

CONSTRAINTS = {
    "size": Constraint(
        lambda value: (
            isinstance(value, Mapping) or (isinstance(value, str) and value in PRESETS)
        ),
        f"a str among {set(PRESETS)} or a dict of options",
    ),
    "init": Constraint(
        lambda value: value is None or isinstance(value, str | os.PathLike | tuple),
        "None, the name of a model, a path or a pair of paths",
    ),
    "teacher": Constraint(
        lambda value: value is None or callable(value), "None or a callable"
    ),
    "token_teacher": Constraint(
        lambda value: value is None or callable(value), "None or a callable"
    ),
    "max_minutes": _LIMIT,
    "max_tokens": _LIMIT,
    "epochs": _LIMIT,
    "checkpoint_dir": Constraint(
        lambda value: value is None or isinstance(value, str | os.PathLike),
        "None or a path",
    ),
    "device": Constraint(
        lambda value: isinstance(value, str) and bool(DEVICE_NAME.fullmatch(value)),
        "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'",
    ),
    "precision": Constraint(
        lambda value: (
            isinstance(value, str) and value in ("auto", "float32", "bfloat16")
        ),
        "a str among {'auto', 'float32', 'bfloat16'}",
    ),
    "random_state": Constraint(
        lambda value: value is None or _is_integer(value, 0),
        "None or an int of at least 0",
    ),
    "verbose": Constraint(lambda value: isinstance(value, bool), "a bool"),
    "max_words": _integer(4),
    "min_count": _integer(1),
    "n_negative_samples": Constraint(
        lambda value: value is None or _is_integer(value, 1),
        "None or an int of at least 1",
    ),
    "batch_size": _integer(1),
    "n_steps": _integer(1),
    "learning_rate": _POSITIVE,
    "dropout": _SHARE,
    "held_out_share": _SHARE,
    "n_teacher_texts": _integer(2),
    "teacher_weight": _POSITIVE,
    "teacher_batch_size": _integer(2),
    "teacher_lowercase_share": Constraint(
        lambda value: _is_number(value) and 0 <= value <= 1, "a number in [0, 1]"
    ),
}


def check_pretrainer_parameters(parameters: Mapping[str, Any]) -> None:
    """Check parameters one by one.

    Raises
    ------
    InvalidParameterError
        Names the first parameter that has a value it cannot have.
    """
    check_parameters("ElmoPretrainer", parameters, CONSTRAINTS)
