"""`TextPairFeatures`: two columns of texts -> features of how they compare."""

from collections.abc import Callable, Mapping, Set
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_elmo.constraints import Constraint, check_parameters, choices
from sklearn_elmo.errors import InvalidParameterError, TextTypeError, TextValueError
from sklearn_elmo.messages import quote

__all__ = ["TextPairFeatures"]

FloatArray = npt.NDArray[np.floating[Any]]


def _cosine(u: FloatArray, v: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    products = (u * v).sum(axis=1)
    # A text without tokens resembles none.
    cosines: FloatArray = products / np.where(lengths == 0, np.inf, lengths)
    return cosines[:, None]


_COMPARISONS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "difference": lambda u, v: np.abs(u - v),
    "product": lambda u, v: u * v,
    "cosine": _cosine,
}


def _is_comparisons(value: Any) -> bool:
    if isinstance(value, str):
        return value in _COMPARISONS
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(name, str) and name in _COMPARISONS for name in value)
        and len(set(value)) == len(value)
    )


_CONSTRAINTS = {
    "vectorizer": Constraint(
        lambda value: hasattr(value, "fit") and hasattr(value, "transform"),
        "a transformer of texts",
    ),
    "comparisons": Constraint(
        _is_comparisons,
        f"a str among {choices(list(_COMPARISONS))} or a non-empty list or tuple of "
        "different ones",
    ),
}


class TextPairFeatures(TransformerMixin, BaseEstimator):
    """Turn pairs of texts into features of how the two compare.

    Both columns go through one vectorizer, fitted on all texts of both, and their rows
    u and v are compared: |u - v| and u * v (Conneau et al. 2017), or their cosine. The
    features do not depend on the order of the two texts.

    Parameters
    ----------
    vectorizer : transformer
        Turns texts into dense rows, such as an `ElmoVectorizer`; cloned. Its parameters
        can be searched (``vectorizer__pooling``).
    comparisons : str or sequence of str, default=("difference", "product")
        ``"difference"`` is |u - v|, ``"product"`` u * v, ``"cosine"`` a single column.

    Attributes
    ----------
    vectorizer_ : transformer
        Fitted.
    n_features_in_ : int
        2.
    feature_names_in_ : ndarray of shape (2,)
        Names of the columns, if X is a frame.

    See Also
    --------
    ElmoVectorizer : One vector per text.

    References
    ----------
    A. Conneau et al., "Supervised Learning of Universal Sentence Representations from
    Natural Language Inference Data", EMNLP 2017.

    Examples
    --------
    >>> from sklearn_elmo import ElmoVectorizer
    >>> from sklearn_elmo.pairs import TextPairFeatures
    >>> pairs = [("A man eats.", "A man is eating."), ("A cat sat.", "Stocks fell.")]
    >>> features = TextPairFeatures(ElmoVectorizer(), comparisons="cosine")
    >>> related, unrelated = features.fit_transform(pairs).ravel()
    >>> bool(related > unrelated)
    True
    """

    vectorizer_: Any
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]

    def __init__(
        self, vectorizer: Any, *, comparisons: Any = ("difference", "product")
    ) -> None:
        self.vectorizer = vectorizer
        self.comparisons = comparisons

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the vectorizer on the texts of both columns.

        Parameters
        ----------
        X : frame or array of shape (n_pairs, 2), or list of pairs
            Texts; what a missing one becomes is up to the vectorizer.
        y : ignored

        Returns
        -------
        TextPairFeatures

        Raises
        ------
        InvalidParameterError
            A parameter has an invalid value, or the vectorizer learns from labels.
        TextTypeError, TextValueError
            X does not have two columns of texts.
        """
        first, second = self._check(X, reset=True)
        self.vectorizer_ = clone(self.vectorizer).fit([*first, *second])
        return self

    def fit_transform(self, X: Any, y: Any = None) -> FloatArray:
        """Fit, and return what `transform` returns, reading each text once.

        Parameters and errors as in `fit`.
        """
        first, second = self._check(X, reset=True)
        self.vectorizer_ = clone(self.vectorizer)
        return self._compare(self.vectorizer_.fit_transform([*first, *second]))

    def transform(self, X: Any) -> FloatArray:
        """Return one row per pair.

        Parameters
        ----------
        X : frame or array of shape (n_pairs, 2), or list of pairs

        Returns
        -------
        ndarray of shape (n_pairs, n_features)
            Or a frame, after `set_output`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        TextTypeError, TextValueError
            X does not have two columns of texts.
        """
        check_is_fitted(self)
        first, second = self._check(X, reset=False)
        return self._compare(self.vectorizer_.transform([*first, *second]))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features,), object
            The vectorizer's names after the comparison: ``difference_elmo_...``.
        """
        check_is_fitted(self)
        names: list[str] = []
        for comparison in self._comparison_names():
            names += (
                [comparison]
                if comparison == "cosine"
                else [
                    f"{comparison}_{name}"
                    for name in self.vectorizer_.get_feature_names_out()
                ]
            )
        return np.array(names, dtype=object)

    def _comparison_names(self) -> list[str]:
        chosen = self.comparisons
        return [chosen] if isinstance(chosen, str) else list(chosen)

    def _check(self, X: Any, *, reset: bool) -> tuple[list[Any], list[Any]]:
        """Check parameters and input; return the two columns."""
        check_parameters(type(self).__name__, self.get_params(deep=False), _CONSTRAINTS)
        if get_tags(self.vectorizer).target_tags.required:
            message = (
                f"{type(self.vectorizer).__name__} learns from labels of texts, but "
                f"{type(self).__name__} has labels of pairs only. Choose a layer_mix "
                "other than 'learned'."
            )
            raise InvalidParameterError(message)
        pairs = _as_pairs(X, type(self).__name__)
        # For n_features_in_ and feature_names_in_, which a list does not have.
        with_shape = X if hasattr(X, "shape") else np.empty((len(pairs), 2))
        validate_data(self, with_shape, reset=reset, skip_check_array=True)
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _compare(self, rows: Any) -> FloatArray:
        if issparse(rows):
            message = (
                f"{type(self.vectorizer).__name__} returns a sparse matrix; "
                f"{type(self).__name__} needs dense rows. Append a step that makes "
                "them dense, such as TruncatedSVD."
            )
            raise TextTypeError(message)
        first, second = np.split(np.asarray(rows), 2)
        return np.hstack(
            [_COMPARISONS[name](first, second) for name in self._comparison_names()]
        )


def _as_pairs(X: Any, estimator: str) -> list[Any]:
    """List the rows of a frame, array or list of pairs."""
    advice = (
        f"{estimator} needs two texts per row. Pass a frame with two columns, such as "
        "X[['first', 'second']], or a list of pairs."
    )
    if isinstance(X, str | bytes | Mapping | Set):
        message = f"The input is {type(X).__name__} ({quote(X)}); {advice}"
        raise TextTypeError(message)
    shape = getattr(X, "shape", None)
    if shape is not None and (len(shape) != 2 or shape[1] != 2):
        message = f"The input has shape {tuple(shape)}; {advice}"
        raise TextValueError(message)
    # Iterating over a frame gives columns, not rows.
    if not hasattr(X, "to_numpy") and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    pairs = list(X.to_numpy() if hasattr(X, "to_numpy") else X)
    for row, pair in enumerate(pairs):
        is_pair = hasattr(pair, "__len__") and not isinstance(pair, str | bytes)
        if not is_pair or len(pair) != 2:
            message = f"Row {row} of the input is {quote(pair)}; {advice}"
            raise TextValueError(message)
    return pairs
