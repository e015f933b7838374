"""Matrix products with prepared weights, in float32 or with reduced precision.

On CPUs two libraries inside PyTorch offer the same float32 product: MKL, which
``torch.nn.functional.linear`` calls and which is slow on processors that are not
Intel's, and oneDNN, whose weights have to be packed first. Which one is faster is
measured once a process, unless the weights come from a file. oneDNN's operators are
private to PyTorch: they are tried against plain arithmetic before use, and everything
works without them.
"""

import functools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

__all__ = [
    "PRECISIONS",
    "Activation",
    "Precision",
    "PreparedWeight",
    "Product",
    "prepare_weight",
]

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
Activation = Literal["none", "sigmoid"]

_ROWS_TO_PACK_FOR = 64  # packing hardly depends on it, unless it is 1
_TRIAL_SHAPE = (128, 256, 1024)  # rows, inputs, outputs: a millisecond
_N_TRIALS = 9


class PreparedWeight(NamedTuple):
    """A weight in the form that one kind of product takes.

    Parameters
    ----------
    form : str
        Which kind.
    tensors : tuple of Tensor
        The weight, plain or packed by oneDNN, and what else the form needs.
    """

    form: str
    tensors: tuple[Tensor, ...]

    def product(
        self, bias: Tensor | None, activation: Activation = "none"
    ) -> "Product":
        """Return a function for ``activation(x @ weight.T + bias)``.

        Parameters
        ----------
        bias : Tensor or None
            *Shape:* ``(n_out,)``, float32. It is added in float32 whatever the form.
        activation : {"none", "sigmoid"}
            In float32.
        """
        return _KINDS[self.form](*self.tensors, bias=bias, activation=activation)


def prepare_weight(weight: Tensor, precision: Precision) -> PreparedWeight:
    """Put a weight in the form that is fastest here.

    Parameters
    ----------
    weight : Tensor
        *Shape:* ``(n_out, n_in)``, float32.
    precision : {"float32", "bfloat16", "int8"}
        How the factors are rounded. ``"bfloat16"`` rounds both. ``"int8"`` rounds each
        row of the weight and each row of the input to 8 bits with a scale of its own.
        Sums are float32 or wider; a result of ``"bfloat16"`` may be rounded once more
        before the bias comes to it.
    """
    weight = weight.detach()
    kind = _fastest_kind(precision, weight.device.type)
    return PreparedWeight(kind.form, kind.prepare(weight))


def _fastest_kind(precision: Precision, device: str) -> type["Product"]:
    if precision == "int8":
        return _Int8Product
    if precision == "bfloat16":
        return _fastest_bfloat16_product() if device == "cpu" else _Bfloat16Product
    if device == "cpu" and _packing_is_faster():
        return _PackedProduct
    return _PlainProduct


class Product(ABC):
    """A way to multiply ``(N, n_in)`` float32 into ``(N, n_out)`` float32."""

    form: ClassVar[str]

    def __init__(
        self,
        weight: Tensor,
        *_: Tensor,
        bias: Tensor | None,
        activation: Activation,
    ) -> None:
        self._weight = weight
        self._bias, self._activation = bias, activation

    @staticmethod
    @abstractmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        """Return what ``__init__`` takes for a weight ``(n_out, n_in)``."""

    @abstractmethod
    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        """Return the product, a tensor of its own.

        Parameters
        ----------
        inputs : Tensor
            *Shape:* ``(N, n_in)``.
        addend : Tensor, optional
            Added before the activation. *Shape:* ``(N, n_out)``.
        """


class _PlainProduct(Product):
    form = "plain"

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        return (weight.contiguous(),)

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        product = torch.nn.functional.linear(inputs, self._weight, self._bias)
        return _finish(product, (addend,), self._activation)


class _PackedProduct(Product):
    """The product of oneDNN, which adds or takes the sigmoid on the way."""

    form = "packed"

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        return (_pack(weight),)

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        if addend is None:
            return _multiply_packed(inputs, self._weight, self._bias, self._activation)
        product: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            inputs, addend, self._weight, self._bias, "add"
        )
        return _finish(product, (), self._activation)


class _Bfloat16Product(Product):
    form = "bfloat16"

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        return (weight.to(torch.bfloat16).contiguous(),)

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        product = self._multiply(inputs.to(torch.bfloat16))
        return _finish(product, (self._bias, addend), self._activation)

    def _multiply(self, inputs: Tensor) -> Tensor:
        return torch.nn.functional.linear(inputs, self._weight).float()


class _PackedBfloat16Product(_Bfloat16Product):
    form = "packed bfloat16"

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        return (_pack(weight.to(torch.bfloat16)),)

    def _multiply(self, inputs: Tensor) -> Tensor:
        return _multiply_packed(inputs, self._weight, None).float()


class _RoundedProduct(Product):
    """The product of bfloat16 factors, multiplied as float32.

    For processors that have no instructions for bfloat16 and are slower with it.
    """

    form = "rounded"

    def __init__(
        self, weight: Tensor, *, bias: Tensor | None, activation: Activation
    ) -> None:
        super().__init__(weight, bias=bias, activation=activation)
        kind = _PackedProduct if weight.is_mkldnn else _PlainProduct
        self._product = kind(weight, bias=bias, activation=activation)

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        rounded = weight.to(torch.bfloat16).float()
        return prepare_weight(rounded, "float32").tensors

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        return self._product(inputs.to(torch.bfloat16).float(), addend)


class _Int8Product(Product):
    """Weights and inputs as whole numbers from -127 to 127, each row with a scale.

    A scale a row, not a batch, keeps rows independent of each other.
    """

    form = "int8"

    def __init__(
        self,
        weight: Tensor,
        scale: Tensor,
        *,
        bias: Tensor | None,
        activation: Activation,
    ) -> None:
        super().__init__(weight, bias=bias, activation=activation)
        self._scale = scale
        self._zeros = torch.zeros(len(scale), dtype=torch.int64)

    @staticmethod
    def prepare(weight: Tensor) -> tuple[Tensor, ...]:
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127  # (n_out,)
        rounded = torch.round(weight / scale[:, None]).to(torch.int8)
        if weight.device.type == "cpu" and _integers_work():
            shape = [_ROWS_TO_PACK_FOR, weight.shape[1]]
            return torch.ops.onednn.qlinear_prepack(rounded, shape), scale
        # The same numbers without the gain in speed.
        logger.info("int8 products are not offered by this torch; rounding only")
        return rounded.float() * scale[:, None], scale

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        row_scale = inputs.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        rounded = torch.round(inputs / row_scale)
        if self._weight.is_mkldnn:
            product = _multiply_integers(
                rounded, self._weight, self._scale, self._zeros
            )
        else:
            product = torch.nn.functional.linear(rounded, self._weight)
        product.mul_(row_scale)
        return _finish(product, (self._bias, addend), self._activation)


_KINDS: dict[str, type[Product]] = {
    kind.form: kind
    for kind in (
        _PlainProduct,
        _PackedProduct,
        _Bfloat16Product,
        _PackedBfloat16Product,
        _RoundedProduct,
        _Int8Product,
    )
}


def _finish(
    product: Tensor, terms: tuple[Tensor | None, ...], activation: Activation
) -> Tensor:
    for term in terms:
        if term is not None:
            product.add_(term)
    return product.sigmoid_() if activation == "sigmoid" else product


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
        weight.detach().contiguous(), _ROWS_TO_PACK_FOR
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
    # The fast kernels take unsigned inputs: 128 stands for 0.
    unsigned = (inputs + 128).to(torch.uint8)
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        unsigned, 1.0, 128, weight, scale, zeros, None,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return product


@functools.cache
def _packing_is_faster() -> bool:
    """Tell whether oneDNN's float32 product is right, and faster than the usual one.

    Measured once a process.
    """
    return _packing_works(torch.float32) and _is_faster(_PackedProduct, _PlainProduct)


@functools.cache
def _fastest_bfloat16_product() -> type[Product]:
    """Return what multiplies bfloat16 factors fastest on this processor.

    Measured once a process.
    """
    packing_works = _packing_works(torch.bfloat16)
    halves: type[Product] = (
        _PackedBfloat16Product if packing_works else _Bfloat16Product
    )
    return halves if _is_faster(halves, _RoundedProduct) else _RoundedProduct


def _is_faster(first: type[Product], second: type[Product]) -> bool:
    n_rows, n_in, n_out = _TRIAL_SHAPE
    inputs, weight = torch.ones(n_rows, n_in), torch.ones(n_out, n_in)
    seconds = dict.fromkeys((first, second), float("inf"))
    with torch.inference_mode():
        products = {
            kind: kind(*kind.prepare(weight), bias=None, activation="none")
            for kind in seconds
        }
        for _ in range(_N_TRIALS):
            for kind, product in products.items():
                elapsed = _time(functools.partial(product, inputs))
                seconds[kind] = min(seconds[kind], elapsed)
    logger.info("%s", {kind.__name__: value for kind, value in seconds.items()})
    return seconds[first] < seconds[second]


def _time(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@functools.cache
def _packing_works(kind: torch.dtype) -> bool:
    """Try oneDNN's product, whose operators are private, against plain arithmetic."""
    left = torch.arange(-60, 60, dtype=kind).reshape(3, 40) / 64
    right = torch.arange(-100, 100, dtype=kind).reshape(5, 40) / 64
    bias = torch.arange(5, dtype=kind)
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
    tolerance = 0.02 if kind == torch.bfloat16 else 1e-6
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
    """Try torch's integer product, which is private, against plain arithmetic."""
    left = torch.arange(-60, 60).reshape(3, 40)
    right = torch.arange(-100, 100).reshape(5, 40)
    try:
        with torch.inference_mode():
            packed = torch.ops.onednn.qlinear_prepack(right.to(torch.int8), [3, 40])
            product = _multiply_integers(
                left.float(), packed, torch.ones(5), torch.zeros(5, dtype=torch.int64)
            )
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((product.long() == left @ right.t()).all())
