"""What both vectorizers do alike: check, open the model, tokenise, name columns."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from sklearn_elmo.downloads import home_folder
from sklearn_elmo.engine import Reader
from sklearn_elmo.errors import (
    InvalidParameterError,
    ModelMismatchError,
    UnusedParameterWarning,
)
from sklearn_elmo.messages import warn_caller
from sklearn_elmo.models import open_model, resolve_device
from sklearn_elmo.parameters import check_vectorizer_parameters, resolve_layers
from sklearn_elmo.store import EmbeddingStore
from sklearn_elmo.text import as_texts, tokenize_texts

__all__ = ["ElmoEstimator", "Idf", "Setup", "feature_names"]

# Texts and characters taken up at a time. Token lists and unmixed layers exist for one
# chunk only, so these bound the memory of a call beside its texts and its result.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 2**20

# Attributes that only some parameters bring about.
_LEARNED = ("layer_weights_", "layer_scale_", "idf_", "idf_unseen_")


class Idf(NamedTuple):
    """Inverse document frequencies: what a token weighs."""

    table: dict[str, float]
    unseen: float

    @classmethod
    def of(cls, document_counts: Mapping[str, int], n_texts: int) -> Self:
        """Weigh tokens as scikit-learn's ``TfidfTransformer(smooth_idf=True)``.

        Parameters
        ----------
        document_counts : mapping of str to int
            In how many texts each token occurs.
        n_texts : int
        """

        def weight(count: int) -> float:
            return math.log((1 + n_texts) / (1 + count)) + 1

        table = {token: weight(count) for token, count in document_counts.items()}
        return cls(table, unseen=weight(0))

    def weigh(self, tokens: Sequence[str]) -> list[float]:
        """Return the weight of each token."""
        return [self.table.get(token, self.unseen) for token in tokens]


class Setup(NamedTuple):
    """What checked parameters come to."""

    reader: Reader
    layers: tuple[int, ...]
    weights: npt.NDArray[np.float64] | None
    """Factors of the layers; None as long as they are not learned, and for "concat"."""
    idf: Idf | None = None
    """Token weights for the pooling "idf", once they are learned."""


class ElmoEstimator(TransformerMixin, BaseEstimator):
    """What both vectorizers do alike: check, open the model, tokenise, mix."""

    model_digest_: str
    layers_: tuple[int, ...]
    n_features_out_: int
    layer_weights_: npt.NDArray[np.float64]
    layer_scale_: float
    idf_: dict[str, float]
    idf_unseen_: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = []
        tags.target_tags.required = self._mixes("learned")
        return tags

    def _open(self) -> Setup:
        """Check the parameters and open the model."""
        name = type(self).__name__
        check_vectorizer_parameters(name, self.get_params(deep=False))
        model = open_model(self.model)
        layers = resolve_layers(self.layers, model.options.n_layers, name)
        reader = Reader(
            model=model,
            device=resolve_device(self.device),
            precision=self.precision,
            state=self.state,
            batch_tokens=self.batch_tokens,
            store=_as_store(self.cache),
        )
        return Setup(reader, layers, self._fixed_weights(layers))

    def _mixes(self, name: str) -> bool:
        """Tell whether ``layer_mix`` is this name; it may be an array of weights."""
        return isinstance(self.layer_mix, str) and self.layer_mix == name

    def _fixed_weights(self, layers: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        if self._mixes("average"):
            return np.full(len(layers), 1 / len(layers))
        if isinstance(self.layer_mix, str):
            return None
        weights = np.asarray(self.layer_mix, dtype=np.float64)
        if len(weights) != len(layers):
            message = (
                f"The 'layer_mix' parameter of {type(self).__name__} has "
                f"{len(weights)} weights for the {len(layers)} layers "
                f"{', '.join(map(str, layers))}. Give one a layer."
            )
            raise InvalidParameterError(message)
        return weights

    def _open_fitted(self) -> Setup:
        """Open the model again, and make sure that it is the one of `fit`."""
        check_is_fitted(self, "model_digest_")
        setup = self._open()
        found = setup.reader.model
        if found.digest != self.model_digest_:
            message = (
                f"The model {self.model!r} has other weights (sha256 "
                f"{found.digest[:16]}...) than when {type(self).__name__} was fitted "
                f"({self.model_digest_[:16]}...). Put the old files back, or fit again."
            )
            raise ModelMismatchError(message)
        if self._layout(setup.layers) != self._fitted_layout:
            message = (
                f"Parameters of {type(self).__name__} that decide what its features "
                "are were changed after fit. Fit again."
            )
            raise InvalidParameterError(message)
        if self._mixes("learned"):
            setup = setup._replace(weights=self.layer_scale_ * self.layer_weights_)
        if hasattr(self, "idf_"):
            setup = setup._replace(idf=Idf(self.idf_, self.idf_unseen_))
        return setup

    def _layout(self, layers: tuple[int, ...]) -> tuple[Any, ...]:
        """Return what decides which features there are."""
        mix = self.layer_mix
        return layers, mix if isinstance(mix, str) else tuple(map(float, mix))

    def _width(self, setup: Setup) -> int:
        """Return the width of the mixed layers."""
        n_side_by_side = len(setup.layers) if self._mixes("concat") else 1
        return int(n_side_by_side * setup.reader.model.options.output_dim)

    def _record(
        self, setup: Setup, n_features: int, learned: Mapping[str, object]
    ) -> None:
        """Set all that `fit` has found at once; drop what an older fit had found."""
        for name in _LEARNED:
            if hasattr(self, name):
                delattr(self, name)
        self.model_digest_ = setup.reader.model.digest
        self.layers_ = setup.layers
        self.n_features_out_ = n_features
        self._fitted_layout = self._layout(setup.layers)
        for name, value in learned.items():
            setattr(self, name, value)

    def _list_texts(self, X: Any) -> list[Any]:
        """Return the texts of any container; None for a missing one."""
        texts: list[Any] = as_texts(
            X,
            estimator=type(self).__name__,
            pretokenized=self.tokenizer == "pretokenized",
            refuse_missing=self.missing == "error",
        )
        return texts

    def _token_chunks(self, texts: list[Any]) -> Iterator[tuple[int, list[list[str]]]]:
        """Yield the first row and the token lists of each chunk of texts."""
        first, n_characters = 0, 0
        for row, text in enumerate(texts, start=1):
            n_characters += len(text or "")
            full = row - first == _CHUNK_TEXTS or n_characters >= _CHUNK_CHARACTERS
            if full or row == len(texts):
                yield first, self._tokenize(texts[first:row], first)
                first, n_characters = row, 0

    def _tokenize(self, texts: list[Any], first_row: int) -> list[list[str]]:
        most = None if self.max_tokens is None else min(self.max_tokens, sys.maxsize)
        token_lists = tokenize_texts(
            texts,
            self.tokenizer,
            estimator=type(self).__name__,
            max_tokens=most,
            first_row=first_row,
        )
        return [tokens or [] for tokens in token_lists]

    def _warn_of_unused_parameters(self, layers: tuple[int, ...]) -> None:
        if layers == (0,) and self.state == "warm":
            message = (
                "state='warm' has no effect with layers=0: the context-free token "
                "vector does not depend on the LSTM's state."
            )
            warn_caller(message, UnusedParameterWarning)
        if len(layers) == 1 and self._mixes("learned"):
            message = (
                "layer_mix='learned' has a single layer to weigh and learns only its "
                "scale. Choose several layers, or layer_mix='average'."
            )
            warn_caller(message, UnusedParameterWarning)

    def _progress(self, n_texts: int) -> "tqdm[Any]":
        return tqdm(
            total=n_texts,
            desc=type(self).__name__,
            unit="text",
            disable=not self.verbose,
        )


def feature_names(
    layers: tuple[int, ...],
    mix: str | tuple[float, ...],
    poolings: tuple[str, ...] = (),
    *,
    n_features: int,
) -> npt.NDArray[Any]:
    """Name columns after their layers, mix, pooling and place.

    Parameters
    ----------
    layers : tuple of int
    mix : str or tuple of float
        As the parameter ``layer_mix``.
    poolings : tuple of str
        Empty for token vectors.
    n_features : int
        Columns in all.
    """
    if mix == "concat" or len(layers) == 1:
        blocks = [f"elmo_layer{layer}" for layer in layers]
    else:
        kind = mix if isinstance(mix, str) else "weighted"
        blocks = [f"elmo_layers{'-'.join(map(str, layers))}_{kind}"]
    if poolings:
        blocks = [f"{block}_{name}" for name in poolings for block in blocks]
    width = n_features // len(blocks)
    names = [f"{block}_{i}" for block in blocks for i in range(width)]
    return np.array(names, dtype=object)


def _as_store(cache: Any) -> EmbeddingStore | None:
    """Turn a checked ``cache`` parameter into a store."""
    if cache is None or isinstance(cache, EmbeddingStore):
        return cache
    return EmbeddingStore(home_folder() / "embeddings" if cache is True else cache)
