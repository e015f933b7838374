"""matplotlib on demand, and what the displays share."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn_elmo.errors import MissingPackageError

__all__ = ["DIVERGING", "SEQUENTIAL", "import_pyplot", "new_axes", "text_color"]

# Distinct for colour-blind readers; of the diverging ones, positive numbers are blue.
SEQUENTIAL = "cividis"
DIVERGING = "RdBu"

# Below this luminance white text reads better than black.
_DARK = 0.5


def import_pyplot() -> Any:
    """Import ``matplotlib.pyplot``, an optional dependency.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = (
            "Plots need matplotlib, which is not installed. Install it: "
            "pip install 'sklearn-elmo[plot]'"
        )
        raise MissingPackageError(message) from error
    return plt


def new_axes(ax: Any, figsize: tuple[float, float]) -> Any:
    """Return `ax`, or the axes of a new figure if it is None.

    Parameters
    ----------
    ax : matplotlib Axes or None
    figsize : tuple of float
        Width and height of a new figure in inches.
    """
    if ax is not None:
        return ax
    _, ax = import_pyplot().subplots(figsize=figsize, layout="constrained")
    return ax


def text_color(rgba: npt.NDArray[np.floating[Any]]) -> str:
    """Return the colour of text that is readable on a background."""
    luminance = float(np.dot(rgba[:3], [0.299, 0.587, 0.114]))
    return "white" if luminance < _DARK else "black"
