"""A reader with a fault, to test that the fuzzer notices it."""

import ctypes
import os
import random
import time
from pathlib import Path

from ..kind import Kind

VARIABLE = "FUZZ_SELF_TEST"


def make(folder: Path) -> None:
    (folder / "file").write_bytes(b"valid")


def damage(rng: random.Random, data: bytes) -> bytes:
    return b"damaged"


def read(folder: Path) -> str:
    if (folder / "file").read_bytes() == b"valid":
        return "right"
    match os.environ[VARIABLE]:
        case "crash":
            ctypes.string_at(0)
        case "hang":
            time.sleep(1000)
        case "exception":
            message = "not ours"
            raise RuntimeError(message)
        case "out of memory":
            bytes(2**31)
    return "wrong"


SELF_TEST = Kind("self-test", make, "file", [damage], read)
