"""Layer weights learned from labels: ELMo's task-specific combination of layers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import expit, log_softmax, softmax
from sklearn.utils.multiclass import type_of_target
from threadpoolctl import threadpool_limits

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.mixed_linear_model import Loss, MixedLinearModel

__all__ = ["LearnedMix", "check_labels", "learn_layer_weights"]

FloatArray = npt.NDArray[np.floating[Any]]

# On the scalars alone: lambda = 0.001, as in the paper (sec. 3.4 and its appendix).
_SCALAR_PENALTY = 0.001
# Score of the favoured layer at the start: of three layers it then weighs 0.91.
_HEAD_START = 3.0
_MOST_ITERATIONS = 100
# Of more texts, some are enough to compare the starts.
_SAMPLED_TEXTS = 8192
# Decreases of the objective that are too small for another step in the coefficients,
# when the starts are compared and at the end; for one in the weights, a multiple.
_COARSE, _FINE = 1e-5, 1e-10
_FTOL_PER_DECREASE = 1e3
# Leaves the weights an error of 1e-4, even if only the penalty holds them.
_GRADIENT_TOLERANCE = 1e-6

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
    n_layers = pooled.shape[1]
    starts = (np.zeros(n_layers), *(_HEAD_START * np.eye(n_layers)))
    # The objective may have several minima: begin from equal weights and from each
    # layer, with some of the texts, and go on where it is lowest. BLAS would split
    # these small products among threads, which spend their time waiting.
    with threadpool_limits(limits=1, user_api="blas"):
        model = MixedLinearModel(pooled[::every], target[::every], loss, progress)
        rough = [_descend(model, np.append(scores, 1.0), _COARSE) for scores in starts]
        lowest = min(rough, key=lambda result: result.fun)
        if every > 1:
            model = MixedLinearModel(pooled, target, loss, progress)
        found = _descend(model, lowest.x, _FINE).x
    return LearnedMix(softmax(found[:-1]), float(found[-1]))


def _descend(model: MixedLinearModel, start: FloatArray, least_decrease: float) -> Any:
    """Minimize over the layers' scores and the scale, ``(n_layers + 1,)``."""

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        scores, scale = parameters[:-1], parameters[-1]
        weights = softmax(scores)
        # The best coefficients move with the weights, but to first order the value does
        # not depend on them: its derivative is that for fixed coefficients.
        value, by_factor = model.fit(weights, scale, least_decrease)
        by_weight = scale * by_factor
        by_scores = weights * (by_weight - weights @ by_weight)
        gradient = np.append(by_scores, weights @ by_factor)
        value += _SCALAR_PENALTY * float(np.sum(scores**2) + (scale - 1) ** 2)
        gradient += 2 * _SCALAR_PENALTY * np.append(scores, scale - 1)
        return value, gradient

    return minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={
            "ftol": _FTOL_PER_DECREASE * least_decrease,
            "gtol": _GRADIENT_TOLERANCE,
            "maxiter": _MOST_ITERATIONS,
        },
    )


def check_labels(y: Any, n_samples: int) -> None:
    """Refuse labels that cannot be learned from, before anything costly is done.

    Parameters and errors as in `learn_layer_weights`.
    """
    _encode_target(y, n_samples)


def _encode_target(y: Any, n_texts: int) -> tuple[FloatArray, Loss]:
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
        with np.errstate(invalid="ignore"):
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


def _softmax_curvature(p: FloatArray, v: FloatArray) -> FloatArray:
    curved: FloatArray = p * (v - np.sum(p * v, axis=1, keepdims=True))
    return curved


_CLASSES = Loss(_cross_entropy, _softmax_curvature)
_LABELS = Loss(_binary_cross_entropy, lambda p, v: p * (1 - p) * v)
# Softmax of two classes in one column: their coefficients b and -b become one of 2 b.
_TWO_CLASSES = _LABELS._replace(penalty=0.5)
_NUMBERS = Loss(_squared_error, lambda _, v: v)
