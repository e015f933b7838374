"""`GridScoresDisplay`: a grid search as a heat map."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.errors import InvalidParameterError
from sklearn_elmo.inspection.plotting import (
    SEQUENTIAL,
    import_pyplot,
    new_axes,
    text_color,
)

__all__ = ["GridScoresDisplay"]


class GridScoresDisplay:
    """Heat map of the scores of a search over two parameters.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_columns)
        NaN where there is no score.
    rows, columns : sequence of str
        Labels.
    row_name, column_name : str
        Names of the parameters.
    score_name : str, default="score"
        Label of the colour bar.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    im_ : matplotlib AxesImage

    Examples
    --------
    >>> from sklearn_elmo.inspection import GridScoresDisplay
    >>> display = GridScoresDisplay(
    ...     [[0.8, 0.7]], ["all"], ["mean", "max"],
    ...     row_name="layers", column_name="pooling",
    ... )
    >>> display.scores.shape
    (1, 2)
    """

    ax_: Any
    figure_: Any
    im_: Any

    def __init__(
        self,
        scores: Any,
        rows: Sequence[str],
        columns: Sequence[str],
        *,
        row_name: str,
        column_name: str,
        score_name: str = "score",
    ) -> None:
        self.scores: npt.NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
        self.rows = rows
        self.columns = columns
        self.row_name = row_name
        self.column_name = column_name
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        rows: str = "layers",
        columns: str = "pooling",
        score: str = "mean_test_score",
        ax: Any = None,
    ) -> Self:
        """Draw the scores of a fitted search.

        Parameters
        ----------
        search : fitted GridSearchCV, RandomizedSearchCV or the like
            Whatever else it searches: each cell shows the best of all candidates with
            its two values.
        rows, columns : str, default="layers" and "pooling"
            Parameters, with or without the names of the steps before them
            (``"elmovectorizer__layers"``).
        score : str, default="mean_test_score"
            Key of ``cv_results_``.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        GridScoresDisplay

        Raises
        ------
        InvalidParameterError
            The search is not fitted, or does not vary one such parameter.
        MissingPackageError
            matplotlib is not installed.
        """
        results = getattr(search, "cv_results_", None)
        if results is None or score not in results:
            expected = (
                "a fitted search" if results is None else f"a search with {score!r}"
            )
            message = (
                f"GridScoresDisplay needs {expected}; got {type(search).__name__}. "
                "Fit it first, or choose a key of its cv_results_."
            )
            raise InvalidParameterError(message)
        candidates = results["params"]
        row_name = _full_name(rows, candidates)
        column_name = _full_name(columns, candidates)
        best: dict[tuple[str, str], float] = {}
        for candidate, value in zip(candidates, results[score], strict=True):
            if row_name in candidate and column_name in candidate:
                cell = _label(candidate[row_name]), _label(candidate[column_name])
                best[cell] = np.fmax(best.get(cell, np.nan), value)
        row_labels = list(dict.fromkeys(row for row, _ in best))
        column_labels = list(dict.fromkeys(column for _, column in best))
        display = cls(
            [[best.get((r, c), np.nan) for c in column_labels] for r in row_labels],
            row_labels,
            column_labels,
            row_name=row_name.rpartition("__")[2],
            column_name=column_name.rpartition("__")[2],
            score_name=score.replace("_", " "),
        )
        return display.plot(ax=ax)

    def plot(
        self, *, ax: Any = None, cmap: str = SEQUENTIAL, values_format: str = ".3f"
    ) -> Self:
        """Draw the scores; cells without one stay blank, and a frame marks the best.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        cmap : str or matplotlib Colormap, default="cividis"
        values_format : str, default=".3f"
            Format of the numbers in the cells.

        Returns
        -------
        GridScoresDisplay

        Raises
        ------
        MissingPackageError
            matplotlib is not installed.
        """
        n_rows, n_columns = self.scores.shape
        ax = new_axes(ax, (2.6 + 0.95 * n_columns, 1.6 + 0.5 * n_rows))
        self.im_ = ax.imshow(self.scores, cmap=cmap, aspect="auto")
        for (row, column), value in np.ndenumerate(self.scores):
            if not np.isnan(value):
                color = text_color(self.im_.cmap(self.im_.norm(value)))
                shown = format(value, values_format)
                ax.text(column, row, shown, ha="center", va="center", color=color)
        if not np.isnan(self.scores).all():
            self._mark_best(ax)
        ax.set_xticks(
            range(n_columns),
            self.columns,
            rotation=30,
            ha="right",
            rotation_mode="anchor",
            parse_math=False,
        )
        ax.set_yticks(range(n_rows), self.rows, parse_math=False)
        ax.set(xlabel=self.column_name, ylabel=self.row_name)
        ax.figure.colorbar(self.im_, ax=ax, label=self.score_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _mark_best(self, ax: Any) -> None:
        row, column = divmod(int(np.nanargmax(self.scores)), len(self.columns))
        frame = import_pyplot().Rectangle(
            (column - 0.5, row - 0.5),
            1,
            1,
            fill=False,
            linewidth=3,
            edgecolor="#D55E00",
        )
        frame.set_clip_on(False)
        ax.add_patch(frame)
        ax.set_title(
            f"best: {self.row_name} {self.rows[row]}, {self.column_name} "
            f"{self.columns[column]}",
            fontsize="medium",
            parse_math=False,
        )


def _full_name(name: str, candidates: Sequence[Mapping[str, Any]]) -> str:
    """Return the one searched parameter with this name, steps before it allowed."""
    searched = dict.fromkeys(key for candidate in candidates for key in candidate)
    found = [key for key in searched if f"__{key}".endswith(f"__{name}")]
    if len(found) != 1:
        message = (
            f"The search varies {len(found)} parameters that end in {name!r}; "
            f"GridScoresDisplay needs one. It varies {', '.join(searched)}: choose "
            "with rows= and columns=."
        )
        raise InvalidParameterError(message)
    return found[0]


def _label(value: Any) -> str:
    if isinstance(value, str) or not np.iterable(value):
        return str(value)
    values = [f"{item:g}" if isinstance(item, float) else str(item) for item in value]
    return " + ".join(values)
