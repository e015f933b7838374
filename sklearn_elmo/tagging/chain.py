"""A linear chain over tags: transitions learned from tag lists, Viterbi decoding."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["TagChain", "learn_chain", "most_probable_tags"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Weight of the unconditional frequencies in each row of transitions, in tokens. Backing
# off to them keeps rare tags in place: after uniform smoothing, most transitions
# between two of them would look far likelier than by chance. With weight 1, a few dozen
# training sentences made chance transitions count; large sets do not care.
_SMOOTHING = 10.0


class TagChain(NamedTuple):
    """How tags follow each other.

    Attributes
    ----------
    frequencies : ndarray of shape (n_classes + 1,)
        How often each tag, or the end of a text (last), comes next, whatever was
        before. The sum is 1.
    transitions : ndarray of shape (n_classes + 1, n_classes + 1)
        The same after each tag, or the start of a text (last row). Rows sum to 1.
    """

    frequencies: FloatArray
    transitions: FloatArray


def learn_chain(tag_lists: Iterable[IntArray], n_classes: int) -> TagChain:
    """Estimate a chain from tag lists by counting, smoothed by the frequencies.

    Parameters
    ----------
    tag_lists : iterable of ndarray of shape (n_tokens,), int
        Positions among the classes; each class occurs. Empty lists are left out.
    n_classes : int

    Returns
    -------
    TagChain
    """
    border = n_classes
    counts = np.zeros((n_classes + 1, n_classes + 1))
    for tags in tag_lists:
        if len(tags):
            before, after = np.append(border, tags), np.append(tags, border)
            np.add.at(counts, (before, after), 1)
    frequencies = counts.sum(axis=0) / counts.sum()
    smoothed = counts + _SMOOTHING * frequencies
    return TagChain(frequencies, smoothed / smoothed.sum(axis=1, keepdims=True))


def most_probable_tags(
    probabilities: npt.NDArray[np.floating], chain: TagChain, weight: float
) -> IntArray:
    r"""Find the best tag sequence of one text (Viterbi 1967), in log space.

    With p(y_t | x_t) from a classifier and f, the frequencies, it maximises

    .. math::
        \sum_{t=1}^{n} \log p(y_t | x_t)
        + w \sum_{t=1}^{n+1} \log \frac{p(y_t | y_{t-1})}{f(y_t)}

    where y_0 is the start of the text and y_{n+1} its end. With w = 1 this is a hidden
    Markov model whose emission probabilities come from the classifier by Bayes' rule,
    p(x | y) being proportional to p(y | x) / p(y) (Bourlard and Morgan 1994); with
    w = 0 each token gets its own best tag.

    Parameters
    ----------
    probabilities : ndarray of shape (n_tokens, n_classes)
    chain : TagChain
    weight : float

    Returns
    -------
    ndarray of shape (n_tokens,), int
        Positions among the classes.
    """
    n_tokens, n_classes = probabilities.shape
    if n_tokens == 0:
        return np.zeros(0, dtype=np.int64)
    emissions = np.asarray(probabilities, dtype=np.float64)
    emissions = np.log(np.maximum(emissions, np.finfo(np.float64).tiny))
    gains = weight * np.log(chain.transitions / chain.frequencies)
    from_start, between, to_end = gains[-1, :-1], gains[:-1, :-1], gains[:-1, -1]
    best = emissions[0] + from_start
    previous = np.zeros((n_tokens, n_classes), dtype=np.int64)
    for t in range(1, n_tokens):
        scores = best[:, np.newaxis] + between  # (n_classes before, n_classes after)
        previous[t] = scores.argmax(axis=0)
        best = scores.max(axis=0) + emissions[t]
    path = np.empty(n_tokens, dtype=np.int64)
    path[-1] = (best + to_end).argmax()
    for t in range(n_tokens - 1, 0, -1):
        path[t - 1] = previous[t, path[t]]
    return path
