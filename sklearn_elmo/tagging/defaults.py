"""What the parts of `ElmoTagger` are where it is given none."""

from typing import Any, Self

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["BatchedScaler", "make_classifier", "make_vectorizer"]

# The statistics of a batch take two float64 arrays of its size.
_BATCH_ROWS = 2**12


class BatchedScaler(StandardScaler):
    """Scale as `StandardScaler` does, with temporary arrays of one batch of rows.

    `StandardScaler.fit` makes a float64 array of the size of all features; with float32
    features it takes three times their memory.

    Parameters
    ----------
    copy, with_mean, with_std
        As in `StandardScaler`; ``copy=False`` scales arrays in place.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn means and standard deviations.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        BatchedScaler
        """
        self._reset()
        for rows in gen_batches(len(X), _BATCH_ROWS):
            self.partial_fit(X[rows])
        return self


def make_vectorizer() -> ElmoTokenVectorizer:
    return ElmoTokenVectorizer(tokenizer="pretokenized", layer_mix="concat")


def make_classifier() -> Any:
    # The scaler may write into the features: they are the tagger's own.
    return make_pipeline(
        BatchedScaler(copy=False), LogisticRegression(C=0.01, max_iter=500, tol=1e-3)
    )
