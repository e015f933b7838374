"""The model that a run starts from."""

from typing import Any

import torch

from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.bilm.weights import read_model
from sklearn_elmo.models import locate
from sklearn_elmo.pretraining.network import (
    LanguageModel,
    choose_compute_dtype,
    initialize,
    initialize_softmax,
)
from sklearn_elmo.pretraining.presets import resolve_size
from sklearn_elmo.pretraining.saved_model import read_softmax
from sklearn_elmo.pretraining.vocabulary import Vocabulary

__all__ = ["create_model"]

_FROZEN_SHARE = 0.1  # of the budget, if the softmax has to be trained first


def create_model(
    size: str | dict[str, Any],
    init: Any,
    vocabulary: Vocabulary,
    *,
    precision: str,
    device: torch.device,
    seed: int,
) -> tuple[LanguageModel, float]:
    """Create the model to train.

    Parameters
    ----------
    size : str or dict
        Shape of a model with random weights; not used with `init`.
    init : str, path, pair of paths or None
        The model to continue with.
    vocabulary : Vocabulary
    precision : {"auto", "float32", "bfloat16"}
    device : torch.device
    seed : int

    Returns
    -------
    model : LanguageModel
    frozen_share : float
        Share of the run during which only the softmax is trained.
    """
    counts = torch.tensor(vocabulary.counts, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    frozen_share = 0.0
    if init is None:
        options = resolve_size(size, source="the 'size' parameter")
        model = LanguageModel(BiLm(options), len(vocabulary))
        initialize(model, counts, generator)
    else:
        location = locate(init)
        files = read_model(location)
        bilm = BiLm.from_arrays(files.options, files.arrays)
        model = LanguageModel(bilm, len(vocabulary))
        initialize_softmax(model, counts, generator)
        softmax = read_softmax(location, files.digest)
        if softmax is None or not softmax.copy_into(model, vocabulary):
            frozen_share = _FROZEN_SHARE
    model.compute_dtype = choose_compute_dtype(precision, device)
    return model.to(device), frozen_share
