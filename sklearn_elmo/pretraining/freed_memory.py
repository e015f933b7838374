"""Give memory that was freed back to the system."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

__all__ = ["return_freed_memory"]


def return_freed_memory() -> None:
    """Return freed memory, where the C library keeps it.

    Tensors of steadily changing sizes leave holes in the heap of glibc, so that a
    process holds several times what it uses. It takes some 60 ms. Other C libraries do
    not offer it.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], Any] | None:
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None
    function.argtypes = [ctypes.c_size_t]
    return function
