"""Weights packed by oneDNN as plain bytes, and back without a copy.

PyTorch has this for models that it compiles itself (AOTInductor), behind a C interface
that it promises to keep: ``torch/csrc/inductor/aoti_torch/c/shim.h``. It is tried once
a process before use, and everything works without it.
"""

import ctypes
import functools
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sklearn_elmo.bilm.products import prepare_weight

__all__ = ["packed_bytes", "packed_tensor", "works"]

# A prototype of our own: those of `ctypes.pythonapi` are everybody's.
_new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))

ByteArray = npt.NDArray[np.uint8]

_LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}
_DTYPES = {
    torch.float32: "aoti_torch_dtype_float32",
    torch.bfloat16: "aoti_torch_dtype_bfloat16",
    torch.int8: "aoti_torch_dtype_int8",
}


def packed_bytes(packed: Tensor) -> tuple[ByteArray, bytes]:
    """Return a packed weight's memory, and oneDNN's description of it.

    Parameters
    ----------
    packed : Tensor
        Has to stay alive as long as the bytes are used.
    """
    n_bytes = torch.ops.mkldnn._nbytes(packed)
    address = torch.ops.mkldnn.data_ptr(packed)
    memory = (ctypes.c_ubyte * n_bytes).from_address(address)
    description = torch.ops.mkldnn._get_mkldnn_serialized_md(packed)
    return np.frombuffer(memory, dtype=np.uint8), description.numpy().tobytes()


def packed_tensor(
    memory: ByteArray, description: bytes, shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """Return a packed weight over memory that holds what `packed_bytes` gave.

    Parameters
    ----------
    memory : ndarray of uint8
        Used as it is, and kept alive.
    description : bytes
    shape : tuple of int
        Of the packed tensor.
    dtype : torch.dtype

    Raises
    ------
    RuntimeError
        PyTorch refuses.
    """
    library = _library()
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    strides = (ctypes.c_int64 * len(shape))(*torch.empty(shape, device="meta").stride())
    handle = ctypes.c_void_p()
    failed = library.aoti_torch_create_tensor_from_blob_v2(
        ctypes.c_void_p(memory.ctypes.data),
        ctypes.c_int64(len(shape)),
        sizes,
        strides,
        ctypes.c_int64(0),  # offset
        ctypes.c_int32(getattr(library, _DTYPES[dtype])()),
        ctypes.c_int32(library.aoti_torch_device_type_cpu()),
        ctypes.c_int32(0),  # device number
        ctypes.byref(handle),
        ctypes.c_int32(library.aoti_torch_layout__mkldnn()),
        ctypes.c_char_p(description),
        ctypes.c_int64(len(description)),
    )
    if failed or not handle.value:
        message = "PyTorch makes no packed tensor over given memory."
        raise RuntimeError(message)
    # Its sister for one tensor copies the reference and leaves the first one behind.
    packed: Tensor
    (packed,) = torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(
        [_new_capsule(handle.value, None, None)]
    )
    packed.memory = memory  # type: ignore[attr-defined]  # it does not own it
    return packed


@functools.cache
def works() -> bool:
    """Try it with small weights of all precisions that are packed here."""
    weight = torch.linspace(-1, 1, 32 * 16).reshape(32, 16)
    inputs = torch.linspace(-1, 1, 5 * 16).reshape(5, 16)
    try:
        with torch.inference_mode():
            for precision in ("float32", "bfloat16", "int8"):
                prepared = prepare_weight(weight, precision)
                packed, *others = prepared.tensors
                if not packed.is_mkldnn:
                    continue
                memory, description = packed_bytes(packed)
                shape = tuple(packed.shape)
                copy = packed_tensor(memory.copy(), description, shape, packed.dtype)
                again = prepared._replace(tensors=(copy, *others))
                expected = prepared.product(None)(inputs)
                if not torch.equal(again.product(None)(inputs), expected):
                    return False
    except (AttributeError, OSError, RuntimeError, TypeError):
        return False
    return True


@functools.cache
def _library() -> ctypes.CDLL:
    """Return the library inside PyTorch that is loaded already."""
    name = _LIBRARIES.get(sys.platform, "torch_cpu.dll")
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
    for getter in (
        *_DTYPES.values(),
        "aoti_torch_device_type_cpu",
        "aoti_torch_layout__mkldnn",
    ):
        getattr(library, getter).restype = ctypes.c_int32
    library.aoti_torch_create_tensor_from_blob_v2.restype = ctypes.c_int32
    return library
