"""`TextExplanation`: what each token adds to a decision, as text, HTML or a plot."""

import html
import os
import sys
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sklearn_elmo.inspection.pieces import Piece
from sklearn_elmo.inspection.plotting import new_axes

__all__ = ["TextExplanation"]

# Orange against blue, which colour-blind readers can tell apart.
_FOR_RGB, _AGAINST_RGB = "0, 114, 178", "213, 94, 0"
_FOR, _AGAINST = "#0072B2", "#D55E00"
# Backgrounds of the 256-colour terminal palette from faint to full, with black text.
_FOR_ANSI, _AGAINST_ANSI = (195, 153, 117, 75, 39), (230, 223, 216, 215, 208)
# Weaker than this share of the strongest token, a token is not coloured.
_FAINT = 0.05
_MOST_OPAQUE = 0.75


class TextExplanation:
    """What each token of a text adds to the decision of a linear model.

    Made by `explain_text`. In a notebook it is shown as coloured text; ``print`` shows
    the same in a terminal, and a table elsewhere.

    Parameters
    ----------
    pieces : sequence of (str, str)
        What is before each token (white space or nothing), and the token.
    contributions : array-like of shape (n_tokens,)
    intercept : float
    target : object
        Class or output that positive contributions speak for.

    Attributes
    ----------
    tokens : list of str
    contributions : ndarray of shape (n_tokens,), float64
    intercept : float
        Decision for a text without tokens.
    decision : float
        Sum of the contributions and the intercept.
    target : object
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
        After `plot`.

    Examples
    --------
    >>> from sklearn_elmo.inspection import TextExplanation
    >>> pieces = [("", "Free"), (" ", "prize"), ("", "!")]
    >>> explanation = TextExplanation(pieces, [1.5, 0.75, -0.25], -1.0, "spam")
    >>> explanation.decision
    1.0
    >>> print(explanation)
    decision for 'spam': +1.000 = -1.000 (intercept) + 2.000 (tokens)
      +1.500  Free
      +0.750  prize
      -0.250  !
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        pieces: Sequence[tuple[str, str]],
        contributions: Any,
        intercept: float,
        target: Any,
    ) -> None:
        self.contributions: npt.NDArray[np.float64] = np.asarray(
            contributions, dtype=np.float64
        )
        self.intercept = float(intercept)
        self.target = target
        self._pieces = [Piece(*piece) for piece in pieces]

    @property
    def tokens(self) -> list[str]:
        return [piece.token for piece in self._pieces]

    @property
    def decision(self) -> float:
        return self.intercept + float(self.contributions.sum())

    def to_html(self) -> str:
        """Return the text as HTML, the background of each token its contribution.

        Blue speaks for the target, orange against it; the number of a token appears
        when the pointer rests on it. Everything from the text is escaped.

        Returns
        -------
        str
            A ``<div>``.
        """
        parts = [
            html.escape(gap)
            + f'<span style="{self._css(share)}" title="{value:+.4f}">'
            + html.escape(token)
            + "</span>"
            for (gap, token), value, share in zip(
                self._pieces, self.contributions, self._shares(), strict=True
            )
        ]
        return (
            '<div style="background: #fff; color: #000; padding: 0.5em">'
            '<div style="font-size: smaller; color: #555">'
            f"{html.escape(self._summary())}</div>"
            f'<div style="white-space: pre-wrap; line-height: 1.6">{"".join(parts)}'
            "</div></div>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_ansi(self) -> str:
        """Return the text with the colours of terminals, meant as in `to_html`.

        Control characters of the text are written as escapes such as ``\\x1b``.

        Returns
        -------
        str
        """
        parts = [
            _printable(gap, keep="\n\t") + _paint(_printable(token), share)
            for (gap, token), share in zip(self._pieces, self._shares(), strict=True)
        ]
        return f"{self._summary()}\n{''.join(parts)}"

    def __str__(self) -> str:
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            return self.to_ansi()
        rows = [
            f"  {value:+.3f}  {_printable(token)}"
            for token, value in zip(self.tokens, self.contributions, strict=True)
        ]
        return "\n".join([self._summary(), *rows])

    def __repr__(self) -> str:
        return (
            f"<TextExplanation of {len(self._pieces)} tokens: decision "
            f"{self.decision:+.3f} for {self.target!r}>"
        )

    def plot(self, *, ax: Any = None) -> Self:
        """Draw one bar per token, in the order of the text.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        TextExplanation

        Raises
        ------
        MissingPackageError
            matplotlib is not installed.
        """
        n_tokens = len(self._pieces)
        ax = new_axes(ax, (5.5, 1.3 + 0.2 * n_tokens))
        colors = [_FOR if value > 0 else _AGAINST for value in self.contributions]
        ax.barh(range(n_tokens), self.contributions, color=colors)
        ax.set_yticks(range(n_tokens), self.tokens, parse_math=False)
        ax.set_ylim(n_tokens - 0.4, -0.6)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"contribution to {self._target_name()}", parse_math=False)
        ax.set_title(
            f"decision {self.decision:+.2f} (intercept {self.intercept:+.2f})",
            fontsize="medium",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _target_name(self) -> str:
        return "the prediction" if self.target is None else repr(self.target)

    def _summary(self) -> str:
        total = float(self.contributions.sum())
        return (
            f"decision for {self._target_name()}: {self.decision:+.3f} = "
            f"{self.intercept:+.3f} (intercept) {'-' if total < 0 else '+'} "
            f"{abs(total):.3f} (tokens)"
        )

    def _shares(self) -> npt.NDArray[np.float64]:
        """Return contributions as shares of the strongest, from -1 to 1."""
        strongest = np.abs(self.contributions).max(initial=0.0)
        return self.contributions / (strongest or 1.0)

    def _css(self, share: float) -> str:
        rgb = _FOR_RGB if share > 0 else _AGAINST_RGB
        return f"background: rgba({rgb}, {_MOST_OPAQUE * abs(share):.2f})"


def _paint(text: str, share: float) -> str:
    """Give text the background of a share from -1 to 1."""
    if abs(share) < _FAINT:
        return text
    palette = _FOR_ANSI if share > 0 else _AGAINST_ANSI
    color = palette[min(int(abs(share) * len(palette)), len(palette) - 1)]
    return f"\x1b[30;48;5;{color}m{text}\x1b[0m"


def _printable(text: str, keep: str = "") -> str:
    """Escape control characters: texts must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode()
        for c in text
    )
