"""`LayerWeightsDisplay`: how much each layer counts."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.inspection.plotting import new_axes
from sklearn_elmo.inspection.steps import find_steps

__all__ = ["LayerWeightsDisplay"]


class LayerWeightsDisplay:
    """Bar chart of layer weights.

    Use `from_estimator` for weights that ``layer_mix="learned"`` has learned, and the
    constructor for any others.

    Parameters
    ----------
    weights : array-like of shape (n_layers,)
    scale : float, default=1.0
        Scale of the weighted sum; shown in the title.
    layers : sequence of int, optional
        Layer numbers; 0, 1, ... by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer

    Examples
    --------
    >>> from sklearn_elmo.inspection import LayerWeightsDisplay
    >>> display = LayerWeightsDisplay([0.2, 0.5, 0.3], scale=1.4)
    >>> display.weights
    array([0.2, 0.5, 0.3])
    """

    ax_: Any
    figure_: Any
    bars_: Any

    def __init__(
        self,
        weights: Any,
        *,
        scale: float = 1.0,
        layers: Sequence[int] | None = None,
    ) -> None:
        self.weights: npt.NDArray[np.float64] = np.asarray(weights, dtype=np.float64)
        self.scale = scale
        self.layers = range(len(self.weights)) if layers is None else layers

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the learned layer weights of a vectorizer.

        Parameters
        ----------
        estimator : estimator
            A fitted `ElmoVectorizer` or `ElmoTokenVectorizer` with
            ``layer_mix="learned"``, or a fitted pipeline, union, column transformer or
            search that holds one.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        LayerWeightsDisplay

        Raises
        ------
        InvalidParameterError
            The estimator holds no learned layer weights, or several.
        MissingPackageError
            matplotlib is not installed.
        """
        found = find_steps(estimator, lambda step: hasattr(step, "layer_weights_"))
        if len(found) != 1:
            message = (
                f"{type(estimator).__name__} holds {len(found)} vectorizers with "
                "learned layer weights; LayerWeightsDisplay draws one. Fit with "
                "layer_mix='learned', or pass one vectorizer."
            )
            raise InvalidParameterError(message)
        vectorizer = found[0]
        display = cls(
            vectorizer.layer_weights_,
            scale=vectorizer.layer_scale_,
            layers=vectorizer.layers_,
        )
        return display.plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        LayerWeightsDisplay

        Raises
        ------
        MissingPackageError
            matplotlib is not installed.
        """
        ax = new_axes(ax, (1.6 + 1.1 * len(self.weights), 3.6))
        self.bars_ = ax.bar(range(len(self.weights)), self.weights, color="#0072B2")
        ax.bar_label(self.bars_, fmt="%.2f", padding=2)
        equal = 1 / len(self.weights)
        ax.axhline(equal, color="#D55E00", linestyle="--", label="equal weights")
        ax.set_xticks(range(len(self.weights)), map(_layer_label, self.layers))
        low, high = min(0.0, self.weights.min()), max(equal, self.weights.max())
        ax.set_ylim(1.1 * low, low + 1.2 * (high - low))
        ax.set(ylabel="weight", title=f"Layer weights (scale {self.scale:.2f})")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.02))
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _layer_label(layer: int) -> str:
    return "0\n(characters)" if layer == 0 else f"{layer}\n(biLSTM)"
