"""Linear layers with a fixed weight, in float32 or with reduced precision.

On CPUs, PyTorch has two implementations of the float32 product: MKL's, which
``torch.nn.functional.linear`` calls and which is slow on processors that are not made
by Intel, and oneDNN's, which needs the weight in a packed layout. Both are timed once
per process, and the faster one is used. The operators of oneDNN are private to PyTorch:
they are compared with plain arithmetic before use, and everything works without them.
"""

import functools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from sklearn_elmo.inference.precision import Precision

__all__ = ["Activation", "Linear", "make_linear"]

logger = logging.getLogger(__name__)

Activation = Literal["none", "sigmoid"]

_ROWS_TO_PACK_FOR = 64  # the layout hardly depends on it, unless it is 1
_TRIAL_SHAPE = (128, 256, 1024)  # rows, inputs, outputs: takes a millisecond
_N_TRIALS = 9
_MIN_ROW_STEP = 8


class Linear(ABC):
    """A function ``activation(x @ weight.T + bias + addend)``.

    Parameters
    ----------
    weight : Tensor
        *Shape:* ``(n_out, n_in)``, float32.
    bias : Tensor or None
        *Shape:* ``(n_out,)``, float32. Added in float32 in every precision.
    activation : {"none", "sigmoid"}
        Applied in float32.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: Activation = "none"
    ) -> None:
        self._weight = self._prepare(weight.detach())
        self._bias = None if bias is None else bias.detach()
        self._activation = activation

    @abstractmethod
    def _prepare(self, weight: Tensor) -> Tensor:
        """Return the weight in the layout and the type of the product."""

    def padded_rows(self, n_rows: int) -> int:
        """Return how many rows are computed for a number of input rows.

        Inputs of another height are copied and padded.
        """
        return n_rows

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        """Return a new tensor.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(N, n_in)``, float32.
        addend : Tensor, optional
            Added before the activation. *Shape:* ``(N, n_out)``, float32.

        Returns
        -------
        Tensor
            *Shape:* ``(N, n_out)``, float32.
        """
        n_rows = len(inputs)
        n_missing = self.padded_rows(n_rows) - n_rows
        if n_missing == 0:
            return self._multiply(inputs, addend)
        pad = functools.partial(torch.nn.functional.pad, pad=(0, 0, 0, n_missing))
        return self._multiply(pad(inputs), None if addend is None else pad(addend))[
            :n_rows
        ]

    @abstractmethod
    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        """Do the same for a number of rows that needs no padding."""

    def _finish(self, product: Tensor, *terms: Tensor | None) -> Tensor:
        """Add terms and apply the activation, in place."""
        for term in terms:
            if term is not None:
                product.add_(term)
        return product.sigmoid_() if self._activation == "sigmoid" else product


def make_linear(
    weight: Tensor,
    bias: Tensor | None,
    precision: Precision,
    activation: Activation = "none",
) -> Linear:
    """Return the fastest linear layer of a precision on the device of the weight.

    Parameters
    ----------
    weight, bias, activation
        As for `Linear`.
    precision : {"float32", "bfloat16", "int8"}
        How inputs and weight are rounded. ``"bfloat16"`` rounds both to that type;
        ``"int8"`` rounds each row of both to 8 bits with a scale of its own. Sums are
        float32 or wider. With ``"bfloat16"`` the product may be rounded again before
        the bias is added.
    """
    kind = _KINDS[precision](weight.device.type)
    return kind(weight, bias, activation)


class _PlainLinear(Linear):
    """``torch.nn.functional.linear``."""

    def _prepare(self, weight: Tensor) -> Tensor:
        return weight.contiguous()

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        product = torch.nn.functional.linear(inputs, self._weight, self._bias)
        return self._finish(product, addend)


class _OneDnnLinear(Linear):
    """A product of oneDNN, which keeps compiled code for each shape that it has seen.

    Code for hundreds of heights takes hundreds of MiB, so heights are rounded up to
    eight per power of two. Rows that are added cost less than 5 % on average.
    """

    def padded_rows(self, n_rows: int) -> int:
        if n_rows <= _MIN_ROW_STEP:
            return 1 << (n_rows - 1).bit_length() if n_rows else 0
        step = max(_MIN_ROW_STEP, 1 << ((n_rows - 1).bit_length() - 4))
        return -(-n_rows // step) * step


class _PackedLinear(_OneDnnLinear):
    """oneDNN's product, which also adds a term or applies the sigmoid."""

    def _prepare(self, weight: Tensor) -> Tensor:
        return _pack(weight)

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        if addend is None:
            return _multiply_packed(inputs, self._weight, self._bias, self._activation)
        product: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            inputs, addend, self._weight, self._bias, "add"
        )
        return self._finish(product)


class _Bfloat16Linear(Linear):
    """A product of bfloat16 numbers."""

    def _prepare(self, weight: Tensor) -> Tensor:
        return weight.to(torch.bfloat16).contiguous()

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        product = torch.nn.functional.linear(inputs.to(torch.bfloat16), self._weight)
        return self._finish(product.float(), self._bias, addend)


class _PackedBfloat16Linear(_OneDnnLinear):
    """oneDNN's product of bfloat16 numbers."""

    def _prepare(self, weight: Tensor) -> Tensor:
        return _pack(weight.to(torch.bfloat16))

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        product = _multiply_packed(inputs.to(torch.bfloat16), self._weight, None)
        return self._finish(product.float(), self._bias, addend)


class _RoundedLinear(Linear):
    """A float32 product of numbers that were rounded to bfloat16.

    For processors without instructions for bfloat16, where it is faster.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, activation: Activation = "none"
    ) -> None:
        super().__init__(weight, bias, activation)
        self._linear = make_linear(self._weight, bias, "float32", activation)

    def _prepare(self, weight: Tensor) -> Tensor:
        return weight.to(torch.bfloat16).float()

    def padded_rows(self, n_rows: int) -> int:
        return self._linear.padded_rows(n_rows)

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        return self._linear(inputs.to(torch.bfloat16).float(), addend)


class _Int8Linear(_OneDnnLinear):
    """A product of integers from -127 to 127.

    Each row of the weight and of the input has a scale of its own, so that rows do not
    depend on each other.
    """

    def _prepare(self, weight: Tensor) -> Tensor:
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127  # (n_out,)
        self._scale = scale
        self._zeros = torch.zeros_like(scale, dtype=torch.int64)
        rounded = torch.round(weight / scale[:, None]).to(torch.int8)
        if weight.device.type == "cpu" and _integers_work():
            shape = [_ROWS_TO_PACK_FOR, weight.shape[1]]
            packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, shape)
            return packed
        logger.info("PyTorch has no int8 products here; rounding in float32")
        return rounded.float() * scale[:, None]

    def _multiply(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        row_scale = inputs.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        rounded = torch.round(inputs / row_scale)
        if self._weight.is_mkldnn:
            product = _multiply_integers(
                rounded, self._weight, self._scale, self._zeros
            )
        else:
            product = torch.nn.functional.linear(rounded, self._weight)
        product.mul_(row_scale)
        return self._finish(product, self._bias, addend)


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
        weight.contiguous(), _ROWS_TO_PACK_FOR
    )
    return packed


def _multiply_packed(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation = "none",
) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(
        inputs, weight, bias, activation, [], ""
    )
    return product


def _multiply_integers(
    inputs: Tensor, weight: Tensor, scale: Tensor, zeros: Tensor
) -> Tensor:
    # The fast kernels take unsigned inputs: 128 is zero.
    unsigned = (inputs + 128).to(torch.uint8)
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        unsigned, 1.0, 128, weight, scale, zeros, None,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return product


def _float32_kind(device: str) -> type[Linear]:
    return _PackedLinear if device == "cpu" and _packing_is_faster() else _PlainLinear


def _bfloat16_kind(device: str) -> type[Linear]:
    return _fastest_bfloat16_kind() if device == "cpu" else _Bfloat16Linear


# How each precision chooses a product for a device type.
_KINDS: dict[Precision, Callable[[str], type[Linear]]] = {
    "float32": _float32_kind,
    "bfloat16": _bfloat16_kind,
    "int8": lambda _: _Int8Linear,
}


@functools.cache
def _packing_is_faster() -> bool:
    """Return whether oneDNN's float32 product is correct and faster than the usual one.

    Measured once per process.
    """
    return _packing_works(torch.float32) and _is_faster(_PackedLinear, _PlainLinear)


@functools.cache
def _fastest_bfloat16_kind() -> type[Linear]:
    """Return the fastest product of bfloat16 numbers on this processor.

    Measured once per process.
    """
    packing_works = _packing_works(torch.bfloat16)
    kind = _PackedBfloat16Linear if packing_works else _Bfloat16Linear
    return kind if _is_faster(kind, _RoundedLinear) else _RoundedLinear


def _is_faster(first: type[Linear], second: type[Linear]) -> bool:
    n_rows, n_in, n_out = _TRIAL_SHAPE
    inputs, weight = (
        torch.ones(n, n_in, dtype=torch.float32, device="cpu") for n in (n_rows, n_out)
    )
    seconds = dict.fromkeys((first, second), float("inf"))
    with torch.inference_mode():
        products = {kind: kind(weight, None) for kind in seconds}
        for _ in range(_N_TRIALS):
            for kind, product in products.items():
                elapsed = _time(functools.partial(product, inputs))
                seconds[kind] = min(seconds[kind], elapsed)
    logger.info("%s", {kind.__name__: value for kind, value in seconds.items()})
    return seconds[first] < seconds[second]


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@functools.cache
def _packing_works(dtype: torch.dtype) -> bool:
    """Compare oneDNN's private operators with plain arithmetic."""
    left, right, bias = (part / 64 for part in _trial_numbers(dtype))
    expected = left.double() @ right.double().t() + bias
    try:
        with torch.inference_mode():
            packed = _pack(right)
            product = _multiply_packed(left, packed, bias)
            activated = _multiply_packed(left, packed, bias, "sigmoid")
            added = torch.ops.mkldnn._linear_pointwise.binary(
                left, product, packed, bias, "add"
            )
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-6
    return all(
        torch.allclose(found.double(), wanted, rtol=tolerance, atol=tolerance)
        for found, wanted in (
            (product, expected),
            (added, 2 * expected),
            (activated, expected.sigmoid()),
        )
    )


@functools.cache
def _integers_work() -> bool:
    """Compare PyTorch's private integer product with plain arithmetic."""
    left, right, bias = _trial_numbers(torch.float32)
    scale, zeros = torch.ones_like(bias), torch.zeros_like(bias, dtype=torch.int64)
    try:
        with torch.inference_mode():
            packed = torch.ops.onednn.qlinear_prepack(right.to(torch.int8), [3, 40])
            product = _multiply_integers(left, packed, scale, zeros)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.equal(product, left @ right.t())


def _trial_numbers(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs ``(3, 40)``, a weight ``(5, 40)`` and a bias ``(5,)``."""
    inputs = torch.arange(-60, 60, dtype=dtype, device="cpu")
    weight = torch.arange(-100, 100, dtype=dtype, device="cpu")
    bias = torch.arange(5, dtype=dtype, device="cpu")
    return inputs.reshape(3, 40), weight.reshape(5, 40), bias
