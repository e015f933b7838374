"""What all transformers of one column of texts share: input, names, tags."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from sklearn_elmo.errors import InvalidParameterError, TextValueError
from sklearn_elmo.messages import quote
from sklearn_elmo.text import as_texts, column_name, frame_column

__all__ = ["TextTransformer"]


class TextTransformer(TransformerMixin, BaseEstimator):
    """A transformer whose input is one column of texts.

    Subclasses have the parameters ``tokenizer`` and ``missing``.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (1,), object
        Name of the column; only set if `fit` was given a named column.
    """

    feature_names_in_: npt.NDArray[np.object_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _list_texts(self, X: Any) -> list[Any]:
        """Return the texts of any container; None for a missing one."""
        texts: list[Any] = as_texts(
            X,
            estimator=type(self).__name__,
            pretokenized=self.tokenizer == "pretokenized",
            refuse_missing=self.missing == "error",
        )
        return texts

    def _list_fitted_column(self, X: Any) -> list[Any]:
        """Return the texts of the column that `fit` was given.

        As in scikit-learn only frames are checked. A Series is accepted whatever its
        name, which libraries change: Spark, for example, calls it ``_0``.
        """
        texts = self._list_texts(X)
        name, expected = frame_column(X), self._fitted_column()
        if name is not None and expected is not None and name != expected:
            message = (
                "The feature names should match those that were passed during fit: "
                f"the column is named {quote(name)}, but {type(self).__name__} was "
                f"fitted on {quote(expected)}. Pass that column, or fit again."
            )
            raise TextValueError(message)
        return texts

    def _record_column(self, X: Any) -> None:
        """Set `feature_names_in_`, or remove the name of an earlier fit."""
        name = column_name(X)
        if name is not None:
            self.feature_names_in_ = np.array([name], dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _fitted_column(self) -> str | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else str(names[0])

    def _with_column_name(
        self, names: list[str], input_features: Any
    ) -> npt.NDArray[Any]:
        """Prefix the names of features with that of the column, if there is one.

        Parameters
        ----------
        names : list of str
        input_features : array-like of one str, or None
            The name of a column that had none in `fit`.

        Raises
        ------
        InvalidParameterError
            `input_features` is not the column of `fit`, or is several names.
        """
        column = self._fitted_column()
        if input_features is not None:
            given = [str(name) for name in np.asarray(input_features, object).ravel()]
            if len(given) != 1 or column not in (None, given[0]):
                message = (
                    f"input_features is {quote(given)}; expected the name of one "
                    f"column{'' if column is None else f', {quote(column)}'}, as "
                    "passed to fit."
                )
                raise InvalidParameterError(message)
            column = given[0]
        prefix = "" if column is None else f"{column}_"
        return np.array([prefix + name for name in names], dtype=object)
