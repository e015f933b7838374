"""What the fuzzer has to know of one kind of file."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_elmo.errors import SklearnElmoError, SklearnElmoWarning

from .mutations import Mutator


@dataclass(frozen=True)
class Kind:
    """A kind of file with valid examples.

    Attributes
    ----------
    name : str
    make : callable
        Writes valid files into an empty folder.
    pattern : str
        Glob of the files to damage, relative to the folder; one is damaged at a time.
    mutators : sequence of callable
    read : callable
        Reads the folder through the package, and returns what was read.
    exact : bool, default=True
        Whether a damaged file has to be refused unless it reads the same. False where
        nothing in the format could tell other content from damage.
    errors : tuple of exception classes
        What may be raised.
    edit : callable or None
        Damages the folder itself, now and then instead of a file's bytes.
    """

    name: str
    make: Callable[[Path], None]
    pattern: str
    mutators: Sequence[Mutator]
    read: Callable[[Path], Any]
    exact: bool = True
    errors: tuple[type[Exception], ...] = (SklearnElmoError,)
    warnings: tuple[type[Warning], ...] = (SklearnElmoWarning,)
    edit: Callable[[random.Random, Path], None] | None = None

    def damage(self, rng: random.Random, folder: Path) -> None:
        """Damage one file of a folder."""
        if self.edit is not None and rng.random() < 0.2:
            self.edit(rng, folder)
            return
        path = rng.choice(sorted(filter(Path.is_file, folder.glob(self.pattern))))
        path.write_bytes(rng.choice(self.mutators)(rng, path.read_bytes()))


def is_same(found: Any, expected: Any) -> bool:
    """Compare two results; float32 rows may differ by rounding."""
    if isinstance(expected, np.ndarray):
        return found.shape == expected.shape and bool(
            np.allclose(found, expected, atol=5e-6, rtol=0)
        )
    return bool(found == expected)
