"""A linear model on a weighted sum of layers, for given weights of the layers.

With the weights fixed the problem is convex. Newton's method needs a few steps; each is
a linear system, which preconditioned conjugate gradients solve. Value and gradient are
exact in float64, block by block of the texts. Only the products inside a step are in
float32: they decide how many steps it takes, not where these end.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

__all__ = ["Loss", "MixedLinearModel"]

FloatArray = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Operator = Callable[[Doubles], Doubles]

# Layers of some texts in float64.
_BLOCK_BYTES = 2**21

_MOST_STEPS = 100
# Armijo's condition for the length of a step.
_SUFFICIENT_DECREASE = 1e-4
_SHORTEST_STEP = 1e-6

# Relative error that conjugate gradients leave, and how many products they may take.
_STEP_ERROR = 0.1
_MOST_PRODUCTS = 200
_MANY_PRODUCTS = 40
# The preconditioner is a matrix up to so many features, estimated from so many texts.
_MOST_SQUARED_FEATURES = 2048
_SAMPLED_TEXTS = 4096


class Loss(NamedTuple):
    """A loss of scores z and targets, both of shape ``(n_texts, n_outputs)``."""

    mean: Callable[[FloatArray, FloatArray], tuple[float, FloatArray]]
    """(z, target) -> the mean of the texts' losses, and its derivative by z."""
    curvature: Callable[[FloatArray, FloatArray], FloatArray]
    """(prediction, v) -> second derivative of the texts' losses, applied to v.

    The prediction is target + derivative of a text's loss.
    """
    penalty: float = 1.0
    """On half the squares of the coefficients, summed and divided by n_texts."""


class MixedLinearModel:
    """A linear model of a target on scale * sum_k weights_k layers_k.

    Coefficients are kept from one call of `fit` to the next, which starts from them.

    Parameters
    ----------
    layers : ndarray of shape (n_texts, n_layers, ...), float32
        The axes after the first two are the features. Any constant is taken off, since
        the intercept takes it up; all layers are divided by one number, which leaves
        their proportions as they are.
    target : ndarray of shape (n_texts, n_outputs)
    loss : Loss
    progress : callable
        Called with 1 after every step.
    """

    def __init__(
        self,
        layers: npt.NDArray[np.float32],
        target: FloatArray,
        loss: Loss,
        progress: Callable[[int], object],
    ) -> None:
        self._layers, self._target = layers, target
        self._loss, self._progress = loss, progress
        self._n_texts, self._n_layers = layers.shape[:2]
        self._n_features = int(np.prod(layers.shape[2:]))
        self._mean = layers.mean(axis=0, dtype=np.float64)
        squares = sum(np.vdot(block, block) for _, block in self._blocks())
        self._size = max(float(np.sqrt(squares / layers.size)), 1e-12)
        # The last row are the intercepts.
        self._coefficients = np.zeros((self._n_features + 1, target.shape[1]))
        self._penalty = np.full((self._n_features + 1, 1), loss.penalty)
        self._penalty /= self._n_texts
        self._penalty[-1] = 0

    def fit(
        self, weights: FloatArray, scale: float, least_decrease: float
    ) -> tuple[float, Doubles]:
        """Find the coefficients for given weights of the layers.

        Parameters
        ----------
        weights : ndarray of shape (n_layers,)
        scale : float
        least_decrease : float
            A step that promises a smaller decrease of the value is the last one.

        Returns
        -------
        value : float
            Mean loss and penalty of the coefficients.
        gradient : ndarray of shape (n_layers,)
            Derivative of the value by the products scale * weights.
        """
        factors = scale * weights
        mixed = self._mix(factors)
        point = self._evaluate(self._coefficients, factors)
        n_products, is_warm = _MOST_PRODUCTS, True
        for _ in range(_MOST_STEPS):
            if n_products > _MANY_PRODUCTS:
                precondition = self._preconditioner(mixed, point.error)
            step, n_products = self._newton_step(mixed, point, precondition)
            slope = float(np.vdot(point.gradient, step))
            length = 1.0
            moved = self._evaluate(point.coefficients + step, factors)
            if is_warm and moved.value > point.value:
                # The last solution is so far away that it is quicker to begin anew.
                point = self._evaluate(np.zeros_like(step), factors)
                n_products, is_warm = _MOST_PRODUCTS, False
                continue
            while moved.value > point.value + _SUFFICIENT_DECREASE * length * slope:
                length /= 2
                if length < _SHORTEST_STEP:
                    break
                moved = self._evaluate(point.coefficients + length * step, factors)
            if moved.value <= point.value:
                point = moved
            self._progress(1)
            if -slope < least_decrease or length < _SHORTEST_STEP:
                break
        self._coefficients = point.coefficients
        return point.value, point.by_factor

    def _blocks(self) -> Iterator[tuple[slice, Doubles]]:
        """Yield the centred layers of some texts in float64, in an array used again."""
        n_at_once = max(1, _BLOCK_BYTES // (8 * self._n_layers * self._n_features))
        buffer = np.empty((min(n_at_once, self._n_texts), *self._layers.shape[1:]))
        for start in range(0, self._n_texts, n_at_once):
            texts = slice(start, min(start + n_at_once, self._n_texts))
            block = buffer[: texts.stop - start]
            np.subtract(self._layers[texts], self._mean, out=block)
            yield texts, block.reshape(len(block), self._n_layers, self._n_features)

    def _mix(self, factors: FloatArray) -> npt.NDArray[np.float32]:
        mixed = np.empty((self._n_texts, self._n_features), np.float32)
        for texts, block in self._blocks():
            mixed[texts] = (factors / self._size) @ block
        return mixed

    def _evaluate(self, coefficients: Doubles, factors: FloatArray) -> "_Point":
        n_layers, n_outputs = self._n_layers, self._target.shape[1]
        value = 0.5 * float(np.sum(self._penalty * coefficients**2))
        gradient = self._penalty * coefficients
        by_factor = np.zeros(n_layers)
        error = np.empty(self._target.shape)
        unscaled = coefficients[:-1] / self._size
        for texts, block in self._blocks():
            share = len(block) / self._n_texts
            rows = block.reshape(-1, self._n_features)  # (n * n_layers, F)
            parts = (rows @ unscaled).reshape(-1, n_layers, n_outputs)
            z = factors @ parts + coefficients[-1]
            loss, by_z = self._loss.mean(z, self._target[texts])
            value += share * loss
            error[texts] = by_z = share * by_z
            by_factor += np.einsum("nlo,no->l", parts, by_z)
            by_part = factors[:, None] * by_z[:, None]  # (n, n_layers, n_outputs)
            gradient[:-1] += rows.T @ (by_part.reshape(-1, n_outputs) / self._size)
            gradient[-1] += by_z.sum(axis=0)
        return _Point(coefficients, value, gradient, by_factor, error)

    def _newton_step(
        self,
        mixed: npt.NDArray[np.float32],
        point: "_Point",
        precondition: Operator,
    ) -> tuple[Doubles, int]:
        """Solve for the step to where the gradient vanishes, by conjugate gradients."""
        prediction = self._prediction(point.error)

        def apply_hessian(v: Doubles) -> Doubles:
            z = mixed @ v[:-1].astype(np.float32) + v[-1].astype(np.float32)
            by_z = self._loss.curvature(prediction, z) / np.float32(self._n_texts)
            curved: Doubles = np.vstack([mixed.T @ by_z, by_z.sum(axis=0)])
            return self._penalty * v + curved

        step = np.zeros_like(point.gradient)
        residual = -point.gradient
        direction = conditioned = precondition(residual)
        squared = first = float(np.vdot(residual, conditioned))
        n_products = 0
        while squared > _STEP_ERROR**2 * first and n_products < _MOST_PRODUCTS:
            n_products += 1
            curved = apply_hessian(direction)
            curvature = float(np.vdot(direction, curved))
            if curvature <= 0:  # of rounding
                break
            step += squared / curvature * direction
            residual = residual - squared / curvature * curved
            conditioned = precondition(residual)
            before, squared = squared, float(np.vdot(residual, conditioned))
            direction = conditioned + squared / before * direction
        return step, n_products

    def _preconditioner(
        self, mixed: npt.NDArray[np.float32], error: FloatArray
    ) -> Operator:
        """Return an operator near the inverse of the second derivative.

        All outputs share the mean of their curvatures. With many features, only the
        diagonal is used.
        """
        every = -(-self._n_texts // _SAMPLED_TEXTS)
        prediction = self._prediction(error)[::every]
        units = np.eye(prediction.shape[1], dtype=np.float32)[:, None]
        curvatures = np.mean(
            [
                self._loss.curvature(prediction, np.tile(unit, (len(prediction), 1)))
                @ unit[0]
                for unit in units
            ],
            axis=0,
        )
        rows = np.sqrt(curvatures / len(curvatures))[:, None] * mixed[::every]
        penalty = float(self._penalty[0, 0])
        intercept = max(float(curvatures.mean()), penalty)
        if self._n_features > _MOST_SQUARED_FEATURES:
            diagonal = np.einsum("nf,nf->f", rows, rows)[:, None] + penalty
            return lambda v: v / np.vstack([diagonal, [[intercept]]])
        matrix = rows.T @ rows
        # More than the rounding of the products in float32.
        matrix.flat[:: len(matrix) + 1] += max(penalty, 1e-5 * matrix.diagonal().max())
        inverse = cho_solve(cho_factor(matrix), np.eye(len(matrix), dtype="f4"))
        return lambda v: np.vstack(
            [inverse @ v[:-1].astype(np.float32), v[-1:] / intercept]
        )

    def _prediction(self, error: FloatArray) -> npt.NDArray[np.float32]:
        prediction: npt.NDArray[np.float32]
        prediction = (self._n_texts * error + self._target).astype(np.float32)
        return prediction


class _Point(NamedTuple):
    """What is known of some coefficients."""

    coefficients: Doubles
    value: float
    gradient: Doubles
    by_factor: Doubles
    """Derivative by the factors of the layers, (n_layers,)."""
    error: Doubles
    """Derivative by the scores, (n_texts, n_outputs)."""
