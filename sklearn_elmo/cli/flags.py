"""Values of flags: text -> what the estimators take, or a usage error."""

import argparse
import math

from sklearn_elmo.choices import LAYER_MIXES
from sklearn_elmo.pooling_table import POOLINGS

__all__ = ["batch_tokens", "delimiter", "layer_mix", "layers", "poolings", "positive"]


def layers(value: str) -> str | int | list[int]:
    """``all``, ``top``, ``1`` or ``0,2``."""
    if value in ("all", "top"):
        return value
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        message = f"{value!r} is not all, top or numbers such as 0,1"
        raise argparse.ArgumentTypeError(message) from None
    return numbers[0] if len(numbers) == 1 else numbers


def layer_mix(value: str) -> str | list[float]:
    """A name, or weights such as ``0.2,0.3,0.5``."""
    if value in LAYER_MIXES:
        return value
    try:
        weights = [float(part) for part in value.split(",")]
    except ValueError:
        weights = [math.nan]
    if not all(map(math.isfinite, weights)):
        message = (
            f"{value!r} is not {', '.join(LAYER_MIXES)} or numbers such as 0.2,0.3,0.5"
        )
        raise argparse.ArgumentTypeError(message)
    return weights


def poolings(value: str) -> str | list[str]:
    """One name, or several such as ``mean,max``."""
    names = value.split(",")
    if not set(names) <= set(POOLINGS) or len(set(names)) < len(names):
        message = f"{value!r} is not a list of different ones of {', '.join(POOLINGS)}"
        raise argparse.ArgumentTypeError(message)
    return names[0] if len(names) == 1 else names


def delimiter(value: str) -> str:
    """One character, or ``tab``."""
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if len(value) != 1 or value in '"\r\n':
        message = f"{value!r} is not a single character or tab"
        raise argparse.ArgumentTypeError(message)
    return value


def positive(value: str) -> int:
    """A number from 1 up."""
    if not value.isdecimal() or int(value) < 1:
        message = f"{value!r} is no number from 1 up"
        raise argparse.ArgumentTypeError(message)
    return int(value)


def batch_tokens(value: str) -> int | str:
    """``auto`` or a number from 1 up."""
    return value if value == "auto" else positive(value)
