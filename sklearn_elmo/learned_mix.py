"""Layer weights learned from labels: ELMo's task-specific combination of layers."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import expit, log_softmax, softmax
from sklearn.utils.multiclass import type_of_target
from threadpoolctl import threadpool_limits

from sklearn_elmo.errors import InvalidParameterError

__all__ = ["LearnedMix", "check_labels", "learn_layer_weights"]

FloatArray = npt.NDArray[np.floating[Any]]

# On the scalars alone: lambda = 0.001, as in the paper (sec. 3.4 and its appendix).
_SCALAR_PENALTY = 0.001
# Score of the favoured layer at the start: of three layers it then weighs 0.91.
_HEAD_START = 3.0
# To compare the starts, and then from the best of them.
_FIRST_ITERATIONS, _MOST_ITERATIONS = 50, 400
# Of more texts, some are enough to compare the starts.
_SAMPLED_TEXTS = 8192
# Layers of some texts in float64; small, so that they stay in the processor's cache.
_BLOCK_BYTES = 2**20

_CLASSIFICATION = ("binary", "multiclass")
_REGRESSION = ("continuous", "continuous-multioutput")
_MULTILABEL = ("multilabel-indicator",)


@dataclass(frozen=True)
class LearnedMix:
    """Weights of layers, and a scale for all.

    Attributes
    ----------
    weights : ndarray of shape (n_layers,)
        Positive, with a sum of 1.
    scale : float
    """

    weights: npt.NDArray[np.float64]
    scale: float


def learn_layer_weights(
    pooled: npt.NDArray[np.float32],
    y: Any,
    progress: Callable[[int], object] = lambda _: None,
) -> LearnedMix:
    """Learn how much each layer matters for a target.

    The mixed features are g * sum_k s_k x_k with s = softmax(w) (Peters et al. 2018,
    eq. 1). w and g are found together with a linear model of the target on the mixed
    features: logistic for classes, least squares for numbers. Penalties keep w near 0,
    g near 1 and the coefficients small.

    Parameters
    ----------
    pooled : ndarray of shape (n_texts, n_layers, ...), float32
        The axes after the first two are the features.
    y : array-like of shape (n_texts,) or (n_texts, n_outputs)
        Classes, an indicator matrix of labels, or numbers.
    progress : callable, optional
        Called with 1 after every step of the optimization, whose number is not known
        before.

    Returns
    -------
    LearnedMix

    Raises
    ------
    InvalidParameterError
        If y is of another kind or length, or has a single class.
    """
    target, loss = _encode_target(y, len(pooled))
    every = -(-len(pooled) // _SAMPLED_TEXTS)
    n_layers, n_outputs = pooled.shape[1], target.shape[1]
    rest = np.zeros((int(np.prod(pooled.shape[2:])) + 1) * n_outputs)
    starts = [
        np.concatenate([scores, [1.0], rest])
        for scores in (np.zeros(n_layers), *(_HEAD_START * np.eye(n_layers)))
    ]
    # The objective has several minima: begin from equal weights and from each layer,
    # and go on where it is lowest. BLAS would split these small products among threads
    # that spend their time waiting for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        objective = _Objective(pooled[::every], target[::every], loss)
        rough = [
            _descend(objective, start, _FIRST_ITERATIONS, progress) for start in starts
        ]
        lowest = min(rough, key=lambda result: result.fun)
        if every > 1:
            objective = _Objective(pooled, target, loss)
        found = _descend(objective, lowest.x, _MOST_ITERATIONS, progress)
    return LearnedMix(softmax(found.x[:n_layers]), float(found.x[n_layers]))


def _descend(
    objective: "_Objective",
    start: FloatArray,
    n_iterations: int,
    progress: Callable[[int], object],
) -> Any:
    return minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": n_iterations},
        callback=lambda _: progress(1),
    )


class _Objective:
    """Value and gradient, in float64 by blocks of texts.

    Parameters
    ----------
    layers : ndarray of shape (n_texts, n_layers, ...), float32
        The axes after the first two are the features. They are centred, since the
        intercept takes up any constant, and divided by one number for all layers,
        which leaves their proportions as they are.
    target : ndarray of shape (n_texts, n_outputs), float64
    loss : _Loss
    """

    def __init__(
        self, layers: npt.NDArray[np.float32], target: FloatArray, loss: "_Loss"
    ) -> None:
        self._layers, self._target, self._loss = layers, target, loss
        self._n_texts, self._n_layers = layers.shape[:2]
        self._mean, self._size = layers.mean(axis=0, dtype=np.float64), 1.0
        squares = sum(float(np.vdot(block, block)) for _, block in self._blocks())
        self._size = max(np.sqrt(squares / layers.size), 1e-12)

    def _blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
        """Yield some texts and their layers, in an array that is used again.

        *Shape:* ``(n * n_layers, F)``.
        """
        n_at_once = max(1, _BLOCK_BYTES // (8 * self._mean.size))
        buffer = np.empty((min(n_at_once, self._n_texts), *self._mean.shape))
        for first in range(0, self._n_texts, n_at_once):
            texts = slice(first, min(first + n_at_once, self._n_texts))
            block = buffer[: texts.stop - first]
            np.subtract(self._layers[texts], self._mean, out=block)
            block /= self._size
            yield texts, block.reshape(len(block) * self._n_layers, -1)

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient.

        Parameters
        ----------
        parameters : ndarray of shape (n_layers + 1 + (F + 1) * n_outputs,)
            Scores of the layers, scale, coefficients, intercepts.
        """
        n_layers, n_outputs = self._n_layers, self._target.shape[1]
        scores, scale = parameters[:n_layers], parameters[n_layers]
        weights = softmax(scores)
        linear = parameters[n_layers + 1 :].reshape(-1, n_outputs)
        coefficients, intercepts = linear[:-1], linear[-1]
        shrinkage = self._loss.penalty / self._n_texts
        value = shrinkage / 2 * np.sum(coefficients**2)
        value += _SCALAR_PENALTY * (np.sum(scores**2) + (scale - 1) ** 2)
        by_linear = np.vstack([shrinkage * coefficients, np.zeros(n_outputs)])
        by_factor = np.zeros(n_layers)  # of the products scale * weights
        for texts, block in self._blocks():
            share = (texts.stop - texts.start) / self._n_texts
            # One product serves the prediction and the weights' gradient.
            parts = (block @ coefficients).reshape(-1, n_layers, n_outputs)
            z = np.einsum("l,nlo->no", scale * weights, parts) + intercepts
            loss, error = self._loss.mean(z, self._target[texts])  # error: d loss / d z
            value, error = value + share * loss, share * error
            by_factor += np.einsum("nlo,no->l", parts, error)
            by_part = np.einsum("l,no->nlo", scale * weights, error)
            by_linear[:-1] += block.T @ by_part.reshape(-1, n_outputs)
            by_linear[-1] += error.sum(axis=0)
        by_scores = scale * weights * (by_factor - weights @ by_factor)
        by_scores += 2 * _SCALAR_PENALTY * scores
        by_scale = weights @ by_factor + 2 * _SCALAR_PENALTY * (scale - 1)
        return value, np.concatenate([by_scores, [by_scale], by_linear.ravel()])


def check_labels(y: Any, n_samples: int) -> None:
    """Refuse labels that cannot be learned from, before anything costly is done.

    Parameters and errors as in `learn_layer_weights`.
    """
    _encode_target(y, n_samples)


def _encode_target(y: Any, n_texts: int) -> tuple[FloatArray, "_Loss"]:
    """Return the target as a matrix, and its loss."""
    if y is None:
        message = (
            "layer_mix='learned' learns from labels, but y is None. Call fit(X, y), or "
            "choose layer_mix='average'."
        )
        raise InvalidParameterError(message)
    labels = y.toarray() if issparse(y) else np.asarray(y)
    kind = _kind_of_target(labels)
    if len(labels) != n_texts:
        message = (
            f"y has {len(labels)} entries for {n_texts} texts; layer_mix='learned' "
            "needs one for each text."
        )
        raise InvalidParameterError(message)
    if kind in _CLASSIFICATION:
        classes, codes = np.unique(labels.ravel(), return_inverse=True)
        if len(classes) < 2:
            message = (
                f"y has the single class {repr(classes.tolist())[:40]}; "
                "layer_mix='learned' needs two classes at least, or numbers."
            )
            raise InvalidParameterError(message)
        if len(classes) == 2:
            return codes[:, None].astype(np.float64), _TWO_CLASSES
        return np.eye(len(classes))[codes], _CLASSES
    if kind in _MULTILABEL:
        return labels.astype(np.float64), _LABELS
    if kind in _REGRESSION:
        numbers = labels.reshape(n_texts, -1).astype(np.float64)
        spread = numbers.std(axis=0)
        spread[spread == 0] = 1
        return (numbers - numbers.mean(axis=0)) / spread, _NUMBERS
    message = (
        f"y is of the kind {kind!r}; layer_mix='learned' needs classes, an indicator "
        "matrix of labels, or numbers."
    )
    raise InvalidParameterError(message)


def _kind_of_target(labels: npt.NDArray[Any]) -> str:
    if labels.ndim == 0:
        message = (
            f"y is {repr(labels.item())[:40]}; layer_mix='learned' needs an array of "
            "labels, one for each text."
        )
        raise InvalidParameterError(message)
    try:
        # A cast comes before its check for NaN.
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            # Before 1.8 scikit-learn doubts that so many classes are classes.
            warnings.filterwarnings("ignore", "The number of unique classes")
            kind: str = type_of_target(labels, input_name="y")
        if kind in _CLASSIFICATION:
            np.unique(labels)
    except (TypeError, ValueError) as error:
        message = (
            f"y cannot be learned from ({error}); layer_mix='learned' needs classes of "
            "one type, an indicator matrix of labels, or finite numbers."
        )
        raise InvalidParameterError(message) from error
    return kind


def _cross_entropy(z: FloatArray, target: FloatArray) -> tuple[float, FloatArray]:
    log_probabilities = log_softmax(z, axis=1)
    value = -np.mean(np.sum(target * log_probabilities, axis=1))
    return float(value), (np.exp(log_probabilities) - target) / len(z)


def _binary_cross_entropy(
    z: FloatArray, target: FloatArray
) -> tuple[float, FloatArray]:
    value = np.mean(np.sum(np.logaddexp(0, z) - target * z, axis=1))
    return float(value), (expit(z) - target) / len(z)


def _squared_error(z: FloatArray, target: FloatArray) -> tuple[float, FloatArray]:
    error = z - target
    return float(np.mean(np.sum(error**2, axis=1)) / 2), error / len(z)


class _Loss(NamedTuple):
    """A loss of scores z and targets, both of shape ``(n_texts, n_outputs)``."""

    mean: Callable[[FloatArray, FloatArray], tuple[float, FloatArray]]
    """(z, target) -> mean over the texts, and its derivative by z."""
    penalty: float = 1.0
    """On half the squares of the coefficients; 1 is LogisticRegression's C=1."""


_CLASSES = _Loss(_cross_entropy)
_LABELS = _Loss(_binary_cross_entropy)
# Softmax of two classes in one column: their coefficients b and -b become one of 2 b.
_TWO_CLASSES = _LABELS._replace(penalty=0.5)
_NUMBERS = _Loss(_squared_error)
