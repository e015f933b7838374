"""Validation of the parameters of `ElmoPretrainer`."""

import os
from collections.abc import Mapping
from typing import Any

from sklearn_elmo.constraints import (
    POSITIVE_INT,
    Constraint,
    check_parameters,
    integer,
    is_finite,
    one_of,
    optional,
)
from sklearn_elmo.parameters import CONSTRAINTS as VECTORIZER_CONSTRAINTS
from sklearn_elmo.pretraining.presets import PRESETS

__all__ = ["check_pretrainer_parameters"]


_LIMIT = Constraint(
    lambda value: value is None or (is_finite(value) and value > 0),
    "None or a number above 0",
)
_SHARE = Constraint(
    lambda value: is_finite(value) and 0 <= value < 1, "a number in [0, 1)"
)
_POSITIVE = Constraint(lambda value: is_finite(value) and value > 0, "a number above 0")

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
    "device": VECTORIZER_CONSTRAINTS["device"],
    "precision": one_of("auto", "float32", "bfloat16"),
    "random_state": optional(integer(0)),
    "tokenizer": VECTORIZER_CONSTRAINTS["tokenizer"],
    "verbose": Constraint(lambda value: isinstance(value, bool), "a bool"),
    "max_words": integer(4),
    "min_count": POSITIVE_INT,
    "n_negative_samples": optional(POSITIVE_INT),
    "batch_size": POSITIVE_INT,
    "n_steps": POSITIVE_INT,
    "learning_rate": _POSITIVE,
    "dropout": _SHARE,
    "held_out_share": _SHARE,
    "n_teacher_texts": integer(2),
    "teacher_weight": _POSITIVE,
    "teacher_batch_size": integer(2),
    "anchor_weight": Constraint(
        lambda value: is_finite(value) and value >= 0, "a number of at least 0"
    ),
    "teacher_lowercase_share": Constraint(
        lambda value: is_finite(value) and 0 <= value <= 1, "a number in [0, 1]"
    ),
}


def check_pretrainer_parameters(parameters: Mapping[str, Any]) -> None:
    """Check all parameters.

    Raises
    ------
    InvalidParameterError
        Names the first parameter with an invalid value.
    """
    check_parameters("ElmoPretrainer", parameters, CONSTRAINTS)
