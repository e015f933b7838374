"""`StandardScaler` for features that fill much of the memory."""

from typing import Any, Self

from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

__all__ = ["BatchedScaler"]

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
