"""The names of the precisions, in a module that does not import PyTorch.

To add a precision, add its name here and its product to the table in `linear`.
"""

from typing import Literal, get_args

__all__ = ["PRECISIONS", "Precision"]

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
