"""Models of any shape with the weights that training begins with."""

from pathlib import Path

import torch

from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.options import BiLmOptions
from sklearn_elmo.bilm.weights import write_model
from sklearn_elmo.pretraining.network import LanguageModel, initialize
from sklearn_elmo.pretraining.presets import PRESETS


def write_random_model(options: BiLmOptions, folder: Path) -> str:
    """Write a model and return its folder; the same one for the same options."""
    bilm = BiLm(options)
    network = LanguageModel(bilm, 2)
    initialize(network, torch.ones(2), torch.Generator().manual_seed(0))
    write_model(folder, options, bilm.to_arrays(), dtype="float32")
    return str(folder)


def model_of_shape(shape: str, folder: Path) -> str:
    """Return ``"default"`` as it is, or a model of another preset's shape."""
    if shape == "default":
        return shape
    options = BiLmOptions.from_dict(PRESETS[shape], shape)
    return write_random_model(options, folder / shape)
