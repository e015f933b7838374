"""The record of hashes beside downloaded models."""

import os
from pathlib import Path

import reference_numpy

from sklearn_elmo import downloads

from ..kind import Kind
from ..mutations import JSON


def make_home(folder: Path) -> None:
    reference_numpy.make_model(folder / "model", seed=7)
    os.environ["SKLEARN_ELMO_HOME"] = str(folder / "home")
    files = folder / "model" / "options.json", folder / "model" / "weights.hdf5"
    downloads.import_model("mine", *files)


def verify(folder: Path) -> list[str]:
    os.environ["SKLEARN_ELMO_HOME"] = str(folder / "home")
    return [found.sha256 for found in downloads.verify("mine").values()]


KINDS = [
    Kind("known-hashes", make_home, "home/known_hashes.json", JSON, verify),
]
