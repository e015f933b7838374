"""Validation of parameters, in scikit-learn's wording."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from sklearn_elmo.errors import InvalidParameterError

__all__ = [
    "POSITIVE_INT",
    "Constraint",
    "check_parameters",
    "choices",
    "integer",
    "is_finite",
    "is_integer",
    "one_of",
    "optional",
]


class Constraint(NamedTuple):
    """The values that a parameter accepts: a predicate, and the same in words."""

    accepts: Callable[[Any], bool]
    expected: str


def check_parameters(
    estimator: str,
    parameters: Mapping[str, Any],
    constraints: Mapping[str, Constraint],
) -> None:
    """Check parameters one by one.

    Parameters
    ----------
    estimator : str
        Name of the class, for the message.
    parameters : mapping of str to object
        As ``get_params(deep=False)`` returns them.
    constraints : mapping of str to Constraint
        One per parameter.

    Raises
    ------
    InvalidParameterError
        Names the first parameter with an invalid value.
    """
    for name, value in parameters.items():
        constraint = constraints[name]
        if not constraint.accepts(value):
            shown = repr(value)
            shown = shown if len(shown) <= 80 else shown[:77] + "..."
            message = (
                f"The {name!r} parameter of {estimator} must be {constraint.expected}. "
                f"Got {shown} instead."
            )
            raise InvalidParameterError(message)


def is_integer(value: Any, least: float = -math.inf) -> bool:
    """Return True for an int of any type, not bool, that is at least `least`."""
    return (
        isinstance(value, Integral)
        and not isinstance(value, bool)
        and int(value) >= least
    )


def is_finite(value: Any) -> bool:
    """Return True for a finite real number of any type, not bool."""
    return (
        isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    )


def integer(least: int) -> Constraint:
    """Accept an int of at least `least`."""
    return Constraint(
        lambda value: is_integer(value, least), f"an int in the range [{least}, inf)"
    )


def optional(constraint: Constraint) -> Constraint:
    """Accept None and what `constraint` accepts."""
    return Constraint(
        lambda value: value is None or constraint.accepts(value),
        f"None or {constraint.expected}",
    )


def choices(names: Sequence[str]) -> str:
    """Return the names as scikit-learn's messages show them."""
    return "{" + ", ".join(map(repr, names)) + "}"


def one_of(*names: str) -> Constraint:
    """Accept one of some names."""
    return Constraint(
        lambda value: isinstance(value, str) and value in names,
        f"a str among {choices(names)}",
    )


POSITIVE_INT = integer(1)
