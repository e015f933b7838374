"""Which words each step of training reads."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sklearn_elmo.pretraining.corpus import EncodedText

__all__ = ["Lanes"]

IdArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lanes:
    """A text cut into lanes that are read side by side, state carried along each.

    The forward direction reads the text in lanes, the backward direction the text
    reversed: its lanes are others, so that its state, too, is that of the words
    just read (and not the wrong one that reversing each piece by itself would give).

    Attributes
    ----------
    text : EncodedText
    n_lanes : int
    n_steps : int
        Words of each lane in one step of training.
    """

    text: EncodedText
    n_lanes: int
    n_steps: int

    @property
    def lane_length(self) -> int:
        """Words of a lane, the last of which is only predicted."""
        return len(self.text.ids) // self.n_lanes

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every lane has been read."""
        return max(1, (self.lane_length - 1) // self.n_steps)

    @property
    def tokens_per_step(self) -> int:
        """Words read in one step by each direction."""
        return self.n_lanes * self.n_steps

    def read(self, step: int) -> IdArray:
        """Return the words of a step, and the one behind them.

        From epoch to epoch the lanes begin at other places.

        Returns
        -------
        ndarray of shape (2, n_steps + 1, n_lanes), int64
            Text as it is, then text reversed.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        n_tokens = len(self.text.ids)
        shift = epoch * 7919 * self.n_steps  # a prime: no two epochs alike
        lanes = np.arange(self.n_lanes, dtype=np.int64) * self.lane_length
        steps = np.arange(self.n_steps + 1, dtype=np.int64) + index * self.n_steps
        places = (lanes + steps[:, None] + shift) % n_tokens
        return np.stack(
            [self.text.ids[places], self.text.ids[n_tokens - 1 - places]]
        ).astype(np.int64)
