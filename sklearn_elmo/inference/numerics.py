"""PyTorch's numeric settings, pinned while the model computes.

The same text must get the same numbers whatever the caller has set. Modes that belong
to a thread (autocast, gradients) are switched off where the work is done. The precision
of float32 products belongs to the process: it is set to the highest when the first
computation starts, and restored when the last one ends, so that computations in several
threads do not disturb each other.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["pinned_defaults", "pinned_numerics", "pinned_precision"]

_lock = threading.Lock()
_n_computations = 0
_restore: Callable[[], None] | None = None


@contextmanager
def pinned_numerics(device: torch.device) -> Iterator[None]:
    """Compute without gradients, without autocast and with full float32 precision.

    Parameters
    ----------
    device : torch.device
        Where the model computes.
    """
    with torch.inference_mode(), pinned_precision(device):
        yield


@contextmanager
def pinned_precision(device: torch.device) -> Iterator[None]:
    """Compute without autocast and with full float32 precision.

    Parameters
    ----------
    device : torch.device
        Where the model computes.
    """
    # PyTorch before 2.5 does not know autocast on "mps".
    without_autocast = (
        torch.autocast(device.type, enabled=False)
        if device.type in ("cpu", "cuda")
        else nullcontext()
    )
    with without_autocast, _full_float32_precision():
        yield


@contextmanager
def pinned_defaults() -> Iterator[None]:
    """Take gradients, and make new tensors float32 on the CPU, as PyTorch begins.

    The type belongs to the process. So other threads see it, too, if it was another.
    """
    dtype, device = torch.get_default_dtype(), torch.empty(0).device
    # Each call of PyTorch takes longer within such a block.
    on_cpu = nullcontext() if device.type == "cpu" else torch.device("cpu")
    with on_cpu, torch.inference_mode(False), torch.enable_grad():
        if dtype == torch.float32:
            yield
            return
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextmanager
def _full_float32_precision() -> Iterator[None]:
    global _n_computations, _restore
    with _lock:
        if _n_computations == 0:
            _restore = _set_full_precision()
        _n_computations += 1
    try:
        yield
    finally:
        with _lock:
            _n_computations -= 1
            if _n_computations == 0 and _restore is not None:
                _restore()


def _set_full_precision() -> Callable[[], None] | None:
    """Set the highest precision, and return a function that restores the old one."""
    try:
        for_all = torch.get_float32_matmul_precision()
    except RuntimeError:  # set for one backend alone, with PyTorch 2.9's attributes
        for_all = None
    if for_all == "highest":
        return None
    backends = [
        (backend, backend.fp32_precision)
        for backend in _backends()
        if hasattr(backend, "fp32_precision")
    ]
    if for_all is not None:
        torch.set_float32_matmul_precision("highest")
    for backend, _ in backends:
        backend.fp32_precision = "ieee"

    def restore() -> None:
        if for_all is not None:
            torch.set_float32_matmul_precision(for_all)
        for backend, precision in backends:
            backend.fp32_precision = "none"  # inherits
            if backend.fp32_precision != precision:
                backend.fp32_precision = precision

    return restore


def _backends() -> list[Any]:
    return [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
