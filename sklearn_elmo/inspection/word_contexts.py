"""`WordContextsDisplay`: one word in many contexts."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.decomposition import PCA

from sklearn_elmo.errors import TextValueError
from sklearn_elmo.inspection.pieces import Piece, split_pieces
from sklearn_elmo.inspection.plotting import import_pyplot
from sklearn_elmo.messages import quote
from sklearn_elmo.token_vectorizer import ElmoTokenVectorizer

__all__ = ["WordContext", "WordContextsDisplay"]

# Okabe and Ito's colours, which colour-blind readers can tell apart, on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vP*"

_FONT_SIZE = 8.5  # typographic points
_CHARACTER_WIDTH = 0.56 * _FONT_SIZE  # typographic points, on average
_LINE_HEIGHT = 1.4 * _FONT_SIZE  # typographic points
_POINTS_PER_INCH = 72
# Of a new figure, in inches.
_MAP_WIDTH, _LEAST_HEIGHT = 4.2, 4.0
# Width of the list of sentences, in that of the map.
_LIST_WIDTH = 1.4
# Around the word of a sentence, until the sentence is wrapped: private characters.
_BEGIN, _END = "\ue000", "\ue001"
# Typographic points between a number and whatever is nearest.
_NUMBER_DISTANCE = 11.0
_N_PUSHES = 200
# Room for the numbers of the list.
_NUMBER_CHARACTERS = 4


class WordContext(NamedTuple):
    """One occurrence of the word: the word, and what its text has on both sides."""

    before: str
    word: str
    after: str


class WordContextsDisplay:
    """Map of the occurrences of a word, beside the sentences they come from.

    Parameters
    ----------
    coordinates : array-like of shape (n_contexts, 2)
    contexts : sequence of WordContext
    labels : sequence of length n_contexts, optional
        Decide colours and markers.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the map.
    list_ax_ : matplotlib Axes
        Of the sentences.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_elmo.inspection.word_contexts import (
    ...     WordContext, WordContextsDisplay
    ... )
    >>> contexts = [WordContext("a ", "play", ""), WordContext("", "play", "!")]
    >>> WordContextsDisplay([[0, 1], [1, 0]], contexts).coordinates.shape
    (2, 2)
    """

    ax_: Any
    list_ax_: Any
    figure_: Any

    def __init__(
        self,
        coordinates: Any,
        contexts: Sequence[WordContext],
        labels: Sequence[Any] | None = None,
    ) -> None:
        self.coordinates: npt.NDArray[np.float64] = np.asarray(
            coordinates, dtype=np.float64
        )
        self.contexts = contexts
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        vectorizer: ElmoTokenVectorizer,
        texts: Any,
        word: str,
        labels: Any = None,
        *,
        projection: Any = None,
        max_listed: int = 25,
        ax: Any = None,
    ) -> Self:
        """Draw all occurrences of a word in some texts.

        Parameters
        ----------
        vectorizer : ElmoTokenVectorizer
            Fitted.
        texts : sequence of str, or of lists of str with ``tokenizer="pretokenized"``
        word : str
            Matched with whole tokens, whatever the case.
        labels : sequence of length n_texts, optional
            Label of each text, such as the sense that the word has in it.
        projection : transformer, default=PCA(2)
            Cloned; its ``fit_transform`` turns token vectors into two columns.
        max_listed : int, default=25
            Sentences to list at most, spread evenly over the occurrences.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        WordContextsDisplay

        Raises
        ------
        TextValueError
            The word occurs less than twice, or there is not one label per text.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        MissingPackageError
            matplotlib is not installed.
        """
        texts = list(texts)
        if labels is not None and len(labels) != len(texts):
            message = (
                f"There are {len(labels)} labels for {len(texts)} texts; "
                "WordContextsDisplay needs one per text."
            )
            raise TextValueError(message)
        pieces = [split_pieces(vectorizer, text) for text in texts]
        places = [
            (number, position)
            for number, of_text in enumerate(pieces)
            for position, piece in enumerate(of_text)
            if piece.token.lower() == word.lower()
        ]
        if len(places) < 2:
            message = (
                f"The word {quote(word)} is {len(places)} times among the tokens of "
                "the texts; WordContextsDisplay needs it at least twice. Pass one "
                "whole token, and more texts."
            )
            raise TextValueError(message)
        vectors = vectorizer.transform(texts)
        rows = np.stack([vectors[number][position] for number, position in places])
        reducer = PCA(2) if projection is None else clone(projection)
        display = cls(
            reducer.fit_transform(rows),
            [_cut(pieces[number], position) for number, position in places],
            None if labels is None else [list(labels)[number] for number, _ in places],
        )
        return display.plot(ax=ax, max_listed=max_listed)

    def plot(self, *, ax: Any = None, max_listed: int = 25) -> Self:
        """Draw the map, and to its right the list of sentences.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; the right part becomes the list. A new figure by default.
        max_listed : int, default=25
            Sentences to list at most, spread evenly over the occurrences.

        Returns
        -------
        WordContextsDisplay

        Raises
        ------
        MissingPackageError
            matplotlib is not installed.
        """
        n_contexts = len(self.contexts)
        n_listed = min(max_listed, n_contexts)
        listed = np.unique(np.linspace(0, n_contexts - 1, n_listed).round().astype(int))
        contexts = {int(number): self.contexts[number] for number in listed}
        ax = _new_axes(contexts) if ax is None else ax
        colors = self._draw_points(ax)
        self.list_ax_ = _split_axes(ax)
        _list_sentences(self.list_ax_, contexts, colors)
        # Only then is the place of the points known, which numbers are to keep free.
        ax.figure.draw_without_rendering()
        self._number_points(ax, list(contexts), colors)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_points(self, ax: Any) -> list[str]:
        """Draw the points and the legend; return the colour of each point."""
        labels = [None] * len(self.contexts) if self.labels is None else self.labels
        kinds = list(dict.fromkeys(labels))
        for place, kind in enumerate(kinds):
            chosen = np.array([label == kind for label in labels])
            ax.scatter(
                *self.coordinates[chosen].T,
                s=28,
                color=_COLORS[place % len(_COLORS)],
                marker=_MARKERS[place % len(_MARKERS)],
                label=str(kind),
            )
        if self.labels is not None:
            ax.legend(loc="best", framealpha=0.6)
        ax.set(xticks=[], yticks=[])
        ax.margins(0.1)
        return [_COLORS[kinds.index(label) % len(_COLORS)] for label in labels]

    def _number_points(self, ax: Any, listed: list[int], colors: list[str]) -> None:
        to_points = _POINTS_PER_INCH / ax.figure.dpi
        points = ax.transData.transform(self.coordinates) * to_points
        for number, offset in zip(listed, _free_offsets(points, listed), strict=True):
            ax.annotate(
                str(number + 1),
                self.coordinates[number],
                xytext=offset,
                textcoords="offset points",
                ha="center",
                va="center",
                color=colors[number],
                fontsize=_FONT_SIZE,
                arrowprops={
                    "arrowstyle": "-",
                    "color": colors[number],
                    "linewidth": 0.5,
                    "shrinkA": 4,
                    "shrinkB": 2,
                },
            )


def _cut(pieces: Sequence[Piece], position: int) -> WordContext:
    """Cut a text at one of its tokens."""
    gap, word = pieces[position]
    return WordContext(
        _join(pieces[:position]) + gap, word, _join(pieces[position + 1 :])
    )


def _join(pieces: Sequence[Piece]) -> str:
    return "".join(gap + token for gap, token in pieces)


def _new_axes(contexts: dict[int, WordContext]) -> Any:
    """Return axes that fill a new figure with room for all sentences."""
    list_width = _MAP_WIDTH * _LIST_WIDTH * _POINTS_PER_INCH
    n_lines = sum(len(_wrap(context, list_width)) for context in contexts.values())
    height = max(_LEAST_HEIGHT, 0.3 + n_lines * _LINE_HEIGHT / _POINTS_PER_INCH)
    figure = import_pyplot().figure(figsize=(_MAP_WIDTH * (1 + _LIST_WIDTH), height))
    return figure.add_axes((0.01, 0.02, 0.98, 0.96))


def _split_axes(ax: Any) -> Any:
    """Give the right part of axes to new ones without frame."""
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    right = make_axes_locatable(ax).append_axes(
        "right", size=f"{100 * _LIST_WIDTH:.0f}%", pad=0.1
    )
    right.set_axis_off()
    # Else neither has its size yet.
    ax.figure.draw_without_rendering()
    return right


def _wrap(context: WordContext, width: float) -> list[str]:
    """Return lines in which the word is set off by `_BEGIN` and `_END`."""
    before, word, after = context
    n_characters = int(width / _CHARACTER_WIDTH) - _NUMBER_CHARACTERS
    text = f"{before}{_BEGIN}{word}{_END}{after}"
    return textwrap.wrap(text, max(10, n_characters))


def _list_sentences(
    ax: Any, contexts: dict[int, WordContext], colors: list[str]
) -> None:
    """Write numbered sentences from the top of the axes downwards."""
    extent = ax.get_window_extent()
    to_points = _POINTS_PER_INCH / ax.figure.dpi
    width, height = extent.width * to_points, extent.height * to_points
    entries = {number: _wrap(context, width) for number, context in contexts.items()}
    line = min(_LINE_HEIGHT, height / sum(map(len, entries.values())))
    style = {
        "fontsize": _FONT_SIZE * line / _LINE_HEIGHT,
        "va": "top",
        "transform": ax.transAxes,
    }
    left = _NUMBER_CHARACTERS * _CHARACTER_WIDTH / width
    y = 1.0
    for number, lines in entries.items():
        ax.text(0.8 * left, y, number + 1, ha="right", color=colors[number], **style)
        for text in lines:
            ax.text(left, y, _embolden(text), **style)
            y -= line / height


def _embolden(line: str) -> str:
    """Write a line in matplotlib's markup, the word that is set off in bold."""
    line = line.replace("$", r"\$")
    before, begin, rest = line.partition(_BEGIN)
    word, _, after = rest.partition(_END)
    if not begin or not word.isalnum():
        return f"{before}{word}{after}"
    return rf"{before}$\bf{{{word}}}${after}"


def _free_offsets(
    points: npt.NDArray[np.float64], listed: list[int]
) -> npt.NDArray[np.float64]:
    """Find places for numbers near their points, away from others.

    Parameters
    ----------
    points : ndarray of shape (n_points, 2)
        In typographic points.
    listed : list of int
        Points to be numbered.

    Returns
    -------
    ndarray of shape (n_listed, 2)
        Places less those of the points.
    """
    own = points[listed]
    outwards = own - points.mean(axis=0)
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    places = own + _NUMBER_DISTANCE * outwards
    for _ in range(_N_PUSHES):
        obstacles = np.concatenate([places, points])
        gaps = places[:, None] - obstacles
        distances = np.linalg.norm(gaps, axis=2)
        # A number does not push itself.
        np.fill_diagonal(distances, np.inf)
        overlap = np.maximum(_NUMBER_DISTANCE - distances, 0) / _NUMBER_DISTANCE
        directions = gaps / np.maximum(distances, 1e-9)[..., None]
        places = places + 2 * (overlap[..., None] * directions).sum(axis=1)
        places += 0.02 * (own - places)
    offsets: npt.NDArray[np.float64] = places - own
    return offsets
