"""`TokenSimilarityDisplay`: two texts token by token."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import cosine_similarity

from sklearn_elmo.errors import TextValueError
from sklearn_elmo.inspection.plotting import DIVERGING, new_axes, text_color
from sklearn_elmo.messages import quote
from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["TokenSimilarityDisplay"]

# More cells than these have no room for their numbers.
_MOST_NUMBERS = 400


class TokenSimilarityDisplay:
    """Heat map of the cosines between the tokens of two texts.

    Parameters
    ----------
    similarities : array-like of shape (n_tokens_1, n_tokens_2)
    tokens_1, tokens_2 : sequence of str

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    im_ : matplotlib AxesImage

    Examples
    --------
    >>> from sklearn_elmo.inspection import TokenSimilarityDisplay
    >>> display = TokenSimilarityDisplay([[0.9, 0.1]], ["cats"], ["cat", "sat"])
    >>> display.similarities.shape
    (1, 2)
    """

    ax_: Any
    figure_: Any
    im_: Any

    def __init__(
        self, similarities: Any, tokens_1: Sequence[str], tokens_2: Sequence[str]
    ) -> None:
        self.similarities: npt.NDArray[np.float64] = np.asarray(
            similarities, dtype=np.float64
        )
        self.tokens_1 = tokens_1
        self.tokens_2 = tokens_2

    @classmethod
    def from_estimator(
        cls,
        vectorizer: ElmoTokenVectorizer,
        text_1: str | list[str],
        text_2: str | list[str],
        *,
        ax: Any = None,
    ) -> Self:
        """Draw the cosines between the token vectors of two texts.

        Parameters
        ----------
        vectorizer : ElmoTokenVectorizer
            Fitted.
        text_1, text_2 : str, or list of str with ``tokenizer="pretokenized"``
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        TokenSimilarityDisplay

        Raises
        ------
        TextValueError
            A text has no tokens.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        MissingPackageError
            matplotlib is not installed.
        """
        texts = [text_1, text_2]
        vectors = vectorizer.transform(texts)
        for text, rows in zip(texts, vectors, strict=True):
            if not len(rows):
                message = (
                    f"The text {quote(text)} has no tokens; TokenSimilarityDisplay "
                    "compares tokens. Pass a text with at least one."
                )
                raise TextValueError(message)
        tokens: Any = vectorizer.tokenize(texts)
        return cls(cosine_similarity(*vectors), *tokens).plot(ax=ax)

    def plot(self, *, ax: Any = None, cmap: str = DIVERGING) -> Self:
        """Draw the cosines; 0 is the middle of the colours, -1 and 1 their ends.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        cmap : str or matplotlib Colormap, default="RdBu"
            A diverging colour map.

        Returns
        -------
        TokenSimilarityDisplay

        Raises
        ------
        MissingPackageError
            matplotlib is not installed.
        """
        n_rows, n_columns = self.similarities.shape
        ax = new_axes(ax, (2.2 + 0.5 * n_columns, 1.4 + 0.36 * n_rows))
        self.im_ = ax.imshow(
            self.similarities, cmap=cmap, vmin=-1, vmax=1, aspect="auto"
        )
        if self.similarities.size <= _MOST_NUMBERS:
            for (row, column), value in np.ndenumerate(self.similarities):
                color = text_color(self.im_.cmap(self.im_.norm(value)))
                ax.text(
                    column, row, _shown(value), ha="center", va="center",
                    color=color, fontsize="small",
                )  # fmt: skip
        ax.set_xticks(
            range(n_columns), self.tokens_2, rotation=45, ha="right",
            rotation_mode="anchor", parse_math=False,
        )  # fmt: skip
        ax.set_yticks(range(n_rows), self.tokens_1, parse_math=False)
        ax.figure.colorbar(self.im_, ax=ax, label="cosine")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _shown(cosine: float) -> str:
    """Format a cosine to one digit, without the sign of a zero."""
    return f"{round(cosine, 1) + 0.0:.1f}"
