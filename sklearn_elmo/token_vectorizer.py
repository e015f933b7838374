"""`ElmoTokenVectorizer`: texts -> one vector a token."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sklearn_elmo.base import ElmoEstimator, Setup, feature_names
from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.learned_mix import (
    LayerWeights,
    check_labels,
    learn_layer_weights,
)
from sklearn_elmo.parameters import check_vectorizer_parameters
from sklearn_elmo.pooling import mix_layers
from sklearn_elmo.store import text_key

__all__ = ["ElmoTokenVectorizer"]

FloatArray = npt.NDArray[np.float32]


class ElmoTokenVectorizer(  # type: ignore[call-arg]
    ElmoEstimator,
    auto_wrap_output_keys=None,  # set_output can't wrap lists of arrays
):
    """Turn texts into one vector a token with a deep bidirectional language model.

    Parameters
    ----------
    model, layers, tokenizer, state, missing, max_tokens, device, precision, \
batch_tokens, verbose
        As in `ElmoVectorizer`. A missing text has no tokens.
    layer_mix : {"average", "concat", "learned"} or sequence of float, \
default="average"
        As in `ElmoVectorizer`. The labels that ``"learned"`` learns from are one a
        token (a list for each text) or one a text.
    cache : None, True, path or EmbeddingStore, default=None
        Where the vectors of all tokens are kept, which takes much more room than the
        pooled layers that `ElmoVectorizer` keeps: 4 bytes times the model's width for
        each token and layer.

    Attributes
    ----------
    n_features_out_ : int
        Columns of each array.
    layers_, model_digest_, layer_weights_, layer_scale_
        As in `ElmoVectorizer`.

    See Also
    --------
    ElmoVectorizer : One vector a text.

    Examples
    --------
    >>> from sklearn_elmo import ElmoTokenVectorizer
    >>> vectorizer = ElmoTokenVectorizer(layers=0)
    >>> [rows.shape[0] for rows in vectorizer.fit_transform(["A cat sat.", ""])]
    [4, 0]
    """

    def __init__(
        self,
        model: Any = "default",
        *,
        layers: Any = "all",
        layer_mix: Any = "average",
        tokenizer: Any = "words",
        state: str = "zero",
        missing: str = "zero",
        max_tokens: int | None = None,
        cache: Any = None,
        device: str = "auto",
        precision: str = "float32",
        batch_tokens: int | str = "auto",
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.layers = layers
        self.layer_mix = layer_mix
        self.tokenizer = tokenizer
        self.state = state
        self.missing = missing
        self.max_tokens = max_tokens
        self.cache = cache
        self.device = device
        self.precision = precision
        self.batch_tokens = batch_tokens
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pin the model, and learn layer weights if ``layer_mix="learned"``.

        Parameters
        ----------
        X : iterable of str, or of lists of str
            As in `ElmoVectorizer.fit`.
        y : sequence of length n_texts, optional
            For ``layer_mix="learned"``: a list of labels, one a token, for each text;
            or one label for each text.

        Returns
        -------
        ElmoTokenVectorizer

        Raises
        ------
        InvalidParameterError, TextTypeError, TextValueError, ModelFileError, \
ModelNotFetchedError
            As `ElmoVectorizer.fit`.
        """
        self._fit_texts(self._list_texts(X), y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> list[FloatArray]:
        """Fit, and return what `transform` returns; X may be a generator."""
        texts = self._list_texts(X)
        self._fit_texts(texts, y)
        return self.transform(texts)

    def _fit_texts(self, texts: list[Any], y: Any) -> None:
        setup = self._open()
        self._warn_of_unused_parameters(setup.layers)
        learned: dict[str, object] = {}
        if self._mixes("learned"):
            found = self._learn_layer_weights(setup, texts, y)
            learned = {"layer_weights_": found.weights, "layer_scale_": found.scale}
        self._record(setup, self._width(setup), learned)

    def transform(self, X: Any) -> list[FloatArray]:
        """Return one array a text, one row a token.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        list of ndarray
            Of shape (n_tokens, n_features_out_) each, float32; the tokens are those
            that `tokenize` returns.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ModelMismatchError, TextTypeError, \
TextValueError
            As `ElmoVectorizer.transform`.
        """
        setup = self._open_fitted()
        return self._read_tokens(
            setup,
            self._list_texts(X),
            lambda vectors: mix_layers(vectors, setup.weights),
        )

    def tokenize(self, X: Any) -> list[list[str]]:
        """Return the tokens that the rows of `transform` stand for.

        Parameters
        ----------
        X : iterable of str, or of lists of str

        Returns
        -------
        list of list of str
            Empty for missing and empty texts.
        """
        check_vectorizer_parameters(type(self).__name__, self.get_params(deep=False))
        # Copies, because token lists may be the caller's own.
        return [list(t) for t in self._tokenize(self._list_texts(X), first_row=0)]

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns of each array.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features_out_,), object
        """
        check_is_fitted(self, "model_digest_")
        return feature_names(*self._fitted_layout, n_features=self.n_features_out_)

    def _learn_layer_weights(
        self, setup: Setup, texts: list[Any], y: Any
    ) -> LayerWeights:
        of_tokens = _is_of_tokens(y)
        labels = self._join_labels(texts, list(y)) if of_tokens else y
        n_samples = len(labels) if of_tokens else len(texts)
        check_labels(labels, n_samples)
        vectors = self._read_tokens(setup, texts, lambda values: values)
        if of_tokens:
            return learn_layer_weights(np.concatenate(vectors), labels)
        width = setup.reader.model.options.output_dim
        means = np.zeros((len(texts), len(setup.layers), width), dtype=np.float32)
        for row, values in enumerate(vectors):
            if len(values):
                means[row] = values.mean(axis=0)
        return learn_layer_weights(means, labels)

    def _join_labels(self, texts: list[Any], labels: list[Any]) -> list[Any]:
        """Put the labels of all tokens in one list, those of cut tokens left out."""
        if len(labels) != len(texts):
            message = (
                f"y has {len(labels)} entries for {len(texts)} texts; "
                "layer_mix='learned' needs one for each text."
            )
            raise InvalidParameterError(message)
        whole = clone(self).set_params(max_tokens=None).tokenize(texts)
        joined: list[Any] = []
        for row, (tokens, of_text) in enumerate(zip(whole, labels, strict=True)):
            found = (
                f"{len(of_text)} labels" if _is_list(of_text) else repr(of_text)[:40]
            )
            if not _is_list(of_text) or len(of_text) != len(tokens):
                message = (
                    f"Row {row} has {len(tokens)} tokens, but y has {found} for it; "
                    "layer_mix='learned' needs one label a token, or one a text "
                    "throughout."
                )
                raise InvalidParameterError(message)
            joined += list(of_text)[: self.max_tokens]
        return joined

    def _read_tokens(
        self,
        setup: Setup,
        texts: list[Any],
        make_rows: Callable[[FloatArray], FloatArray],
    ) -> list[FloatArray]:
        """Read texts, each distinct one of a chunk once."""
        width = setup.reader.model.options.output_dim
        nothing = np.zeros((0, len(setup.layers), width), dtype=np.float32)
        results: list[FloatArray] = []
        with self._progress(len(texts)) as progress:
            for first, token_lists in self._token_chunks(texts):
                distinct = {
                    text_key(tokens): tokens for tokens in token_lists if tokens
                }
                vectors = (
                    setup.reader.token_layers(
                        list(distinct.values()),
                        layers=setup.layers,
                        advance=progress.update,
                    )
                    if distinct
                    else []
                )
                found = dict(zip(distinct, vectors, strict=True))
                # Arrays of their own, which a caller may change.
                results += [
                    make_rows(found[text_key(tokens)] if tokens else nothing).copy()
                    for tokens in token_lists
                ]
                progress.update(first + len(token_lists) - progress.n)
        return results


def _is_of_tokens(y: Any) -> bool:
    """Tell a list of labels for each text from one label, or a row of them, a text."""
    is_one_column = getattr(y, "ndim", 1) == 1 and hasattr(y, "__iter__")
    return is_one_column and any(map(_is_list, y))


def _is_list(labels: Any) -> bool:
    """Tell the labels of a text's tokens, in any container, from one label."""
    return hasattr(labels, "__len__") and not isinstance(labels, str | bytes)
