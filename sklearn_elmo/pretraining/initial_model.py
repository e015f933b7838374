"""The model that a run begins with."""

from typing import Any

import torch

from sklearn_elmo.bilm.model import BiLm
from sklearn_elmo.models import load, locate
from sklearn_elmo.pretraining.files import copy_softmax, read_softmax
from sklearn_elmo.pretraining.network import (
    LanguageModel,
    choose_product_type,
    initialize,
    initialize_softmax,
)
from sklearn_elmo.pretraining.presets import resolve_size
from sklearn_elmo.pretraining.vocabulary import Vocabulary

__all__ = ["begin"]

_FROZEN_SHARE = 0.1  # of the budget, where the softmax is learned anew


def begin(
    size: str | dict[str, Any],
    init: Any,
    vocabulary: Vocabulary,
    *,
    precision: str,
    device: torch.device,
    seed: int,
) -> tuple[LanguageModel, float]:
    """Return the model, and the share of the run where only its softmax learns.

    Parameters
    ----------
    size : str or dict
        Shape of a model with random weights; not used with `init`.
    init : str, path, pair of paths or None
        A model to go on with.
    vocabulary : Vocabulary
    precision : {"auto", "float32", "bfloat16"}
    device : torch.device
    seed : int
    """
    counts = torch.tensor(vocabulary.counts, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    frozen_share = 0.0
    if init is None:
        options = resolve_size(size, source="the 'size' parameter")
        model = LanguageModel(BiLm(options), len(vocabulary))
        initialize(model, counts, generator)
    else:
        model = LanguageModel(load(init).train(), len(vocabulary))
        initialize_softmax(model, counts, generator)
        saved = read_softmax(locate(init))
        if saved is None or not copy_softmax(model, vocabulary, saved):
            frozen_share = _FROZEN_SHARE
    model.product_type = choose_product_type(precision, device)
    return model.to(device), frozen_share
