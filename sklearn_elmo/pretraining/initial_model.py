"""The model that a run starts from."""

import copy
from dataclasses import dataclass
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

__all__ = ["InitialModel", "create_model"]

_FROZEN_SHARE = 0.1  # of the budget, if the softmax has to be trained first


@dataclass(frozen=True)
class InitialModel:
    """The model that a run starts from.

    Attributes
    ----------
    model : LanguageModel
        The model to train.
    frozen_share : float
        Share of the run during which only the softmax is trained.
    digest : str or None
        Digest of the `init` model.
    """

    model: LanguageModel
    frozen_share: float = 0.0
    digest: str | None = None

    def anchor(self) -> LanguageModel:
        """Return a frozen copy of the model."""
        return copy.deepcopy(self.model).requires_grad_(False)


def create_model(
    size: str | dict[str, Any],
    init: Any,
    vocabulary: Vocabulary,
    *,
    precision: str,
    device: torch.device,
    seed: int,
) -> InitialModel:
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
    """
    counts = torch.tensor(vocabulary.counts, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    compute_dtype = choose_compute_dtype(precision, device)
    if init is None:
        options = resolve_size(size, source="the 'size' parameter")
        model = LanguageModel(BiLm(options), len(vocabulary))
        initialize(model, counts, generator)
        model.compute_dtype = compute_dtype
        return InitialModel(model.to(device))
    location = locate(init)
    files = read_model(location)
    bilm = BiLm.from_arrays(files.options, files.arrays)
    model = LanguageModel(bilm, len(vocabulary))
    model.compute_dtype = compute_dtype
    initialize_softmax(model, counts, generator)
    softmax = read_softmax(location, files.digest)
    has_softmax = softmax is not None and softmax.copy_into(model, vocabulary) > 0
    return InitialModel(
        model.to(device), 0.0 if has_softmax else _FROZEN_SHARE, files.digest
    )
