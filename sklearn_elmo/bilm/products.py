"""Matrix products with prepared weights, in float32 or with reduced precision."""

import functools
import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["PRECISIONS", "Precision", "Product", "prepare_product"]

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")

Product = Callable[[Tensor], Tensor]
"""``(N, n_in)`` float32 -> ``(N, n_out)`` float32."""


def prepare_product(
    weight: Tensor, bias: Tensor | None, precision: Precision
) -> Product:
    """Return a function for ``x @ weight.T + bias``.

    Parameters
    ----------
    weight : Tensor
        *Shape:* ``(n_out, n_in)``, float32.
    bias : Tensor or None
        *Shape:* ``(n_out,)``, float32. It is added in float32 whatever the precision.
    precision : {"float32", "bfloat16", "int8"}
        How the factors are rounded. ``"bfloat16"`` rounds both. ``"int8"`` rounds each
        row of the weight and each row of the input to 8 bits with a scale of its own.
        Sums are float32 or wider, and so is the result.
    """
    if precision == "bfloat16":
        half = weight.to(torch.bfloat16)
        return functools.partial(_multiply_bfloat16, weight=half, bias=bias)
    if precision == "int8":
        return _prepare_int8(weight, bias)
    weight = weight.contiguous()
    return functools.partial(torch.nn.functional.linear, weight=weight, bias=bias)


def _multiply_bfloat16(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = torch.nn.functional.linear(inputs.to(torch.bfloat16), weight).float()
    return product if bias is None else product.add_(bias)


def _prepare_int8(weight: Tensor, bias: Tensor | None) -> Product:
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127  # (n_out,)
    rounded = torch.round(weight / scale[:, None]).to(torch.int8)
    if weight.device.type == "cpu" and _int_mm_is_right():
        return functools.partial(
            _multiply_int8, weight=rounded.t().contiguous(), scale=scale, bias=bias
        )
    logger.info("int8 products are not offered by this torch; rounding only")
    # The same numbers without the gain in speed.
    dequantized = rounded.float() * scale[:, None]
    return functools.partial(_multiply_rounded, weight=dequantized, bias=bias)


def _round_rows(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row divided by its scale and rounded to [-127, 127], and the scales.

    A scale a row, not a batch, keeps rows independent of each other.
    """
    scale = inputs.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
    return torch.round(inputs / scale), scale


def _multiply_int8(
    inputs: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None
) -> Tensor:
    rounded, row_scale = _round_rows(inputs)
    product = torch._int_mm(rounded.to(torch.int8), weight).float()
    product.mul_(row_scale).mul_(scale)
    return product if bias is None else product.add_(bias)


def _multiply_rounded(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rounded, row_scale = _round_rows(inputs)
    product = torch.nn.functional.linear(rounded, weight).mul_(row_scale)
    return product if bias is None else product.add_(bias)


@functools.cache
def _int_mm_is_right() -> bool:
    """Try torch's integer product, which is private, against plain arithmetic."""
    left = torch.arange(-60, 60, dtype=torch.int8).reshape(3, 40)
    right = torch.arange(-100, 100, dtype=torch.int8).reshape(40, 5)
    try:
        product = torch._int_mm(left, right)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((product.long() == left.long() @ right.long()).all())
