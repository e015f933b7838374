"""Layer weights learned from labels: ELMo's task-specific combination of layers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import expit, log_softmax, softmax
from sklearn.utils.multiclass import type_of_target

from sklearn_elmo.errors import InvalidParameterError

__all__ = ["LearnedMix", "check_labels", "learn_layer_weights"]

FloatArray = npt.NDArray[np.floating[Any]]

# On the scalars alone: lambda = 0.001, as in the paper (sec. 3.4 and its appendix).
_SCALAR_PENALTY = 0.001
# On the linear model's coefficients: that of LogisticRegression(C=1).
_COEFFICIENT_PENALTY = 1.0
_MOST_ITERATIONS = 200
# Score of the favoured layer at the start: of three layers it then weighs 0.91.
_HEAD_START = 3.0

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


def learn_layer_weights(pooled: npt.NDArray[np.float32], y: Any) -> LearnedMix:
    """Learn how much each layer matters for a target.

    The mixed features are g * sum_k s_k x_k with s = softmax(w) (Peters et al. 2018,
    eq. 1). w and g are found together with a linear model of the target on the mixed
    features: logistic for classes, least squares for numbers. Penalties keep w near 0,
    g near 1 and the coefficients small.

    Parameters
    ----------
    pooled : ndarray of shape (n_texts, n_layers, n_features), float32
    y : array-like of shape (n_texts,) or (n_texts, n_outputs)
        Classes, an indicator matrix of labels, or numbers.

    Returns
    -------
    LearnedMix

    Raises
    ------
    InvalidParameterError
        If y is of another kind or length, or has a single class.
    """
    target, loss = _encode_target(y, len(pooled))
    n_layers = pooled.shape[1]
    # Centred, since the intercept takes up any constant; divided by one number for all
    # layers, which leaves their proportions as they are.
    layers = np.moveaxis(pooled, 1, 0).astype(np.float64)  # (n_layers, N, F)
    layers -= layers.mean(axis=1, keepdims=True)
    layers /= max(float(np.sqrt(np.mean(layers**2))), 1e-12)
    n_features, n_outputs = layers.shape[2], target.shape[1]

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        scores, scale = parameters[:n_layers], parameters[n_layers]
        coefficients = parameters[n_layers + 1 : -n_outputs].reshape(n_features, -1)
        intercepts = parameters[-n_outputs:]
        weights = softmax(scores)
        # One product serves the prediction and the weights' gradient.
        parts = layers @ coefficients  # (n_layers, N, n_outputs)
        mixed = np.tensordot(weights, parts, axes=1)
        value, error = loss(scale * mixed + intercepts, target)  # error: d value / d z
        gradient = np.empty_like(parameters)
        by_weight = scale * np.einsum("lno,no->l", parts, error)
        gradient[:n_layers] = weights * (by_weight - weights @ by_weight)
        gradient[n_layers] = np.sum(mixed * error)
        by_layer = layers.swapaxes(1, 2) @ error  # (n_layers, F, n_outputs)
        by_coefficient = scale * np.tensordot(weights, by_layer, axes=1)
        shrinkage = _COEFFICIENT_PENALTY / len(target)
        by_coefficient += shrinkage * coefficients
        gradient[n_layers + 1 : -n_outputs] = by_coefficient.ravel()
        gradient[-n_outputs:] = error.sum(axis=0)
        value += shrinkage / 2 * np.sum(coefficients**2)
        value += _SCALAR_PENALTY * (np.sum(scores**2) + (scale - 1) ** 2)
        gradient[:n_layers] += 2 * _SCALAR_PENALTY * scores
        gradient[n_layers] += 2 * _SCALAR_PENALTY * (scale - 1)
        return value, gradient

    # The objective has several minima: begin from equal weights and from each layer.
    found = min(
        (
            minimize(
                objective,
                np.concatenate([scores, [1.0], np.zeros((n_features + 1) * n_outputs)]),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": _MOST_ITERATIONS},
            )
            for scores in (np.zeros(n_layers), *(_HEAD_START * np.eye(n_layers)))
        ),
        key=lambda result: result.fun,
    ).x
    return LearnedMix(softmax(found[:n_layers]), float(found[n_layers]))


def check_labels(y: Any, n_samples: int) -> None:
    """Refuse labels that cannot be learned from, before anything costly is done.

    Parameters and errors as in `learn_layer_weights`.
    """
    _encode_target(y, n_samples)


def _encode_target(y: Any, n_texts: int) -> tuple[FloatArray, Any]:
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
        return np.eye(len(classes))[codes], _cross_entropy
    if kind in _MULTILABEL:
        return labels.astype(np.float64), _binary_cross_entropy
    if kind in _REGRESSION:
        numbers = labels.reshape(n_texts, -1).astype(np.float64)
        spread = numbers.std(axis=0)
        return (numbers - numbers.mean(axis=0)) / np.where(spread == 0, 1, spread), (
            _squared_error
        )
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
